-- A helper process lives in the slot, is asked in tables, and is never left behind.
local harness = require "harness"
-- Counts what it is asked; some words make it misbehave.
local script = [[
n=0
while read -r line; do
  n=$((n+1))
  case "$line" in
    *die*) echo "no such luck" >&2; exit 3;;
    *hang*) sleep 1000;;
    *text*) echo "not JSON";;
    *killed*) kill -SEGV $$;;
    *closes*) exec >&-; sleep 1000;;
    *) echo "{\"n\":$n,\"got\":$line,\"greeting\":\"$GREETING\",\"none\":null,\"list\":[1,2.5,\"x\"]}";;
  esac
done
]]
local function start(worker)
  worker.state.helper = harness.session { cmd = { "sh", "-c", script }, env = { GREETING = "hi" }, timeout = "30 s" }
end
local pool <close> = spawn { workers = 1, slots = 1, init = start }
local function ask(question, timeout)
  local answer = harness.worker.state.helper:request(question, timeout)
  return answer
end
local a = await(submit(ask, { x = 1, list = { 1, 2 }, deep = { b = true } }))
assert(a.n == 1 and a.greeting == "hi" and a.none == nil and math.type(a.n) == "integer")
assert(a.got.x == 1 and a.got.list[2] == 2 and #a.list == 3 and a.list[2] == 2.5 and getmetatable(a.list) == nil)
assert(await(submit(ask, { x = 2 })).n == 2)
local long = ("y"):rep(1 << 20)
assert(await(submit(function() return #ask({ long = long }).got.long end)) == 1 << 20)

local function caught(...)
  local ok, e = pcall(await, submit(...))
  assert(not ok)
  return e.message
end
local function fails(question, text, timeout)
  local message = caught(function(...)
    local helper <close> = harness.session { cmd = { "sh", "-c", script } }
    return helper:request(...)
  end, question, timeout)
  assert(message:find("session `sh -c", 1, true) and message:find(text, 1, true), message)
end
fails({ "die" }, "it ended with exit code 3; the end of its standard error: no such luck")
fails({ "killed" }, "it was killed by signal 11 (SIGSEGV)")
fails({ "closes" }, "it closed its standard output and was ended")
fails({ "text" }, "its answer is not a JSON object or array in one line: not JSON")
fails({ "hang" }, "no answer within 0.2 s; it was ended", "200 ms")
assert(caught(ask, { a = { b = { 1, f = 2 } } }):find "session:request: question%.a%.b%[.f.%]: expected a list without names and gaps")
assert(caught(ask, { a = { 1, 0 / 0 } }):find "session:request: question%.a%[2%]: expected a finite number")
assert(caught(ask, { a = "\xff" }):find "session:request: question%.a: expected text in UTF%-8")
assert(caught(ask, {}, "soon"):find "session:request: timeout: expected seconds or a duration")
-- Once it is gone it says so, until there is another one.
assert(caught(ask, { "die" }):find "exit code 3")
assert(caught(ask, { "more" }):find "exit code 3.*start another one")
await(submit(function() start(harness.worker) end))
assert(await(submit(ask, {})).n == 1)
await(submit(function() harness.worker.state.helper:close() end))
assert(caught(ask, {}):find "it is closed; start another one")

-- It ends with its slot, and the next slot has its own.
await(submit(function() start(harness.worker) end))
caught(function() os.exit(1) end)
assert(await(submit(ask, {})).n == 1)
-- A task that waits for it stops in time.
local ok, e = pcall(await, submit(call { ask, { "hang" }, timeout = 0.2 }))
assert(not ok and e.kind == "timeout" and e.message:find "session%.lua:%d+", tostring(e))

assert(caught(harness.session, { cmdd = {} }):find "session: unknown option 'cmdd' %(did you mean 'cmd'%?%)")
assert(caught(harness.session, {}):find "session: 'cmd' is needed: the program and its arguments")
assert(caught(harness.session, { cmd = { "no-such-program" } }):find "session: program `no%-such%-program` not found")
ok, e = pcall(harness.session, { cmd = { "cat" } })
assert(not ok and e:find("harness.session: a session lives in a slot: call it in a task or in the `init` of `spawn`", 1, true), e)
