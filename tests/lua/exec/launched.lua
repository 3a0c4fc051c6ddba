-- MPI applications, with `env` for a launcher: what reaches the command, what the record says, and that ranks tell
-- measurements apart.
local pool <close> = spawn { slots = 8 }
local line = "env R={ranks} N={nodes} P={ranks_per_node} H={hosts} F={hostfile}"
local shell = "echo $R $N $P $H $(wc -l < $F) $HARNESS_NUM_RANKS $HARNESS_RANKS_PER_NODE $HARNESS_NODELIST"

local r = await(submit(exec { shell = shell, ranks = 4, launcher = line, launcher_args = { "X=1" } }))
local host = r.hosts[1]
assert(r.stdout == ("4 1 4 %s 4 4 4 %s\n"):format(host, host), r.stdout)
assert(#r.hosts == 1 and r.ranks == 4 and #r.launcher_argv == 7 and r.launcher_argv[7] == "X=1")
assert(r.argv[8] == "/bin/sh" and r.wall_s and r.user_s == nil and r.maxrss_bytes == nil)

-- The command's own search path decides: here there is nothing.
r = await(submit(exec { cmd = { "/bin/true" }, ranks = 2, env = { PATH = "/nowhere" } }))
assert(r.status == "spawn_failed" and r.reason:find("load the MPI's module", 1, true), r.reason)

-- A launcher that refuses says nothing of the program: what counts of what it says is the reason, and it is not lasting.
local refusing = "sh refuse.sh {ranks}"
for _, task in ipairs { exec { cmd = { "true" }, ranks = 2, launcher = refusing }, measure { cmd = { "true" }, ranks = 2, launcher = refusing, runs = 1 } } do
  r = await(submit(task))
  assert(r.status == "spawn_failed" and r.reason:find("not started: mpirun has detected an attempt to run as root; env = {", 1, true), r.reason)
end

r = await(submit(exec { cmd = { "true" }, ranks = 9 }))
assert(r.status == "refused" and r.reason:find("it asks for 9 cores of one worker", 1, true), r.reason)
r = await(submit(exec { cmd = { "true" }, nodes = 2 }))
assert(r.status == "refused" and r.reason:find("nodes = 2", 1, true), r.reason)

local medians = {}
for _, ranks in ipairs { 2, 4, 8 } do
  local m = await(submit(measure { name = "app", shell = "echo ranks $R", ranks = ranks, launcher = line, runs = 2,
    metrics = { ranks = "ranks (%d+)" }, objective = "ranks" }))
  assert(m.ok and m.ranks == ranks and m.stats.median == ranks and m.stats.n == 2, m.reason)
  assert(#m.warmup == 0 and next(m.warmup) == nil, "no warm-up where the number of runs was given")
  assert(m.samples.wall_s and not m.samples.user_s and m.floor_s and not m.maxrss_floor_bytes)
  medians[ranks] = m.stats.median
end
assert(#require "harness".results { name = "app" } == 3)

r = await(submit(exec { shell = "exec env", ranks = 2, launcher = "none", env = { PATH = "/bin:/usr/bin" } }))
assert(r.stdout:find("HARNESS_HOSTFILE=", 1, true) and r.stdout:find("HARNESS_POOL_ID=", 1, true))
assert(#r.launcher_argv == 0 and r.argv[1] == "/bin/sh")

-- What the launcher lets go of is ended with it, also what left its session.
r = await(submit(exec { shell = "setsid sleep 600 & echo $!", ranks = 2, launcher = line }))
assert(r.ok)
local left = await(submit(exec { shell = "kill -0 " .. r.stdout, ok_codes = { 1 } }))
assert(left.ok, left.stderr)
