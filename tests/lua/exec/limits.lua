-- Each limit is met by a program that takes more, its failure names it, and nothing else is limited by it. (`processes`
-- binds no root: tests/cli/ulimits.rs.)
local harness = require "harness"
spawn {}
local C = { LC_ALL = "C" }
local function run(options)
  options.env = C
  return await(submit(exec(options)))
end
local function met(r, status, reason)
  assert(r.status == status and r.reason:find(reason, 1, true), tostring(r))
  return r
end

-- Every process of a task has all of them.
local all = { memory = "64 MiB", cpu_time = "90 s", file_size = "3 MiB", open_files = 40 }
local shown = "for limit in d t f n; do ulimit -S$limit; done"
assert(run({ shell = shown, limits = all }).stdout == "65536\n90\n6144\n40\n")
assert(run({ shell = "(sh -c '" .. shown .. "')", limits = all }).stdout == "65536\n90\n6144\n40\n")
local free = run({ shell = shown }).stdout
assert(run({ shell = shown, limits = {} }).stdout == free and not free:find "65536\n90")
assert(run({ shell = "ulimit -t", limits = { cpu_time = 1.5 } }).stdout == "2\n", "whole seconds, upwards")

-- One endless line.
local r = run { cmd = { "tail", "/dev/zero" }, limits = { memory = "64 MiB" }, timeout = "1 min" }
met(r, "nonzero_exit", "exit code 1: it seems to have met its limit of memory, 64 MiB: raise limits.memory; the end of its standard error:")
assert(r.maxrss_bytes < 100 << 20, r.maxrss_bytes)

-- Time on processors, not on the wall; who hears nothing of it is killed.
local loop = "while :; do :; done"
assert(run({ cmd = { "sleep", "1.2" }, limits = { cpu_time = 1 } }).ok)
met(run { shell = loop, limits = { cpu_time = 1 } }, "signal",
  "killed by signal 24 (SIGXCPU): it met its limit of cpu_time, 1 s: raise limits.cpu_time")
met(run { shell = "trap '' XCPU; " .. loop, limits = { cpu_time = 1 } }, "signal",
  "killed by signal 9 (SIGKILL): it seems to have met its limit of cpu_time, 1 s: raise limits.cpu_time")
met(run { shell = "sh -c '" .. loop .. "'; exit $?", limits = { cpu_time = 1 } }, "nonzero_exit",
  "exit code 152: it met its limit of cpu_time, 1 s")

local write = { "dd", "if=/dev/zero", "of=big", "bs=65536", "count=100" }
met(run { cmd = write, cwd = "scratch", limits = { file_size = "1 MiB" } }, "signal",
  "killed by signal 25 (SIGXFSZ): it met its limit of file_size, 1 MiB: raise limits.file_size")
met(run { cmd = { "head", "-c", 2000000, "/dev/zero" }, cwd = "scratch", stdout = "big", limits = { file_size = "1 MiB" } }, "signal",
  "its limit of file_size, 1 MiB")
-- What is captured is no file.
assert(run({ cmd = { "head", "-c", 2000000, "/dev/zero" }, limits = { file_size = 0 } }).stdout_bytes == 2000000)

local paste = { "paste" }
for i = 2, 12 do
  paste[i] = "/dev/null"
end
met(run { cmd = paste, limits = { open_files = 8 } }, "nonzero_exit",
  "exit code 1: it seems to have met its limit of open_files, 8: raise limits.open_files")
assert(run({ cmd = paste, limits = { open_files = 32 } }).ok)

-- What cannot be started says the same as without.
for _, options in ipairs { { cmd = { "/no/such/program" } }, { cmd = { "no-such-program" } }, { cmd = { "true" }, cwd = "no/such/folder" } } do
  local without = run(options)
  options.limits = all
  assert(run(options).reason == without.reason and without.reason, without.reason)
end

-- The other kinds.
local timed = { shell = loop, env = C, limits = { cpu_time = 1 }, runs = 2 }
met(await(submit(measure(timed))), "signal", "killed by signal 24 (SIGXCPU): it met its limit of cpu_time, 1 s")
local c = await(submit(compare {
  base = { cmd = paste }, greedy = { cmd = paste, env = C, limits = { open_files = 8 } }, other = { cmd = paste }, max_rounds = 3,
}))
assert(c.ok and c.verdicts.greedy.reason:find("its limit of open_files, 8", 1, true), tostring(c))
c = await(submit(compare { limits = { open_files = 8 }, base = { cmd = paste, env = C }, other = { cmd = { "true" } }, max_rounds = 3 }))
met(c, "nonzero_exit", "its limit of open_files, 8")

-- A build that met one is no refusal of its source: nobody remembers it.
harness.fs.write("limited.c", "int main(void) { return 0; }\n")
local function build(limits) return await(submit(compile { sources = { "limited.c" }, env = C, limits = limits })) end
met(build { file_size = 100 }, "setup_failed", "its limit of file_size, 100 B: raise limits.file_size")
assert(build().ok)
os.remove "limited.c"

-- A limit is part of what is asked: another one is another question.
local before = submit(exec { cmd = { "true" }, key = "k", limits = { memory = "1 GiB" } })
await(before)
assert(await(submit(exec { cmd = { "true" }, key = "k", limits = { memory = "2 GiB" } })).ok)
