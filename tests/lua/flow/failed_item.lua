-- map: the error says which item it was, alone or among others, however the call ended.
local harness = require "harness"

local MANY, BAD = 3000, 2345
local list = {}
for i = 1, MANY do list[i] = i end

local function fails(fn, items, options)
  local ok, e = pcall(map, fn, items, options)
  assert(not ok and getmetatable(e) == harness.Error, tostring(e))
  return e
end

-- Short calls travel together by the time it is the turn of this one.
local raised = fails(function(x)
  if x == BAD then error { kind = "bad", message = "it is", x } end
end, list)
assert(raised.item == BAD and raised.value[1] == BAD and raised.kind == "error", raised.item)
assert(tostring(raised):find("^item 2345: bad: it is"), tostring(raised))
assert(raised.place == nil)

local left = fails(function(x)
  if x == BAD then os.exit(3) end
end, list)
assert(left.item == BAD and left.kind == "nonzero_exit", left.item)
assert(left.message:find "exit code 3" and tostring(left):find("^item 2345: "), tostring(left))

local killed = fails(function(x)
  if x == BAD then os.execute "kill -9 $PPID" end
end, list)
assert(killed.item == BAD and killed.kind == "signal", killed.item)

-- What one of them changed for the process is undone before the next; that is counted like the others.
local third = fails(function(x)
  os.setlocale "C"
  if x == 3 then error "third" end
end, { 1, 2, 3, 4 })
assert(third.item == 3 and third.message:find "third", tostring(third))

-- One alone, of a list, of an iterator, and one that waits for a task that fails.
assert(fails(function() error "one" end, { 1 }).item == 1)
local n = 0
local function upto()
  n = n + 1
  return n
end
assert(fails(function(x)
  if x == 50 then error "of an iterator" end
end, upto).item == 50)
local never = submit(function() error "before" end)
local skipped = fails(function(x) return x end, { 1, 2, never })
assert(skipped.item == 3 and skipped.kind == "skipped", skipped.item)

-- Who asks a call of its own is not told of items.
local ok, alone = pcall(await, submit(function() error "alone" end))
assert(not ok and alone.item == nil and not tostring(alone):find "^item", tostring(alone))

-- One that cannot be sent.
local with_coroutine = { 1, 2, coroutine.create(print), 4 }
local sent, why = pcall(map, function(x) return x end, with_coroutine)
assert(not sent and why:find "^failed_item.lua:%d+: map: item 3: cannot ship a coroutine", why)

-- One that takes longer than all may.
local slow = fails(function(x)
  while x == BAD do end
end, list, { timeout = "200 ms" })
assert(slow.item == BAD and slow.kind == "timeout", slow.item)
assert(slow.message:find "ran into its timeout of 0.2 s at failed_item.lua:%d+", slow.message)
local stuck = fails(function(x)
  if x == BAD then os.execute "exec sleep 1000" end
end, list, { timeout = "200 ms" })
assert(stuck.item == BAD and stuck.kind == "timeout", tostring(stuck))
n = 0
local of_iterator = fails(function(x)
  while x == 5 do end
end, upto, { timeout = "200 ms", in_flight = 4 })
assert(of_iterator.item == 5 and of_iterator.kind == "timeout", of_iterator.item)
local values, count = map(function(x) return x + 1 end, list, { timeout = "20 s" })
assert(count == MANY and values[MANY] == MANY + 1)
