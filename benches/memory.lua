-- For benches/memory: memory.lua PROGRAM. Largest resident sets: of /bin/true three times, then of the program.
local harness = require "harness"
local pool <close> = spawn { workers = 1, slots = 1 }
local function largest(what, cmd)
  local m = await(pool:submit(measure { params = { what = what }, cmd = { cmd }, runs = 5, objective = "maxrss_bytes" }))
  assert(m.ok, m.reason)
  print(math.tointeger(m.stats.max))
end
largest("first", "/bin/true")
await(pool:submit(function() harness.worker.state.kept = { ("x"):rep(1 << 20):rep(1 << 10), ("y"):rep(1 << 20):rep(1 << 10) } end))
largest("beside", "/bin/true")
local prints = "head -c 40000000 /dev/zero; echo; echo t=1"
assert(await(pool:submit(measure { shell = prints, metrics = { t = "t=(%d)" }, runs = 2 })).ok)
largest("after", "/bin/true")
largest("program", arg[1])
