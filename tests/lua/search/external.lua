-- A program decides: what it is told and may answer, asks ahead of tells, and what goes wrong with it.
local harness = require "harness"
local search, sweep = harness.search, harness.sweep

-- Answers from a list, in turn; says what it read.
local SCRIPTED = [[
import json, sys
log = open(sys.argv[1], "w")
answers = iter(json.loads(sys.argv[2]))
for line in sys.stdin:
    log.write(line)
    log.flush()
    question = json.loads(line)
    what = question["do"]
    if what == "end":
        break
    answer = {"protocol": 1} if what == "hello" else next(answers) if what == "ask" else {}
    print(json.dumps(answer), flush=True)
]]
local folder = harness.fs.tempdir()
local logs = 0
local function scripted(answers, more)
  logs = logs + 1
  local log = folder .. "/" .. logs
  local o = { cmd = { "python3", "-c", SCRIPTED, log, harness.json.encode(harness.json.list(answers)) } }
  for name, value in pairs(more or {}) do o[name] = value end
  return search.external(o), log
end
local function read(log)
  local lines = {}
  for line in io.lines(log) do lines[#lines + 1] = line end
  return lines
end
local function params(p) return { params = p } end

-- What it is told: the space and what else there is, every end a trial may have, points it did not propose, and `end`.
local space = sweep.cross { x = { 1, 2, 3, 4, 5, 6, 7 }, f = { "a", "b" }, sweep.zip { m = { 1, 2 }, n = { 3, 4 } } }
space = space:where(function(p) return p.x ~= 7 end)
local function at(x, f) return { x = x, f = f or "a", m = 1, n = 3 } end
local strategy, log = scripted({
  params(at(2)),
  params(at(3)),
  params(at(4)),
  params(at(7)), -- `where` leaves it out: told at once, and asked again
  params(at(5)),
  params(at(6, "b")),
  params(at(2)), -- known: told what came of it, and asked again
  params(at(3, "b")),
}, { options = { depth = 3 }, timeout = "30 s" })
do
  local s <close> = search.new {
    name = "told",
    space = space,
    strategy = strategy,
    maximise = "rate",
    at_most = { bytes = 100 },
    start = { at(1) },
  }
  s:tell(s:ask(), { rate = 1, bytes = 1 })
  local a, b = s:ask(), s:ask() -- two under way
  assert(a.id == 2 and a.point.x == 2 and b.point.x == 3)
  s:tell(b, { rate = 2.5, bytes = 1 })
  s:tell(a, nil, "failed", "it crashed")
  s:tell(s:ask(), { rate = 9, bytes = 150 })
  s:tell(s:ask(), 0.5, "censored")
  s:tell(s:ask(), nil, "pruned")
  assert(s:ask().point.f == "b" and s:best().value == 2.5)
  assert(tostring(s) == "search of 7 trials (1 censored, 1 failed, 1 infeasible, 2 ok, 1 pruned, 1 running)", tostring(s))
end
local got = read(log)
local hello = harness.json.decode(got[1])
assert(hello["do"] == "hello" and hello.protocol == 1 and hello.name == "search told 1" and hello.constrained and hello.options.depth == 3)
assert(math.type(hello.seed) == "integer" and hello.objectives[1] == "rate" and #hello.objectives == 1)
assert(#hello.space == 3 and hello.space[1].points[2].n == 4 and hello.space[2].name == "f" and not hello.space[2].ordered)
assert(hello.space[3].name == "x" and hello.space[3].ordered and #hello.space[3].values == 7)
local expected = {
  '{"do":"tell","params":{"f":"a","m":1,"n":3,"x":1},"state":"ok","values":[-1]}',
  '{"do":"ask","id":1}',
  '{"do":"ask","id":2}',
  '{"do":"tell","id":2,"params":{"f":"a","m":1,"n":3,"x":3},"state":"ok","values":[-2.5]}',
  '{"do":"tell","id":1,"params":{"f":"a","m":1,"n":3,"x":2},"state":"failed"}',
  '{"do":"ask","id":3}',
  '{"do":"tell","id":3,"params":{"f":"a","m":1,"n":3,"x":4},"state":"infeasible","values":[-9],"violation":0.5}',
  '{"do":"ask","id":4}',
  '{"do":"tell","id":4,"params":{"f":"a","m":1,"n":3,"x":7},"state":"failed"}',
  '{"do":"ask","id":5}',
  '{"do":"tell","id":5,"params":{"f":"a","m":1,"n":3,"x":5},"state":"censored","values":[-0.5]}',
  '{"do":"ask","id":6}',
  '{"do":"tell","id":6,"params":{"f":"b","m":1,"n":3,"x":6},"state":"pruned"}',
  '{"do":"ask","id":7}',
  '{"do":"tell","id":7,"params":{"f":"a","m":1,"n":3,"x":2},"state":"failed"}',
  '{"do":"ask","id":8}',
  '{"do":"end"}',
}
for i, line in ipairs(expected) do
  local told = got[i + 1] and harness.json.encode(harness.json.decode(got[i + 1]))
  assert(told == line, ("%d: %s\ninstead of %s"):format(i, told, line))
end
assert(#got == #expected + 1)

-- It may wait for a trial to be told, and end the search; who runs it asks ahead, and never begins more than the budget.
local waits = scripted { params { x = 1 }, params { x = 2 }, { wait = true }, params { x = 3 }, { ["end"] = true } }
local run = search.run {
  space = { x = { 1, 2, 3, 4 } },
  strategy = waits,
  budget = 100,
  in_flight = 2,
  evaluate = function(p) return submit(function(x) return 10 - x end, p.x) end,
}
assert(#run.trials == 3 and run.best.point.x == 3, tostring(run.search))
local many = scripted { params { x = 1 }, params { x = 2 }, params { x = 3 }, params { x = 4 } }
local few = search.run {
  space = { x = { 1, 2, 3, 4, 5 } },
  strategy = many,
  budget = 3,
  in_flight = 3,
  evaluate = function(p) return submit(function(x) return x end, p.x) end,
}
assert(#few.trials == 3 and few.best.point.x == 1)

-- All points were asked for: the search is over.
local all = scripted { params { x = 2 }, params { x = 1 }, params { x = 1 } }
local whole = search.run { space = { x = { 1, 2 } }, strategy = all, budget = 9, evaluate = function(p) return p.x end }
assert(#whole.trials == 2)

-- Several objectives, and sequences, of which those that may not be are refused.
local two = search.run {
  space = { x = { 1, 2, 3 } },
  strategy = scripted { params { x = 1 }, params { x = 2 }, params { x = 3 } },
  minimise = { "a", "b" },
  budget = 3,
  evaluate = function(p) return { a = p.x, b = math.max(2 - p.x, 0) } end,
}
assert(#two.front == 2 and #two.trials == 3)
local function after(before) return before[#before] == "v" and {} or { "t", "v" } end
local seq, heard = scripted { params { steps = { "t", "t", "v" } }, params { steps = { "v", "t" } } }
local s = search.new { space = search.sequences { actions = after, max = 3 }, strategy = seq }
local trial = s:ask()
assert(table.concat(trial.point.steps, " ") == "t t v")
local ok, why = pcall(s.ask, s)
assert(not ok and why:find("steps = { 'v', 't' } is not in the space: it answered", 1, true), why)
assert(harness.json.decode(read(heard)[1]).space[1].max == 3)

-- What is wrong is told with the program, the line, and the answer; after that the search has ended.
local function refuses(expected, cmd, more)
  local o = type(cmd) == "table" and cmd or { cmd = { "python3", "-c", cmd } }
  for name, value in pairs(more or {}) do o[name] = value end
  local of = search.new { space = { x = { 1, 2 }, y = { "a", "b" } }, strategy = search.external(o) }
  for _ = 1, 2 do
    local good, problem = pcall(of.ask, of)
    assert(not good and problem:find("external.lua:%d+: search.external: `") and problem:find(expected, 1, true), problem)
  end
  of:close()
end
local function answers(hello_answer, answer)
  return ("import sys\nfor line in sys.stdin:\n    print(%q if 'hello' in line else %q, flush=True)"):format(hello_answer, answer or "{}")
end
local good = '{"protocol": 1}'
local function bad(answer, expected) refuses(expected, answers(good, answer)) end
bad('{"params": {"x": 1}}', [[line 2, {"do":"ask","id":1}: 'params' has no 'y': it answered {"params":{"x":1}}]])
bad('{"params": {"x": 3, "y": "a"}}', "x = 3 is not in the space, which has { 1, 2 }: it answered")
bad('{"params": {"x": "1", "y": "a"}}', "x = '1' is not in the space, which has { 1, 2 }")
bad('{"params": {"x": 1, "yy": "a"}}', "unknown parameter 'yy' (did you mean 'y'?) in 'params'")
bad('{"params": [1, "a"]}', "'params' is no object")
bad('{"param": {"x": 1, "y": "a"}}', "unknown field 'param' (did you mean 'params'?); there are params, wait, end, error")
bad('{}', [[to "ask" it answers with one of {"params": {...}}, {"wait": true}, {"end": true}]])
bad('{"params": {"x": 1, "y": "a"}, "wait": true}', [[to "ask" it answers with one of]])
bad('{"wait": true}', "it waits for the end of a trial, and none is under way")
bad('{"error": "no idea"}', "line 2, {\"do\":\"ask\",\"id\":1}: no idea")
bad([[{"error": "\u001b[31mred"}]], [[\x1b[31mred]])
bad('x = 1', "its answer is not a JSON object or array in one line: x = 1; it was ended")
refuses('line 1, {"constrained":false,"do":"hello"', answers '{"protocol": 2}')
refuses('it is greeted in protocol 1, and has to answer {"protocol": 1}: it answered {"protocol":2}', answers '{"protocol": 2}')
refuses("unknown field 'protocoll'", answers '{"protocol": 1, "protocoll": 1}')
refuses("'deterministic' is true or false", answers '{"protocol": 1, "deterministic": 1}')
refuses("it ended with exit code 7; the end of its standard error: no model here", "import sys\nsys.stdin.readline()\nprint('no model here', file=sys.stderr)\nsys.exit(7)")
refuses("it ended with exit code 0", "import subprocess, sys\nsys.stdin.readline()\nsubprocess.Popen(['sleep', '50'])")
refuses("it was killed by signal 9 (SIGKILL)", "import os, sys\nsys.stdin.readline()\nos.kill(os.getpid(), 9)")
refuses("no answer within 0.2 s; it was ended", "import sys, time\nsys.stdin.readline()\ntime.sleep(600)", { timeout = "200 ms" })
refuses("`no-such-program`", { cmd = { "no-such-program" } })

-- Where only its end goes wrong the search has its result.
local badly = search.run {
  space = { x = { 1, 2, 3 } },
  strategy = search.external { cmd = { "python3", "-c", [[
import json, sys
for line in sys.stdin:
    what = json.loads(line)["do"]
    if what == "end":
        sys.exit(9)
    print('{"protocol": 1}' if what == "hello" else '{"params": {"x": 2}}' if what == "ask" else '{}', flush=True)
]] } },
  budget = 1,
  evaluate = function(p) return p.x end,
}
assert(badly.best.point.x == 2)

-- An answer to `tell` comes with the next question.
local told = search.new { space = { x = { 1, 2 } }, strategy = search.external { cmd = { "python3", "-c", [[
import json, sys
for line in sys.stdin:
    what = json.loads(line)["do"]
    print('{"protocol": 1}' if what == "hello" else '{"params": {"x": 1}}' if what == "ask" else '{"thanks": 1}', flush=True)
]] } } }
told:tell(told:ask(), 5)
ok, why = pcall(told.ask, told)
assert(not ok and why:find([[line 3, {"do":"tell","id":1,"params":{"x":1},"state":"ok","values":[5]}: unknown field 'thanks']], 1, true), why)

-- In a search that runs by itself it ends that, at the author's line.
ok, why = pcall(search.run, {
  space = { x = { 1, 2, 3 } },
  strategy = scripted { params { x = 1 }, params { x = 9 } },
  budget = 3,
  in_flight = 1,
  evaluate = function(p) return p.x end,
})
assert(not ok and why:find "^external.lua:%d+: search.external: `python3" and why:find("x = 9 is not in the space", 1, true), why)

-- Its pool is not one that other tasks go to.
local host = await(submit(function() return require("harness").worker.state.searcher == nil end))
assert(host)

local function complains(expected, fn, ...)
  local fine, problem = pcall(fn, ...)
  assert(not fine and problem:find("external.lua:%d+: ") and problem:find(expected, 1, true), problem)
end
complains("search.external: 'cmd' is missing: the program and its arguments", search.new, { space = { x = { 1 } }, strategy = "external" })
complains("search.external: unknown option 'command'", search.external, { command = { "x" } })
complains("search.bandit: option 'strategies': 'external' cannot be one of several", search.new, { space = { x = { 1 } }, strategy = search.bandit { strategies = { "external" } } })
complains("search.optuna: option 'sampler': expected \"tpe\"", search.optuna, { sampler = "bayes" })
complains("search.optuna: the space is one of sequences, for which Optuna has no parameters", search.new, { space = search.sequences { actions = { "a" } }, strategy = "optuna" })
local absent = search.new { space = { x = { 1, 2 } }, strategy = search.optuna { python = "no-such-python" } }
complains("search.optuna: `no-such-python -m harness.optuna`: line 1", absent.ask, absent)
