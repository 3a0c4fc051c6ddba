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
    *text*) echo "Traceback: no module" >&2; echo "not JSON"; sleep 1000;;
    *worn*) echo "worn out" >&2; echo '{"last":true}'; exit 4;;
    *twice*) printf '{"n":1}\n{"n":2}\n';;
    *chatty*) i=0; while [ $i -lt 2000 ]; do echo "warning $i" >&2; i=$((i+1)); done; exit 5;;
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
-- What Lua has no other form for is said with harness.json, and read as text.
local json = harness.json
local function exchange(line) return harness.worker.state.helper:exchange(line) end
local nothing = await(submit(function() return ask({ json.null, json.list {}, {}, { a = json.null } }).got end))
assert(nothing[1] == nil and #nothing[2] == 0 and #nothing[3] == 0)
local exact = await(submit(exchange, '{"a":null,"b":[],"c":{}}'))
assert(exact:find('"got":{"a":null,"b":[],"c":{}}', 1, true) and exact:find('"none":null', 1, true), exact)
assert(await(submit(function() return exchange(json.encode { json.null, json.list {}, {} }) end)):find('"got":[null,[],{}]', 1, true))
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
  assert(message:find "^session%.lua:%d+: session `sh %-c" and message:find(text, 1, true), message)
end
fails({ "die" }, "it ended with exit code 3; the end of its standard error: no such luck")
fails({ "killed" }, "it was killed by signal 11 (SIGSEGV)")
fails({ "closes" }, "it closed its standard output and was ended")
fails({ "text" }, "in one line: not JSON; it was ended; the end of its standard error: Traceback: no module")
-- The end of what it said, in whole lines, however much that was.
fails({ "chatty" }, "exit code 5; the end of its standard error: warning 18")
assert(caught(ask, { "chatty" }):find "warning 1998\nwarning 1999$")
await(submit(function() start(harness.worker) end))
-- The answer of one who gives no number back, and who gives another one.
assert(caught(function() return harness.worker.state.helper:call { "f" } end):find "its answer is to another question: it has no `seq`, not 1; it was ended")
await(submit(function() start(harness.worker) end))
local function numbered(line, seq) return harness.worker.state.helper:exchange(line, nil, nil, seq) end
assert(caught(numbered, "{}", "1"):find "session:exchange: seq: expected a whole number, got '1'")
assert(caught(numbered, '{"seq":7}', 7):find "it has no `seq`, not 7; it was ended")
await(submit(function() start(harness.worker) end))
-- Between two questions.
assert(await(submit(ask, { "worn" })).last)
assert(caught(ask, {}):find "it ended with exit code 4; the end of its standard error: worn out")
await(submit(function() start(harness.worker) end))
assert(await(submit(ask, { "twice" })).n == 1)
assert(caught(ask, {}):find 'printed what nobody asked for and was ended %(one line for each question, nothing else%): {"n":2}')
assert(caught(ask, {}):find "nobody asked for.*without an `init`")
await(submit(function() start(harness.worker) end))
fails({ "hang" }, "no answer within 0.2 s; it was ended", "200 ms")
assert(caught(ask, { a = { b = { 1, f = 2 } } }):find "session:request: question%.a%.b has names or gaps beside its list")
assert(caught(ask, { a = { 1, 0 / 0 } }):find "session:request: question%.a%[2%] is NaN, which JSON has no form for")
assert(caught(ask, { a = "\xff" }):find "session:request: question%.a is not text in UTF%-8")
assert(caught(exchange, "1\n2"):find "session:exchange: expected a line of JSON, got '1\\x0a2'")
assert(caught(exchange, '{"bytes":2,"a":1}'):find("session:exchange: the field \"bytes\" announces bytes where it comes first", 1, true))
local function beside(line, bytes) return harness.worker.state.helper:exchange(line, nil, bytes) end
assert(caught(beside, "[1]", "x"):find "session:exchange: bytes follow an object of JSON, got '%[1%]'")
assert(caught(beside, "{}", 1):find "session:exchange: bytes: expected a string, got 1")
assert(caught(ask, {}, "soon"):find "session:request: timeout: expected seconds or a duration")
-- Once it is gone it says so, until there is another one.
assert(caught(ask, { "die" }):find "exit code 3")
assert(caught(ask, { "more" }):find "exit code 3.*without an `init`")
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
