-- Errors of calls: kind, message, traceback, value; and what a script may not do with futures.
local harness = require "harness"
local function says(text, fn, ...)
  local ok, e = pcall(fn, ...)
  assert(not ok, "no error: " .. text)
  assert(tostring(e):find(text, 1, true), ("expected `%s`, got `%s`"):format(text, tostring(e)))
  return e
end

local function fails(x)
  local t = { x = x }
  return t.y.z
end
local e = says("errors.lua:12: attempt to index a nil value (field 'y')", await, submit(fails, 1))
assert(getmetatable(e) == harness.Error and e.kind == "error" and e.host == spawn {}.workers[1].host)
assert(e.message == "errors.lua:12: attempt to index a nil value (field 'y')", e.message)
assert(e.traceback:find("errors.lua:12", 1, true), e.traceback)
assert(tostring(e):sub(1, #e.message) == e.message)
e = says("", await, submit(function() error({ code = 5 }) end))
assert(e.value.code == 5)

-- What a call depends on and failed: skipped, with its cause.
local bad = submit(function() error("first", 0) end)
e = says("", await, submit(function(x) return x end, bad))
assert(e.kind == "skipped" and e.cause.message == "first", tostring(e))
e = says("", await, submit(function(x) return x end, { deep = { bad } })) -- `bad` has ended now
assert(e.kind == "skipped" and e.cause.message == "first", tostring(e))
local got = await(submit(call { function(x) return x.status end, submit(exec { cmd = { "false" } }), accept_failed = true }))
assert(got == "nonzero_exit", got)
local failed = submit(exec { cmd = { "false" } })
await(failed)
assert(await(submit(call { function(x) return x.status end, failed, accept_failed = true })) == "nonzero_exit")
e = says("", await, submit(function(x) return x end, failed))
assert(e.kind == "skipped" and e.cause.status == "nonzero_exit")

says("errors.lua:37: await: expected a future, got nil", function()
  await(nil)
end)
says("await: expected a future, got a task that was not submitted: await(submit(...))", await, exec { cmd = { "true" } })
says("submit: expected a function or a task, got a table (submit(exec{...}), submit(measure{...}), ...)", submit, { cmd = {} })
says("submit: a task takes no further arguments; only a function does", submit, exec { cmd = { "true" } }, 1)
says("go: expected a function, got a number", go, 5)
says("on_done: expected a function, got a nil", function() submit(fails, 1):on_done() end)
says("wait: expected a list of futures, got a future", wait, bad)
says("wait: expected a list of futures, got a number at [2]", wait, { bad, 5 })
says("as_completed: expected a list of futures, got a nil", as_completed)
says("map: expected a list or an iterator, got a nil", map, fails)
says("a flow cannot cancel itself", function()
  local me
  me = go(function()
    await(submit(function() end))
    me:cancel()
  end)
  await(me)
end)

-- What cannot be shipped is an error at submit, at the author's line.
local handle = io.tmpfile()
says("errors.lua:60: ", function()
  submit(function() return handle end)
end)
says("cannot ship upvalue `handle`", submit, function() return handle end)

-- What was skipped names its cause, although the record of that is written to the journal before it is told.
for i = 1, 20 do
  local missing = submit(compile { sources = { "missing.c" }, name = i })
  local run = submit(measure { cmd = { missing }, runs = 1, exclusive = false })
  local slow = submit(exec { cmd = { "true" } })
  e = says("", await, submit(function(...) return ... end, slow, run))
  assert(e.kind == "skipped" and e.cause.status == "skipped" and e.cause.cause.status == "setup_failed", tostring(e))
end
local wrong = {}
for i = 1, 20 do
  wrong[i] = submit(compile { cmd = { "sh", "-c", "exit 1" }, output = "x", params = { i = i } })
  local run = submit(measure { cmd = { wrong[i] }, runs = 1, exclusive = false })
  wrong[i] = submit(function(...) return ... end, run)
end
for _, f in ipairs(wrong) do
  e = says("", await, f)
  assert(e.kind == "skipped" and e.cause.status == "skipped" and e.cause.cause.status == "compile_failed", tostring(e))
end
