-- A call that runs away in Lua ends with a traceback of where it was, and its slot lives on; C code costs the slot.
local harness = require "harness"
local pool <close> = spawn { workers = 1, slots = 1, init = function(worker) worker.state.calls = 0 end }
local function calls()
  local state = harness.worker.state
  state.calls = state.calls + 1
  return state.calls
end
local function timeout(fn, ...)
  local ok, e = pcall(await, submit(call { fn, timeout = 0.2, ... }))
  assert(not ok and e.kind == "timeout", tostring(e))
  return e.message, e.traceback
end
local function forever() while true do end end
local expected = 0
local function stops(fn)
  local message, traceback = timeout(fn)
  assert(message:find("^ran into its timeout of 0%.2 s at limits%.lua:%d+$"), message)
  assert(traceback:find("limits.lua:", 1, true) and not traceback:find("[harness]", 1, true), traceback)
  expected = expected + 1
  assert(await(submit(calls)) == expected, "it took the slot with it")
  return traceback
end
local traceback = stops(function()
  forever()
  return 1
end)
assert(select(2, traceback:gsub("limits%.lua:%d+", "")) >= 2, traceback)
-- It cannot be caught for long.
stops(function() while true do pcall(forever) end end)
stops(function() while true do xpcall(forever, function() return "handled" end) end end)
stops(function() return pcall(forever) end)
stops(function()
  local closing <close> = setmetatable({}, { __close = function() pcall(forever) end })
  forever()
end)
-- In coroutines too, of either kind, and where they change all the time.
stops(function() return coroutine.wrap(forever)() end)
stops(function()
  local inner = coroutine.create(function() while true do coroutine.yield() end end)
  while true do coroutine.resume(inner) end
end)
stops(function()
  local outer = coroutine.wrap(function() pcall(coroutine.wrap(function() pcall(forever) end)) forever() end)
  while true do pcall(outer) end
end)
-- A hook of a task ends with it.
await(submit(function() debug.sethook(function() error "hooked" end, "l") end))

assert(await(submit(function() return debug.gethook() end)) == nil)

-- One call of a C function that would take longer than the world is old; a program that sleeps.
local function in_c() return (("a"):rep(60) .. "b"):find(("a?"):rep(60) .. ("a"):rep(60) .. "c") end
local function sleeps() os.execute "sleep inf" end
for _, fn in ipairs { in_c, sleeps } do
  local message = timeout(fn)
  assert(message == "ran into its timeout of 0.2 s in code that is not Lua, which cannot be stopped; its slot was killed", message)
  assert(await(submit(calls)) == 1, "the state was not made anew")
end
-- C code that ends soon after its time is stopped when it returns.
assert(timeout(function() os.execute "sleep 0.5" return 1 end):find "limits%.lua")
assert(await(submit(calls)) == 2)

-- What is cancelled stops as well, and leaves the slot its state.
local f = submit(forever)
f:wait(0.2)
f:cancel()
assert(not pcall(await, f) and await(submit(calls)) == 3)

-- Ways to fail that are not a matter of time.
local ok, e = pcall(await, submit(function() local function down() return 1 + down() end return down() end))
assert(not ok and e.kind == "error" and e.message:find "stack overflow", tostring(e))
ok, e = pcall(await, submit(function() error(setmetatable({}, { __tostring = function() local function f() return 1 + f() end return f() end })) end))
assert(not ok and e.kind == "error" and e.message == "error value {}", tostring(e))
assert(await(submit(calls)) == 4)
