-- What a call raises arrives as harness.Error, with the value itself where it can travel.
local harness = require "harness"
local function caught(fn, ...)
  local ok, e = pcall(await, submit(fn, ...))
  assert(not ok, "it raised nothing")
  assert(getmetatable(e) == harness.Error, tostring(e))
  return e
end

local e = caught(function() error({ code = 5, list = { 1, 2, { deep = true } } }) end)
assert(e.kind == "error" and e.value.code == 5 and e.value.list[3].deep)
e = caught(function() error(setmetatable({ n = 3 }, { __tostring = function(t) return "custom " .. t.n end })) end)
assert(e.message == "custom 3" and e.value.n == 3 and tostring(e.value) == "custom 3", e.message)
e = caught(function() error({ message = "says so", code = 1 }) end)
assert(e.message == "says so" and e.value.code == 1)
e = caught(function() error({ kind = "convergence", message = "after 100 steps" }) end)
assert(e.message == "convergence: after 100 steps" and e.value.kind == "convergence")
e = caught(function() error({ code = 5, list = { 1, 2, { deep = { deeper = {} } } }, ["a b"] = "x\n" }) end)
assert(e.message == "error value { ['a b'] = 'x\\x0a', code = 5, list = { 1, 2, { deep = { ... } } } }", e.message)
e = caught(function()
  local t = {}
  for i = 1, 1000 do t[i] = i end
  error(t)
end)
assert(#e.message < 300 and e.message:find(", ... }", 1, true) and #e.value == 1000, e.message)
e = caught(function() error() end)
assert(e.value == nil and e.message == "an error without a value (error() or error(nil))", e.message)
e = caught(function() error(nil) end)
assert(e.value == nil and e.message == "an error without a value (error() or error(nil))", e.message)
e = caught(function() error(42) end)
assert(e.value == 42 and e.message == "42")
e = caught(function() error(false) end)
assert(e.value == false and e.message == "error value false", e.message)
e = caught(function() error("plain", 0) end)
assert(e.value == "plain" and e.message == "plain")
e = caught(function() error("\xff\0\xfe", 0) end)
assert(e.value == "\xff\0\xfe" and utf8.len(e.message))
e = caught(function() error(function() return 7 end) end)
assert(e.value() == 7 and e.message:find("^error value function: "))
-- What cannot travel is left out; the text is there.
e = caught(function() error({ handle = io.tmpfile(), message = "with a file" }) end)
assert(e.value == nil and e.message == "with a file")
e = caught(function() error(setmetatable({}, { __tostring = function() error "again" end })) end)
assert(e.message == "error value {}", e.message)

-- An error in the handler of errors: Lua's own, and the slot lives on.
e = caught(function() error(select(2, xpcall(error, function() error("again", 0) end, "first")), 0) end)
assert(type(e.message) == "string", tostring(e.message))
e = caught(function()
  local function deep() return 1 + deep() end
  error(select(2, xpcall(deep, function(m) return m .. m.nothing.here end)), 0)
end)
assert(#e.message > 0, e.message)

-- Where it happened, on the slot: only the campaign's own lines.
local function third(t) return t.missing.field end
local function second(t)
  local r = third(t)
  return r
end
e = caught(function(t)
  local r = second(t)
  return r
end, {})
assert(e.message:find("^errors%.lua:%d+: attempt to index a nil value %(field 'missing'%)$"), e.message)
local lines = select(2, e.traceback:gsub("errors%.lua:%d+", ""))
assert(lines >= 3 and not e.traceback:find("[harness]", 1, true) and not e.traceback:find("[C]", 1, true), e.traceback)
local host = await(submit(function() return harness.worker.host end))
assert(e.host == host)
e = caught(function() return coroutine.wrap(function() error({ inside = true }) end)() end)
assert(e.value.inside)
e = caught(function() local function down() return 1 + down() end return down() end)
assert(e.message:find("stack overflow", 1, true), e.message)
e = caught(function() return ("x"):rep(1 << 62) end)
assert(e.message:find("resulting string too large", 1, true), e.message)
e = caught(function() return submit(print) end)
assert(e.message:find("tasks cannot submit tasks: return a value and submit from the script", 1, true), e.message)
e = caught(function() return harness.results() end)
assert(e.message:find("harness.results is for the script, a task cannot use it", 1, true), e.message)
local cross = harness.sweep.cross
e = caught(function() return cross { a = { 1 } } end)
assert(e.message:find("refers to harness.sweep.cross, which is for the script: a task cannot use it", 1, true), e.message)

-- The end of the process is the end of the call, not of the worker.
e = caught(function() os.exit(3) end)
assert(e.host == host)
assert(e.kind ~= "ok" and e.message:find("3", 1, true), e.kind .. ": " .. e.message)
e = caught(function() os.execute("kill -TERM $PPID") while true do end end)
assert(e.kind == "signal" and e.message:find("SIGTERM", 1, true), e.kind .. ": " .. e.message)
assert(await(submit(function() return "alive" end)) == "alive")
-- So is a fault that no instruction made: what goes on after it has no result.
for _, name in ipairs { "SEGV", "BUS" } do
  e = caught(function() os.execute("kill -" .. name .. " $PPID") end)
  assert(e.kind == "signal" and e.message:find("SIG" .. name, 1, true), e.kind .. ": " .. e.message)
end

-- An error raised again keeps what it was.
local ok, again = pcall(function() error(caught(error, { code = 9 }), 0) end)
assert(not ok and again.value.code == 9)
