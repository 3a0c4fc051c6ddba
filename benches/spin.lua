-- Runs of a program as harness times them, for benches/beside_hyperfine: spin.lua RUNS PROGRAM ARGUMENT. A line with
-- wall and CPU time of each.
local m = await(submit(measure { cmd = { arg[2], arg[3] }, runs = math.tointeger(arg[1]), warmup = 1 }))
assert(m.ok, m.reason)
for i, wall_s in ipairs(m.samples.wall_s) do
  print(string.format("%.9f %.9f", wall_s, m.samples.user_s[i] + m.samples.sys_s[i]))
end
