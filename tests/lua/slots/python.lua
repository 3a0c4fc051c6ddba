-- The ready Python side: functions by name, errors with their tracebacks, and an output that nothing spoils.
local harness = require "harness"
local pool <close> = spawn { workers = 1, slots = 1, init = function(worker)
  worker.state.py = harness.session { cmd = { "python3", "server.py" }, env = { PYTHONPATH = "/mine" }, timeout = "60 s", init = function(s) s:call { "add", "first" } end }
end }
local function py(given) return harness.worker.state.py:call(given) end
local function fails(given)
  local ok, e = pcall(await, submit(py, given))
  assert(not ok)
  return e
end
local items = await(submit(py, { "add", 2, { x = 3.5, list = { 1, 2 } } }))
assert(#items == 3 and items[1] == "first" and items[2] == 2 and items[3].x == 3.5 and items[3].list[2] == 2)
assert(await(submit(py, { "noise" })) == "")
assert(await(submit(py, { "echo" })) == nil and await(submit(py, { "echo", false })) == false)
assert(await(submit(py, { "echo", "ü\n\"x\"" })) == "ü\n\"x\"" and await(submit(py, { "echo", 1 << 40 })) == 1 << 40)
local kinds = await(submit(py, { "kinds", harness.json.list {}, {}, harness.json.null, { harness.json.list {} } }))
assert(table.concat(kinds, " ") == "list dict NoneType list" and await(submit(py, { "kinds" }))[1] == nil)
local said = await(submit(function() return harness.worker.state.py:stderr() end))
for _, text in ipairs { "added ('first',)\n", "raw bytes on standard output\n", "from C\n", "from a shell\n" } do
  assert(said:find(text, 1, true), said)
end
-- What a function raises is an error with Python's traceback, and the process goes on with its state.
local e = fails { "divide", 1, 0 }
assert(e.kind == "error" and e.value.kind == "error" and e.message:find("session `python3 server.py`: divide: ZeroDivisionError: division by zero", 1, true), e.message)
assert(e.value.traceback:find("server.py\", line %d+, in divide"), e.value.traceback)
assert(fails({ "divide", 1 }).message:find "divide: TypeError: .*missing 1 required positional argument")
assert(fails({ "not_json" }).message:find "not_json: TypeError: Object of type set is not JSON serializable")
assert(fails({ "infinite" }).message:find "infinite: ValueError")
assert(fails({ "_private" }).message:find "LookupError: there is no function '_private'; there are: add, answers_before, ")
-- What is no text is told and cannot be a value; what cannot be told costs the process nothing either.
assert(fails({ "surrogate", "raise" }).message:find("surrogate: ValueError: cannot read \\udcff", 1, true))
assert(fails({ "surrogate", "return" }).message:find "surrogate: UnicodeEncodeError: ")
assert(fails({ "unprintable" }).message:find("unprintable: Unprintable: (its __str__ raised KeyError)", 1, true))
-- What is no question is an error, and no end.
local raw = await(submit(function() return harness.worker.state.py:request { 1, 2 } end))
assert(raw.error.type == "TypeError" and await(submit(py, { "echo", 3 })) == 3)
-- A child that comes back from the function answers nothing.
assert(await(submit(py, { "forks", "return" })) == "the parent's" and await(submit(py, { "forks", "raise" })) == "the parent's")
assert(await(submit(py, { "echo", 1 })) == 1 and #await(submit(py, { "add" })) == 3)
assert(await(submit(py, { "closes" })) == nil and await(submit(py, { "echo", 2 })) == 2)
-- An answer to another question is nobody's, and neither is what would follow it.
local other = fails { "answers_before" }
assert(other.value.kind == "error" and other.message:find("its answer is to another question: it has `seq` 0, not ", 1, true), other.message)
assert(await(submit(py, { "echo", 2 })) == 2 and await(submit(py, { "echo", 3 })) == 3)
assert(#await(submit(py, { "add" })) == 1)
-- What ends the process is told as such; the next call begins in a new one, after `init`.
e = fails { "leave" }
assert(e.value.kind == "nonzero_exit" and e.message:find "it ended with exit code 4")
assert(#await(submit(py, { "add" })) == 1)
e = fails { "crash" }
assert(e.value.kind == "signal" and e.message:find "it was killed by signal 11 %(SIGSEGV%)")
assert(#await(submit(py, { "add" })) == 1)
-- Mistakes in the call.
assert(fails({ 1 }).message:find "session:call: expected the name of a function first, got 1")
assert(fails({ "echo", timeoutt = 1 }).message:find "session:call: unknown option 'timeoutt' %(did you mean 'timeout'%?%)")
assert(fails({ "echo", timeout = "soon" }).message:find "session:call: option 'timeout': expected seconds or a duration")
assert(fails({ "echo", { 1, 0 / 0 } }).message:find "question%.args%[1%]%[2%] is NaN, which JSON has no form for")
