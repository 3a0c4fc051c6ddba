-- What it takes until each of so many workers has used a value of 64 MiB that it has not seen yet, in s: artefact.lua WORKERS, for
-- benches/artefact. Those that find it in their cache, as on nodes with one home, are sent nothing.
local harness = require "harness"
local workers = assert(math.tointeger(tonumber(arg[1])), "how many workers?")
local pool <close> = spawn { workers = workers, per_node = workers, slots = 1 }

-- Each worker has one slot, which uses it once.
local function used(bytes)
  local value = harness.share { text = string.rep("x", bytes) }
  local function first()
    assert(#value.text == bytes)
    local before = harness.worker.state.used
    harness.worker.state.used = bytes
    return before ~= bytes
  end
  local began, futures = harness.now(), {}
  for i = 1, workers do
    futures[i] = pool:submit(first)
  end
  for _, future in ipairs(futures) do
    assert(await(future), "a worker has done what was meant for another one")
  end
  return harness.now() - began
end
used(0)
print(used(64 << 20))
