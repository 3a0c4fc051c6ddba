-- Pools of workers as the author sees them.
local host, lib = ...
local failure, options = lib.failure, lib.options

local M = {}
local open = {} -- in the order they were opened

--- By number of the pool: the folder its tasks run in, if it is not the campaign's.
M.cwd = {}

local Pool = { __name = "pool" }
Pool.__index = Pool

local function count(n, word) return string.format("%d %s%s", n, word, n == 1 and "" or "s") end

-- A worker of a pool: what it is, for looking at.
local Worker = { __name = "worker" }
function Worker:__tostring()
  return string.format("worker %d on %s: %s, %s, %s", self.id, self.host, count(self.slots, "slot"), count(self.cores, "core"), self.start)
end

-- Read by every submit: the number of the newest open pool, or false.
lib.newest_pool = false

local function refresh() lib.newest_pool = #open > 0 and open[#open].id or false end

--- Starts workers and waits until they are ready.
function M.spawn(given)
  local o = options.check("spawn", given or {})
  if o.workers == "auto" then o.workers = nil end
  if o.slots == "cores" then o.slots = nil end
  if o.init_timeout and not o.init then failure.raise "spawn: 'init_timeout' is the limit of 'init', which is not given" end
  local info, problem = host.spawn(o)
  if not info then failure.raise("spawn: " .. problem) end
  local pool = setmetatable(info, Pool)
  M.cwd[pool.id] = o.cwd
  for _, worker in ipairs(pool.workers) do
    setmetatable(worker, Worker)
  end
  open[#open + 1] = pool
  refresh()
  return pool
end

--- Like `submit`, on this pool.
function Pool:submit(what, ...)
  failure.own(self, Pool, "submit")
  if self.closed then failure.raise(string.format("pool:submit: pool %d is closed; submit before close(), or to another pool", self.id)) end
  return lib.tasks.submit_to(self.id, what, ...)
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
