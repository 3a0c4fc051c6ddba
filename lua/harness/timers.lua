-- What is to happen at a time. Whoever waits asks when the first is due and fires them then.
local host = ...
local now = host.now

local M = {}

local timers = {} -- { at = seconds on the clock of `now`, wake = function }

--- Runs those that are due, in the order they were set.
function M.fire()
  if #timers == 0 then return end
  local time, rest, due = now(), {}, {}
  for _, timer in ipairs(timers) do
    local list = timer.at <= time and due or rest
    list[#list + 1] = timer
  end
  timers = rest
  for _, timer in ipairs(due) do
    timer.wake()
  end
end

--- When the first is due; nil without any.
function M.first()
  if #timers == 0 then return nil end
  local first
  for _, timer in ipairs(timers) do
    if not first or timer.at < first then first = timer.at end
  end
  return first
end

--- Calls `fn` after so many seconds, unless it is dropped.
function M.after(seconds, fn)
  local timer = { at = now() + seconds, wake = fn }
  timers[#timers + 1] = timer
  return timer
end

function M.drop(timer)
  for i, t in ipairs(timers) do
    if t == timer then return table.remove(timers, i) end
  end
end

return M
