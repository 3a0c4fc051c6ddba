-- What it takes until each of so many workers has run a program of 64 MiB that was built by one of them, in s: artefact.lua WORKERS, for
-- benches/artefact. The program itself takes 50 ms. Workers that find it in their cache, as on nodes with one home, are sent nothing.
local harness = require "harness"
local workers = assert(math.tointeger(tonumber(arg[1])), "how many workers?")
local pool <close> = spawn { workers = workers, per_node = workers, slots = 1 }

local function ran(kib)
  local build = string.format("cp $(command -v sleep) out && head -c %dK /dev/urandom >> out", kib)
  local built = pool:submit(compile { cmd = { "sh", "-c", build }, output = "out", cache = false })
  await(built)
  local began, futures, files, count = harness.now(), {}, {}, 0
  for i = 1, workers do
    futures[i] = pool:submit(exec { cmd = { "sh", "-c", 'echo "$0"; exec "$0" 0.05', built } })
  end
  for _, future in ipairs(futures) do
    local run = await(future)
    assert(run.ok, run.summary)
    if not files[run.stdout] then
      files[run.stdout], count = true, count + 1
    end
  end
  assert(count == 1 or count == workers, "a worker has done what was meant for another one")
  return harness.now() - began
end
ran(1)
print(ran(64 << 10))
