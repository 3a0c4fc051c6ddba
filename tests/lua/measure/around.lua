--! says harness: 15 tasks: 8 ok, 1 nonzero_exit, 2 timeout, 1 verify_failed, 3 setup_failed
-- What runs around the runs: when, where, and what its failure is.
local log = os.tmpname()
local function lines()
  local all = {}
  for line in io.lines(log) do all[#all + 1] = line end
  os.remove(log)
  return table.concat(all, " ")
end
local function note(word) return string.format("echo %s >> %s", word, log) end
local function run(options) return await(submit(measure(options))) end

-- In the folder and with the environment of the program; a command or a line; a build among its words.
local tool = submit(compile { cmd = { "sh", "-c", "printf '#!/bin/sh\\necho $1-$HERE >> " .. log .. "\\n' > t; chmod +x t" }, output = "t", cache = false })
local m = run {
  cmd = { "sh", "-c", note "run" .. "; test -e made" },
  cwd = "scratch",
  env = { HERE = "x" },
  runs = 2,
  setup = { tool, "setup" },
  prepare = note "prepare" .. "; touch made",
  conclude = { "rm", "made" },
  cleanup = note "cleanup",
}
assert(m.ok, m.reason)
assert(lines() == "setup-x" .. string.rep(" prepare run", 3) .. " cleanup")
assert(#m.samples.wall_s == 2 and #m.hooks.prepare_s == 3 and #m.hooks.conclude_s == 3, "warm-up and samples")
assert(m.hooks.setup_s > 0 and m.hooks.cleanup_s > 0 and m.hooks.cleanup_failure == nil)
assert(run({ cmd = { "true" }, runs = 1 }).hooks == nil)

-- It is timed apart.
m = run { cmd = { "true" }, runs = 1, warmup = 0, prepare = { "sleep", 0.2 } }
assert(m.hooks.prepare_s[1] >= 0.2 and m.samples.t_start_s[1] >= 0.2)

-- Runs for counters have it around them too.
m = run { shell = note "run", runs = 2, warmup = 0, counters = { "page-faults" },
  prepare = note "prepare", conclude = note "conclude", cleanup = note "cleanup" }
assert(m.ok and m.counters["page-faults"] and #m.hooks.prepare_s == 4, m.reason)
assert(lines() == string.rep("prepare run conclude ", 4) .. "cleanup")

-- Without its launcher.
m = run { shell = "test $R = 1", launcher = "env R={ranks}", runs = 1, prepare = "test -z $R", cleanup = "test -z $R" }
assert(m.ok and m.launcher_argv[1] == "env" and #m.hooks.prepare_s == 1 and m.hooks.cleanup_failure == nil, m.reason)

-- Which one failed, where, and what it said; the cleanup comes all the same.
m = run { cmd = { "true" }, runs = 3, setup = "echo no disk >&2; exit 4", cleanup = note "cleanup" }
assert(m.status == "setup_failed" and m.reason == "setup: exit code 4; the end of its standard error:\nno disk", m.reason)
assert(m.stderr_tail == "no disk\n" or m.stderr_tail == "no disk")
assert(m.exit_code == 4 and m.stats == nil and lines() == "cleanup")
m = run { cmd = { "true" }, runs = 3, prepare = { "no-such-program" } }
assert(m.status == "setup_failed" and m.reason:find("^prepare before warm%-up run 1: .*no%-such%-program"), m.reason)
m = run { shell = note "run", runs = 3, conclude = "test $(wc -l < " .. log .. ") -lt 3" }
assert(m.status == "setup_failed" and m.reason:find("^conclude after sample 2: exit code 1"), m.reason)
assert(#m.samples.wall_s == 2 and lines() == "run run run")
m = run { shell = note "run" .. "; exit 3", runs = 3, conclude = note "conclude", cleanup = note "cleanup" }
assert(m.status == "nonzero_exit" and m.reason == "warm-up run 1: exit code 3" and lines() == "run conclude cleanup")
m = run { cmd = { "true" }, runs = 3, cleanup = "echo stuck >&2; false" }
assert(m.ok and table.concat(m.flags, " "):find "cleanup_failed" and m.hooks.cleanup_failure:find("^cleanup: exit code 1; .*stuck"))

-- After a timeout too, and whatever was running then.
m = run { cmd = { "sleep", 600 }, timeout = "200 ms", cleanup = note "cleanup" }
assert(m.status == "timeout" and lines() == "cleanup")
m = run { cmd = { "true" }, runs = 1, prepare = { "sleep", 600 }, timeout = "200 ms", cleanup = note "cleanup" }
assert(m.status == "timeout" and m.reason:find("^prepare before warm%-up run 1: ran into its timeout") and lines() == "cleanup", m.reason)

-- In a comparison each variant has its own, or that of all.
local c = await(submit(compare {
  max_rounds = 2,
  setup = note "all",
  base = { cmd = { "true" } },
  other = { cmd = { "true" }, setup = note "other" },
}))
assert(c.ok and lines() == "all other" and c.variants.base.hooks.setup_s > 0)
c = await(submit(compare { base = { cmd = { "true" }, verify = { stdout = "x" } }, other = { cmd = { "true" } }, cleanup = note "cleanup" }))
assert(c.status == "verify_failed" and lines() == "cleanup cleanup", c.reason)

local function refuses(expected, options)
  options.cmd = { "true" }
  local ok, why = pcall(measure, options)
  assert(not ok and why:find(expected, 1, true), why)
end
refuses("around.lua:79: measure: unknown option 'prepar' (did you mean 'prepare'?)", { prepar = "true" })
refuses("measure: option 'setup': expected a command { program, ... } or a line for the shell, got 5", { setup = 5 })
refuses("measure: option 'cleanup': expected a program and its arguments, not an empty list", { cleanup = {} })
refuses("measure: option 'conclude[2]': expected a string, a number or a future, got true", { conclude = { "a", true } })
