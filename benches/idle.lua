-- For benches/idle: idle.lua RUNS SECONDS PROGRAM. Median and largest share of a core that the program says we took.
local runs, seconds, program = math.tointeger(arg[1]), arg[2], arg[3]
local pool <close> = spawn { workers = 1, slots = 2 }
await(pool:submit(function() end)) -- a slot is there, too
local m = await(pool:submit(measure {
  cmd = { program, runs, seconds },
  env = { HARNESS_BENCH_IDLE = 1 },
  runs = runs,
  metrics = { share = "share (%S+)" },
  objective = "share",
}))
assert(m.ok, m.reason)
print(m.stats.median, m.stats.max)
