-- A helper with an `init` is started again when it is gone, and begins with it; what became of it is said in one word.
local harness = require "harness"
-- Remembers what it is told; some words make it misbehave.
local script = [[
kept=nothing
while read -r line; do
  case "$line" in
    *keep*) kept=something; echo "{\"kept\":\"$kept\"}";;
    *die*) echo "last words" >&2; exit 3;;
    *segv*) kill -SEGV $$;;
    *hang*) echo "about to hang" >&2; sleep 1000;;
    *text*) echo "not JSON"; echo "{\"late\":true}";;
    *twice*) printf '{"n":1}\n{"n":2}\n';;
    *note*) echo "a note" >&2; echo "{}";;
    *) echo "{\"kept\":\"$kept\"}";;
  esac
done
]]
local pool <close> = spawn { workers = 1, slots = 1, init = function(worker)
  worker.state.helper = harness.session { cmd = { "sh", "-c", script }, init = function(s) s:request { "keep" } end }
end }
-- What came of it, and how often the process was started.
local function ask(word, timeout)
  local helper = harness.worker.state.helper
  local ok, answer = pcall(helper.request, helper, { word }, timeout)
  if ok then return answer.kept, helper.starts end
  return answer.kind, helper.starts, answer.message
end
local function is(kind, starts, text, ...)
  local k, n, message = await(submit(ask, ...))
  assert(k == kind and n == starts and (message or ""):find(text, 1, true), table.concat({ k, n, message or "" }, " "))
  if message then assert(message:find "^restart%.lua:%d+: session `sh %-c", message) end
end
is("something", 1, "", "")
is("nonzero_exit", 1, "it ended with exit code 3; the end of its standard error: last words", "die")
is("something", 2, "", "")
is("signal", 2, "it was killed by signal 11 (SIGSEGV)", "segv")
is("something", 3, "", "")
is("timeout", 3, "no answer within 0.2 s; it was ended; the end of its standard error: about to hang", "hang", "200 ms")
is("something", 4, "", "")
is("error", 4, "its answer is not a JSON object or array in one line: not JSON; it was ended", "text")
is("something", 5, "", "")
-- An answer too many is not taken for the next one's.
await(submit(function()
  local helper = harness.worker.state.helper
  assert(helper:request({ "twice" }).n == 1)
  local ok, e = pcall(helper.request, helper, {})
  assert(not ok and e.kind == "error" and e.message:find("it printed what nobody asked for and was ended", 1, true), e)
  assert(helper:request({}).kept == "something" and helper.starts == 6)
  helper:request { "note" }
  assert(helper:stderr() == "a note\n", helper:stderr())
end))
-- So it is when the task was stopped while it waited.
local ok, e = pcall(await, submit(call { ask, "hang", timeout = 0.2 }))
assert(not ok and e.kind == "timeout", tostring(e))
is("something", 7, "", "")
-- In the task's error it is the value.
ok, e = pcall(await, submit(function() harness.worker.state.helper:request { "die" } end))
assert(not ok and e.kind == "error" and e.value.kind == "nonzero_exit" and e.message:find "^restart%.lua:%d+: session", e.message)
-- An `init` that fails ends it, every time; closed is closed.
await(submit(function()
  local failing = { cmd = { "sh", "-c", script }, init = function(s) s:request { "die" } end }
  local ok, e = pcall(harness.session, failing)
  assert(not ok and e.kind == "nonzero_exit", e)
  local fails = false
  local s = harness.session { cmd = { "sh", "-c", script }, init = function() assert(not fails, "not again") end }
  pcall(s.request, s, { "die" })
  fails = true
  ok, e = pcall(s.request, s, {})
  assert(not ok and e:find "not again", e)
  fails = false
  assert(s:request({}).kept == "nothing" and s.starts == 3)
  s:close()
  ok, e = pcall(s.request, s, {})
  assert(not ok and e.message:find "it is closed; start another one", e)
  ok, e = pcall(harness.session, { cmd = { "cat" }, init = 3 })
  assert(not ok and e:find "session: option 'init': expected a function of the session, got 3", e)
end))
