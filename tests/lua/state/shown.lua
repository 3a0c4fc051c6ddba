--! prints �binary�
-- What everything is shown as, where a person prints it.
local harness = require "harness"
local function is(value, pattern) assert(tostring(value):find(pattern), tostring(value)) end

print("\xffbinary\x80")

local pool = spawn { workers = 1, slots = 2 }
local host = pool.workers[1].host
is(pool, "^pool %d: 1 worker on 1 node %(" .. host .. "%), 2 slots$")
is(pool.workers[1], "^worker %d+ on " .. host .. ": 2 slots, %d+ cores?, local$")
assert(await(submit(function(w) return w.slots end, pool.workers[1])) == 2)

is(call { print }, "^call task %(not submitted%)$")
is(exec { cmd = { "sleep", 60 } }, "^exec task 'sleep' %(not submitted%)$")
is(exec { shell = "a | b\n" }, "^exec task 'a | b\\x0a' %(not submitted%)$")
is(compile { sources = { "a.c", "b.c" } }, "^compile task 'a.c b.c' %(not submitted%)$")
is(measure { cmd = { "x" }, name = "gemm", params = { tile = 8, order = "ij" } },
  "^measure task 'gemm' { order = 'ij', tile = 8 } %(not submitted%)$")

local f = submit(function() return 1 end)
is(f, "^future of call task %d+ %(pending%)$")
await(f)
is(f, "^future of call task %d+ %(ok%)$")
is(go(function() end), "^future of flow %(ok%)$")

is(await(submit(exec { cmd = { "true" } })), "^exec: ok in ")
is(await(submit(exec { cmd = { "false" }, name = "no", params = { x = 1 } })), "^no x=1: nonzero_exit: exit code 1$")
is(await(submit(measure { cmd = { "true" }, runs = 1 })), "^measure: median ")
is(harness.results(), "^name     status  objective.-\nmeasure  ok      wall_s")
is(harness.results { name = "none" }, "^no measurements$")

local ok, e = pcall(await, submit(function() error("broken") end))
is(e, "^shown.lua:33: broken\nstack traceback on the worker, .-:\n\tshown.lua:33: in ")

local function says(text, fn)
  local good, why = pcall(fn)
  assert(not good and why:find(text, 1, true), tostring(why))
end
says("shown.lua:40: harness: unknown name 'resuls' (did you mean 'results'?)", function() return harness.resuls end)
says("shown.lua:41: harness.worker is for tasks: it is the slot that a call runs in", function() return harness.worker end)

-- An error in the handler of errors, and in what an error value is shown by: Lua's own, and life goes on.
ok, e = xpcall(error, function() error("again", 0) end, "first")
assert(ok == false and type(e) == "string", tostring(e))
local silent = setmetatable({ code = 7 }, { __tostring = function() error("no words") end })
ok, e = pcall(await, go(function() error(silent) end))
assert(not ok and e == silent)
ok, e = pcall(await, submit(function() error(silent) end))
assert(not ok and e.message == "error value { code = 7 }" and e.value.code == 7, tostring(e))
