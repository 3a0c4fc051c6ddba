-- What is to happen at a time. Whoever waits asks when the first is due and fires them then.
--
-- A heap: setting and firing cost the logarithm of how many there are. One that is dropped stays until it comes up, or until
-- most are such.
local host = ...
local now = host.now

local M = {}

-- { at = seconds on the clock of `now`, set = its number, wake = function, nil once dropped }; heap[i // 2] is never later
local heap = {}
local size, dropped = 0, 0
local set = 0

-- By time, then by the order they were set.
local function before(a, b)
  if a.at ~= b.at then return a.at < b.at end
  return a.set < b.set
end

local function push(timer)
  size = size + 1
  local i = size
  while i > 1 and before(timer, heap[i // 2]) do
    heap[i] = heap[i // 2]
    i = i // 2
  end
  heap[i] = timer
end

-- The first, taken out.
local function pop()
  local first, last = heap[1], heap[size]
  heap[size] = nil
  size = size - 1
  local i, child = 1, 2
  while child <= size do
    if child < size and before(heap[child + 1], heap[child]) then child = child + 1 end
    if not before(heap[child], last) then break end
    heap[i] = heap[child]
    i, child = child, 2 * child
  end
  if size > 0 then heap[i] = last end
  first.out = true
  return first
end

-- Takes out those dropped ones that stand first.
local function tidy()
  while size > 0 and not heap[1].wake do
    pop()
    dropped = dropped - 1
  end
end

--- Runs those that are due, by time and then in the order they were set.
function M.fire()
  if size == 0 then return end
  local time, due = now(), {}
  while size > 0 and heap[1].at <= time do
    local timer = pop()
    if timer.wake then
      due[#due + 1] = timer.wake
    else
      dropped = dropped - 1
    end
  end
  for _, wake in ipairs(due) do
    wake()
  end
end

--- When the first is due; nil without any.
function M.first()
  tidy()
  return size > 0 and heap[1].at or nil
end

--- Calls `fn` after so many seconds, unless it is dropped.
function M.after(seconds, fn)
  set = set + 1
  local timer = { at = now() + seconds, set = set, wake = fn }
  push(timer)
  return timer
end

function M.drop(timer)
  if timer.out or not timer.wake then return end
  timer.wake = nil
  dropped = dropped + 1
  if dropped < 64 or dropped * 2 < size then return end
  local all = heap
  heap, size, dropped = {}, 0, 0
  for _, other in ipairs(all) do
    if other.wake then push(other) end
  end
end

return M
