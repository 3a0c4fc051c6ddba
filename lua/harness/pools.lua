-- Pools of workers as the author sees them.
local host, lib = ...
local failure, options = lib.failure, lib.options
local max = math.max

local M = {}
local open = {} -- in the order they were opened

--- By number of the pool: the folder its tasks run in, if it is not the campaign's.
M.cwd = {}

-- By number of the pool: what its tasks share out by name.
local resources = {}

--- A task may need what its pool has, and not more than there is. Raises at the author's line.
function M.check_needs(who, o, pool)
  if not o.needs or not next(o.needs) then return end
  local there = resources[pool] or {}
  local names = failure.sorted_keys(there)
  for i, name in ipairs(names) do
    names[i] = string.format("%s = %d", name, there[name])
  end
  local of_pool = pool and "pool " .. pool or "the pool"
  for _, name in ipairs(failure.sorted_keys(o.needs)) do
    local amount = o.needs[name]
    if not there[name] then
      local unknown = failure.unknown("resource", name, failure.sorted_keys(there))
      local has = #names > 0 and "has " .. table.concat(names, ", ")
        or string.format("has none: give it some, spawn{ resources = { %s = %d } }", name, amount)
      failure.raise(string.format("%s: option 'needs': %s; %s %s", who, unknown, of_pool, has))
    elseif amount > there[name] then
      local text = "%s: option 'needs': it needs %s = %d, and %s has %d: ask for less, or give the pool more"
      failure.raise(string.format(text, who, name, amount, of_pool, there[name]))
    end
  end
end

--- The hosts of a pool, those that measure first.
function M.hosts(id)
  local hosts, seen = {}, {}
  for _, measures in ipairs { true, false } do
    for _, pool in ipairs(open) do
      for _, worker in ipairs(pool.id == id and pool.workers or {}) do
        if worker.measures == measures and not seen[worker.host] then
          seen[worker.host] = true
          hosts[#hosts + 1] = worker.host
        end
      end
    end
  end
  return hosts
end

--- How many slots the newest pool has; where none was opened, as many as this node has cores.
function M.slots()
  local pool, slots = open[#open], 0
  for _, worker in ipairs(pool and pool.workers or {}) do
    slots = slots + worker.slots
  end
  return max(1, pool and slots or host.campaign.cores)
end

local Pool = { __name = "pool" }
Pool.__index = Pool

local function count(n, word) return string.format("%d %s%s", n, word, n == 1 and "" or "s") end

-- A worker of a pool: what it is, for looking at.
local Worker = { __name = "worker" }
function Worker:__tostring()
  local gpus = self.gpus > 0 and count(self.gpus, "GPU") .. ", " or ""
  local spared = self.measures and "" or ", measures only what others cannot"
  return string.format(
    "worker %d on %s: %s, %s, %s%s%s",
    self.id,
    self.host,
    count(self.slots, "slot"),
    count(self.cores, "core"),
    gpus,
    self.start,
    spared
  )
end

-- Read by every submit: the number of the newest open pool, or false.
lib.newest_pool = false

local function refresh() lib.newest_pool = #open > 0 and open[#open].id or false end

local function opened(info)
  local pool = setmetatable(info, Pool)
  for _, worker in ipairs(pool.workers) do
    setmetatable(worker, Worker)
  end
  open[#open + 1] = pool
  refresh()
  return pool
end

--- The number of the newest pool. Where the script opened none it is that of tasks that name none: the first of them may
-- have opened it, and else it is opened now.
function M.newest(who)
  if lib.newest_pool then return lib.newest_pool end
  local info, problem = host.spawn { any = true }
  if not info then failure.raise(who .. ": no workers: " .. problem) end
  return opened(info).id
end

--- Starts workers and waits until they are ready.
function M.spawn(given)
  local o = options.check("spawn", given or {})
  if o.workers == "auto" then o.workers = nil end
  if o.slots == "cores" then o.slots = nil end
  if o.init_timeout and not o.init then failure.raise "spawn: 'init_timeout' is the limit of 'init', which is not given" end
  local info, problem = host.spawn(o)
  if not info then failure.raise("spawn: " .. problem) end
  M.cwd[info.id], resources[info.id] = o.cwd, o.resources
  return opened(info)
end

--- Like `submit`, on this pool.
function Pool:submit(what, ...)
  failure.own(self, Pool, "submit")
  if self.closed then failure.raise(string.format("pool:submit: pool %d is closed; submit before close(), or to another pool", self.id)) end
  return lib.tasks.submit_to(self.id, what, ...)
end

--- Starts further workers and waits until they are ready; gives them. `workers` has all that are there then.
function Pool:grow(given)
  failure.own(self, Pool, "grow")
  local o = options.check("grow", given or {})
  if self.closed then failure.raise(string.format("pool:grow: pool %d is closed; open another one with spawn", self.id)) end
  if o.job then o.job = tostring(o.job) end
  local info, problem = host.grow(self.id, o)
  if not info then failure.raise("pool:grow: " .. problem) end
  local known, new = {}, {}
  for _, worker in ipairs(self.workers) do
    known[worker.id] = worker
  end
  for i, worker in ipairs(info.workers) do
    local old = known[worker.id]
    if old then
      old.measures = worker.measures
      info.workers[i] = old
    else
      new[#new + 1] = setmetatable(worker, Worker)
    end
  end
  self.workers = info.workers
  return new
end

--- Retires the workers once the tasks of the pool are done.
function Pool:close()
  failure.own(self, Pool, "close")
  if self.closed then return end
  self.closed = true
  for i, pool in ipairs(open) do
    if pool == self then
      table.remove(open, i)
      break
    end
  end
  refresh()
  host.close(self.id)
end
Pool.__close = Pool.close

function Pool:__tostring()
  local hosts, seen, slots = {}, {}, 0
  for _, worker in ipairs(self.workers) do
    slots = slots + worker.slots
    if not seen[worker.host] then
      seen[worker.host] = true
      hosts[#hosts + 1] = worker.host
    end
  end
  return string.format(
    "pool %d: %s on %s (%s), %s%s",
    self.id,
    count(#self.workers, "worker"),
    count(#hosts, "node"),
    table.concat(hosts, ", "),
    count(slots, "slot"),
    self.closed and ", closed" or ""
  )
end

M.Pool, M.Worker = Pool, Worker
return M
