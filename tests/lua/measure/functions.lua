-- Functions that look at runs: figures and verdicts, what they see, and what becomes of those that go wrong.
local harness = require "harness"
local yardstick = require "yardstick"

local function run(options)
  options.cmd = options.cmd or not options.shell and { "sh", "-c", "echo sum 42; echo warned >&2" } or nil
  options.runs = options.runs or 2
  return await(submit(measure(options)))
end
local function metric(fn, more)
  local options = { metrics = { x = { fn = fn, unit = "m", better = "more" } } }
  for key, value in pairs(more or {}) do
    options[key] = value
  end
  return run(options)
end

-- A figure, from whatever the function captures: variables, functions, modules at the top and inside, recursion.
local scale = 2
local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
local m = metric(function(r)
  local lazy = require "deeper"
  return scale * tonumber(r.stdout:match "sum (%d+)") + fib(10) + yardstick.scale(1) + lazy.factor
end)
assert(m.ok, m.reason)
assert(#m.metrics.x.value == 2 and m.metrics.x.stats.median == 84 + 55 + 20, m.metrics.x.stats.median)
assert(m.metrics.x.unit == "m" and m.metrics.x.better == "more" and m.samples.x[2] == 159)
scale = 3 -- it was packed when it was submitted

-- It can be the objective, beside metrics that are read, which it sees.
m = run { metrics = { sum = "sum (%d+)", half = { fn = function(r) return r.metrics.sum / 2 end, better = "more" } }, objective = "half" }
assert(m.ok and m.stats.median == 21 and m.better == "more", m.reason)

-- What it is given, and nothing else.
m = run {
  cmd = { "sh", "-c", "echo 12345; printf err >&2; echo 7.5 > made" },
  cwd = "scratch",
  params = { size = 3, of = { "a", "b" } },
  warmup = 1,
  runs = 1,
  verify = {
    every = true,
    fn = function(r)
      local names = {}
      for name in pairs(r) do
        names[#names + 1] = name
      end
      table.sort(names)
      local expected = "dir exit_code inblock majflt maxrss_bytes metrics minflt nivcsw nvcsw oublock params phase stderr stderr_bytes stdout stdout_bytes sys_s user_s wall_s"
      if table.concat(names, " ") ~= expected then return false, "fields: " .. table.concat(names, " ") end
      if r.stdout ~= "12345\n" or r.stdout_bytes ~= 6 or r.stderr ~= "err" or r.stderr_bytes ~= 3 then return false, "streams" end
      if r.exit_code ~= 0 or r.params.size ~= 3 or r.params.of[2] ~= "b" then return false, "plain" end
      if not (r.wall_s > 0 and r.maxrss_bytes > 0) or next(r.metrics) then return false, "figures" end
      local file <close> = io.open(r.dir .. "/made")
      local same <close> = io.open "made" -- relative paths begin there
      if file:read "n" ~= 7.5 or same:read "n" ~= 7.5 then return false, "file" end
      return true
    end,
  },
  metrics = { made = { fn = function(r) return (require("harness").fs.read(r.dir .. "/made")) + (r.phase == "warmup" and 1 or 0) end } },
}
assert(m.ok and m.verify.status == "ok" and m.verify.method == "fn", m.reason)
assert(m.metrics.made.stats.median == 7.5)

-- Each run has a process of its own: nothing is left of the one before.
m = run { runs = 3, metrics = { n = { fn = function()
  local state = require("harness").worker.state
  state.n = (state.n or 0) + 1
  count = (count or 0) + 1
  return state.n + count
end } } }
assert(m.ok and m.metrics.n.stats.max == 2, m.reason)

-- After checks of other kinds and before `conclude`; of a failing run nothing is asked.
m = run {
  cmd = { "sh", "-c", "echo sum 1 > out" },
  cwd = "scratch",
  conclude = { "rm", "out" },
  metrics = { sum = { fn = function() return (io.open("out"):read "a"):match "%d" + 0 end } },
}
assert(m.ok and m.metrics.sum.stats.median == 1, m.reason)
m = run { cmd = { "false" }, metrics = { x = { fn = function() return 1 end } } }
assert(m.status == "nonzero_exit" and m.reason == "warm-up run 1: exit code 1", m.reason)
m = run { verify = { pattern = "total", fn = function() return true end } }
assert(m.status == "verify_failed" and m.reason:find("pattern 'total' is not in the output", 1, true) and m.verify.method == "pattern+fn")

-- What is no figure, each with its text and the place of the function.
local function missing(expected, fn, more)
  m = metric(fn, more)
  assert(m.status == "metric_missing" and m.stats == nil and m.samples.wall_s == nil, m.reason)
  local line = "functions.lua:" .. debug.getinfo(fn, "S").linedefined
  local told = string.format("warm-up run 1: metric `x`: its function at %s ", line) .. expected:gsub("HERE", line)
  assert(m.reason:find(told, 1, true) == 1, m.reason)
  assert(m.exit_code == 0 and m.verify.status == "none")
end
missing("returned nil, not a number", function() end)
missing("returned '42', not a number", function() return "42" end)
missing("returned true, not a number", function() return true end)
missing("returned a table, not a number", function() return {} end)
missing("returned something that cannot travel, not a number", function() return io.tmpfile() end)
missing("returned nan, which is not a finite number", function() return 0 / 0 end)
missing("returned inf, which is not a finite number", function() return 1 / 0 end)
missing("returned -inf, which is not a finite number", function() return -1 / 0 end)
missing("returned 1e200, beyond ±1e150", function() return 1e200 end)
missing("raised an error: HERE: no such thing", function() error "no such thing" end)
missing("raised an error: HERE: attempt to index a nil value (field 'sums')", function(r) return r.metrics.sums.x end)
missing("raised an error: HERE: unknown field 'stdot' (did you mean 'stdout'?) of a run", function(r) return r.stdot end)
missing("raised an error: HERE: module 'no.such' not found", function() return require "no.such" end)
missing("raised an error: HERE: tasks cannot submit tasks", function() return (submit(print)) end)
missing("ended its process: exit code 3 (os.exit?)", function() os.exit(3) end)
missing("ended its process: exit code 0 (os.exit?)", function() os.exit(0) end)
missing("ended its process: killed by signal 9 (SIGKILL)", function() os.execute "kill -KILL $PPID" end)
missing("ended its process: killed by signal 6 (SIGABRT); it was in abort of libc.so.6, called by harness.dl", function()
  require("harness").dl.open("libc.so.6"):fn "void abort()"()
end)
missing("was ended, for what its process said made no sense (", function()
  local dl = require("harness").dl
  dl.open("libc.so.6"):fn "long write(int fd, const char *bytes, long n)"(3, ("\xff"):rep(64), 64)
  while true do end
end)
m = metric(tonumber)
assert(m.status == "metric_missing" and m.reason:find("metric `x`: its function at [C] ", 1, true), m.reason)

-- Later runs too: the samples before stay.
m = run { runs = 5, verify = { every = true, fn = function(r) return r.phase == "warmup", "not again" end } }
assert(m.status == "verify_failed" and m.samples.wall_s == nil and #m.warmup.wall_s == 1, m.reason)
assert(m.reason:find "^sample 1: not again %(says verify%.fn at functions%.lua:%d+%)$", m.reason)
-- Without `every` only the first run is looked at.
m = run { runs = 5, verify = { fn = function(r) return r.phase == "warmup", "not again" end } }
assert(m.ok and m.verify.status == "ok", m.reason)

-- Verdicts and what is none.
local function refused(expected, fn)
  expected = expected:gsub("HERE", "functions.lua:" .. debug.getinfo(fn, "S").linedefined)
  m = run { verify = { fn = fn }, metrics = { never = { fn = function() error "asked all the same" end } } }
  assert(m.status == "verify_failed" and m.stats == nil and m.verify.status == "failed", m.reason)
  assert(m.reason:find(expected, 1, true), m.reason)
end
refused("warm-up run 1: off by 2 (says verify.fn at functions.lua:", function() return false, "off by " .. 2 end)
refused("returned false, without a reason", function() return false end)
refused("returned nil, not true, or false and a reason", function() end)
refused("returned 1, not true, or false and a reason", function() return 1 end)
refused("raised an error: HERE: broken check", function() error "broken check" end)
refused("ended its process: exit code 1 (os.exit?)", function() os.exit(false) end)
m = run { verify = { fn = function() return true end }, metrics = { x = { fn = function() end } } }
assert(m.status == "metric_missing" and m.verify.status == "ok", m.reason)

-- The task's own limits count while a function runs; what it started goes with it.
m = metric(function() while true do end end, { timeout = "1 s" })
assert(m.status == "timeout" and m.reason:find "metric `x`: its function at functions%.lua:%d+: ran into its timeout of 1 s", m.reason)
m = run { verify = { fn = function() os.execute "sleep 600 & sleep 600" return true end }, timeout = "1 s" }
assert(m.status == "timeout" and m.verify.status == "failed", m.reason)
local f = submit(measure { cmd = { "true" }, runs = 1, metrics = { x = { fn = function() while true do end end } } })
f:wait(0.5)
f:cancel()
assert(await(f).status == "cancelled")

-- What it may take of memory is what slots may.
local small <close> = spawn { slots = 1, memory = "32 MiB" }
m = run { metrics = { x = { fn = function()
  local all = {}
  for i = 1, math.huge do all[i] = ("x"):rep(1000) .. i end
end } } }
assert(m.status == "metric_missing" and m.reason:find("could not go on: Lua ran out of memory: its slot may take 32 MiB", 1, true), m.reason)

-- In a comparison likewise, of all or of one.
local c = await(submit(compare {
  max_rounds = 4,
  metrics = { size = { fn = function(r) return #r.stdout end, better = "more" } },
  objective = "size",
  base = { cmd = { "echo", "12345" } },
  longer = { cmd = { "echo", "12345678901" } },
  wrong = { cmd = { "echo" }, verify = { fn = function(r) return #r.stdout > 1, "empty" end } },
}))
assert(c.ok and c.variants.base.metrics.size.stats.median == 6 and c.verdicts.longer.ratio == 2, c.reason)
assert(c.verdicts.wrong.verdict == "verify_failed" and c.verdicts.wrong.reason:find "^warm%-up run 1: empty", c.verdicts.wrong.reason)

-- Of what a launcher started only the wall time is known.
m = run { cmd = { "true" }, launcher = "env R={ranks}", runs = 1, metrics = { x = { fn = function(r) return r.user_s == nil and r.wall_s > 0 and 1 or 0 end } } }
assert(m.ok and m.metrics.x.stats.median == 1, m.reason)

-- A long output comes cut as it was kept, and says so.
m = run { shell = "head -c 20000000 /dev/zero", runs = 1, warmup = 0, metrics = { kept = { fn = function(r) return #r.stdout / r.stdout_bytes end } } }
assert(m.ok and m.metrics.kept.stats.median > 0.8 and m.metrics.kept.stats.median < 0.9, m.reason)

-- What cannot travel is an error at `submit`, at its line.
local handle = io.tmpfile()
local deep = { ["a b"] = { handle } }
local function unshippable(expected, options)
  options.cmd = { "true" }
  local ok, why = pcall(submit, measure(options))
  local _, from = why:find "^functions%.lua:%d+: measure: option "
  assert(not ok and from and why:gsub("functions%.lua:%d+", "LINE"):find(expected, 1, true), why)
end
local tail = "; what it captures has to travel to the node that measures"
unshippable(
  "option 'metrics.x.fn': cannot ship upvalue `handle` (userdata) of function at LINE; path: arg 1" .. tail,
  { metrics = { x = { fn = function() return handle end } } }
)
unshippable(
  "option 'verify.fn': cannot ship a userdata inside upvalue `deep` of function at LINE; path: arg 1 -> upvalue `deep`[\"a b\"][1]" .. tail,
  { verify = { fn = function() return deep end } }
)
local later = submit(function() return 1 end)
unshippable("option 'verify.fn': it needs the result of task ", { verify = { fn = function() return later == 1 end } })
await(later)
m = run { metrics = { x = { fn = function() return later + 1 end } } }
assert(m.ok and m.metrics.x.stats.median == 2, m.reason)
local shared = harness.share { 5 }
m = run { metrics = { x = { fn = function() return shared[1] end } } }
assert(m.ok and m.metrics.x.stats.median == 5, m.reason)
local ok, why = pcall(submit, compare { base = { cmd = { "true" } }, b = { cmd = { "true" }, verify = { fn = function() return handle end } } })
assert(not ok and why:find("compare: b: option 'verify.fn': cannot ship upvalue `handle`", 1, true), why)

local function refuses(expected, options)
  options.cmd = { "true" }
  local ok, why = pcall(measure, options)
  assert(not ok and why:find(expected, 1, true), why)
end
refuses("option 'metrics.x': give one of a Lua pattern, json = \"a.b\", csv = \"column\" and fn = function(run) ... end, not several",
  { metrics = { x = { "(%d)", fn = print } } })
refuses("option 'metrics.x': a function goes by name: { fn = function(run) ... end }", { metrics = { x = print } })
refuses("option 'metrics.x.fn': expected a function of the run, got 'f'", { metrics = { x = { fn = "f" } } })
refuses("option 'verify.fn': expected a function of the run, got true", { verify = { fn = true } })

-- A function that takes away the folder of the next run is told so.
m = await(submit(measure {
  cmd = { "true" },
  cwd = "scratch",
  runs = 3,
  warmup = 0,
  timeout = 30,
  metrics = { x = { fn = function(run) return os.execute("rm -rf " .. run.dir) and 1 end } },
}))
assert(m.status == "setup_failed" and m.reason:find "^sample 2: its scratch folder `/.*` was removed while the task ran: ", m.reason)
