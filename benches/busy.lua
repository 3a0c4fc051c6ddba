-- How busy a worker's two slots are kept, for benches/over_mpi: busy.lua MS... Prints, for calls that compute for so long each
-- (ms), the part of the time in which the slots did that (%).
local harness = require "harness"

local function compute(s)
  local now = require("harness").now
  local over = now() + s
  while now() < over do
  end
end

local pool <close> = spawn { workers = 1, slots = 2 }
for _, ms in ipairs(arg) do
  local s, calls = ms / 1e3, math.floor(2000 / ms)
  await(pool:submit(compute, s))
  local began, futures = harness.now(), {}
  for i = 1, calls do
    futures[i] = pool:submit(compute, s)
  end
  for _, future in ipairs(futures) do
    await(future)
  end
  print(100 * calls * s / 2 / (harness.now() - began))
end
