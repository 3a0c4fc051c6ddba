-- `map`: a function on every item of a list, on the workers. Items whose calls are short travel together.
local host, lib = ...
local failure, flow, ends, futures = lib.failure, lib.flow, lib.ends, lib.futures
local max, min = math.max, math.min
local next, ipairs_next = next, (ipairs {})

local M = {}

-- So many items are one task that they take about so long (s), and no more than that. Each is a call of its own all the same, with
-- copies of its own, and with the number and so the random numbers it would have alone.
local TOGETHER_S, MOST_TOGETHER = 0.001, 1024
-- In flight unless said otherwise: what so many parts for each slot hold, but at least and at most so many items.
local PARTS, LEAST_IN_FLIGHT, MOST_IN_FLIGHT = 8, 1000, 1 << 20

-- How many items are to travel together, from what those took that did.
local Pace = {}
Pace.__index = Pace

local function pace(in_flight, slots, is_list)
  local parts = PARTS * slots
  local limit = max(1, min(MOST_TOGETHER, (in_flight or MOST_IN_FLIGHT) // parts))
  return setmetatable({
    size = 1,
    goal = limit, -- how many could travel together, as far as is known
    limit = limit,
    each = 0,
    waits = false, -- did one go alone, because it waits for a task?
    in_flight = in_flight,
    parts = parts,
    is_list = is_list,
  }, Pace)
end

-- Items that may be under way. Of a list, while ever more travel together, no more than keep the slots at work: what is sent meanwhile
-- travels almost alone. One that waits for a task tells nothing of the others, and keeps none of them back.
function Pace:most()
  local grows = 2 * self.size <= self.goal
  if self.is_list and grows and not self.waits then return self.parts * self.size end
  local useful = max(LEAST_IN_FLIGHT, self.parts * self.size)
  if not self.in_flight then return useful end
  return self.is_list and min(useful, self.in_flight) or self.in_flight
end

-- A slow one counts at once, and is forgotten slowly.
function Pace:learn(took, count)
  local each = took / count
  self.each = max(each, self.each + (each - self.each) / 8)
  local fit = TOGETHER_S // self.each
  self.goal = fit < self.limit and math.tointeger(fit) or self.limit -- a float would make floats of places and numbers
  self.size = max(1, min(self.goal, 2 * self.size))
end

-- A list is read in parts. What an iterator gives goes at once, for its next item may depend on what becomes of this one.
local function reader(items)
  if items == next or items == ipairs_next then
    failure.raise "map: give the list itself, map(fn, list), not ipairs(list) or pairs(list)"
  end
  if flow.callable(items) then return items, false end
  if type(items) ~= "table" then failure.raise("map: expected a list or an iterator, got a " .. type(items)) end
  if not getmetatable(items) and #items == 0 and next(items) ~= nil then
    failure.raise "map: a table without [1] is no list: give its values one after another, { a, b, c }"
  end
  local i = 0
  local function next_item()
    i = i + 1
    local item = items[i]
    if item == nil and i <= #items then failure.raise(string.format("map: item %d of the list is missing, and there are %d", i, #items)) end
    return item
  end
  return next_item, true
end

-- What of a list is still to be sent counts as waiting for whoever looks how far it is; what is left behind does not.
local Coming = {}
Coming.__index = Coming

local function coming(count)
  host.to_come(count)
  return setmetatable({ left = count }, Coming)
end

-- So many are left now.
function Coming:set(left)
  if left == self.left then return end
  host.to_come(left - self.left)
  self.left = left
end

function Coming:__close() self:set(0) end

-- However `map` is left before its end, by an error or because its flow is cancelled: nobody wants the rest.
local Running = {
  __close = function(running)
    for _, part in pairs(running) do
      if part then part.future:cancel() end
    end
  end,
}

--- Calls `fn` on the workers for every item of a list or an iterator; gives the results and their number.
function M.map(fn, items, given)
  if type(fn) ~= "function" then
    local hint = getmetatable(fn) == lib.Task and fn.kind == "call" and ": map(fn, items), with `timeout` among its own options" or ""
    failure.raise("map: expected a function, got " .. failure.a(fn) .. hint)
  end
  if lib.tasks.constructors[fn] then lib.tasks.no_function("map", fn) end
  local next_item, is_list = reader(items)
  local o = lib.options.check("map", given or {})
  local ordered = o.ordered ~= false
  local each = o.timeout and { timeout = o.timeout } -- options of each call
  local together = pace(o.in_flight, lib.pools.slots(), is_list)
  -- By the place of the first item of each part; one more than there may be, as in ends.lua.
  local running <close> = setmetatable({ [0] = false }, Running)
  local total = is_list and max(0, math.tointeger(#items) or 0) or 0
  local rest <close> = coming(total)
  local ended, values, count, done, more = futures.queue(), {}, 0, 0, true

  local function start(part, place, f)
    part.future = f
    running[place] = part
    ends.when_done(f, function()
      ends.asked(f) -- the first that fails is raised here, and the others are of no interest
      ended:put(place)
    end)
  end

  local function send_alone(place, ...)
    local ok, f
    if each then
      ok, f = pcall(lib.tasks.submit_with, each, fn, ...)
    else
      ok, f = pcall(lib.tasks.submit, fn, ...)
    end
    if ok then return f end
    -- What cannot be sent is said as of `submit`.
    error(type(f) == "string" and string.gsub(f, "submit: ", string.format("map: item %d: ", place), 1) or f, 0)
  end

  -- Sends those of a list from `first` to `last`, whose places are `before` more. `number` is that of the first as a task, if it
  -- has one already.
  local function send_list(list, before, first, last, number)
    while first <= last do
      local f, sent = lib.tasks.submit_together(fn, list, first, last, number, each)
      if f then
        start({ list = list, before = before, first = first, last = sent, number = f.id }, before + first, f)
      else
        sent, together.waits = first, true
        start({}, before + first, send_alone(before + first, list[first]))
      end
      if not number then rest:set(max(0, total - before - sent)) end
      number = number and number + sent - first + 1
      first = sent + 1
    end
  end

  local function send_next(item, ...)
    if item == nil then return false end
    count = count + 1
    start({}, count, send_alone(count, item, ...))
    return true
  end

  local function send_more()
    if not is_list then return send_next(next_item()) end
    local list, n = {}, 0
    local item = next_item()
    while item ~= nil do
      n = n + 1
      list[n] = item
      if n == together.size then break end
      item = next_item()
    end
    local before = count
    count = count + n
    send_list(list, before, 1, n)
    return item ~= nil
  end

  local function take(value, place)
    done = done + 1
    values[ordered and place or done] = value
  end

  -- The error says which item failed, where that is known: of several that were with a node that was lost it is not.
  local function fail(part, place, e)
    local behind = e.place or part.first == part.last and 0
    if behind and behind <= (part.last or 0) - (part.first or 0) then e.item = place + behind end
    e.place = nil
    error(e, 0)
  end

  -- What a part came to. Where it took long, the rest of it is sent anew.
  local function finish(part, place)
    local f = part.future
    if not f.well then
      fail(part, place, f.outcome)
    elseif not part.list then
      return take(f.outcome, place)
    end
    local took, results = f.outcome, f.well
    for i = 1, results.n do
      take(results[i], place + i - 1)
    end
    together:learn(took, results.n)
    for first = part.first + results.n, part.last, together.size do
      send_list(part.list, part.before, first, min(first + together.size - 1, part.last), part.number + first - part.first)
    end
  end

  while true do
    -- What has ended comes first: it may be an error, and sending more may have to wait for room.
    local place = ended:take()
    if not place and more and count - done + together.size <= together:most() then
      more = send_more()
      if not more then rest:set(0) end
    elseif not place and done == count then
      return values, count
    else
      while not place do
        ended:wait()
        place = ended:take()
      end
      local part = running[place]
      running[place] = nil
      finish(part, place)
    end
  end
end

return M
