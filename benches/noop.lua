-- No-op calls through harness, for benches/beside_mpi4py: noop.lua RATE_CALLS AWAITED_CALLS. Prints what
-- benches/mpi4py_noop.py prints.
local harness = require "harness"
local many, few = tonumber(arg[1]) or 200000, tonumber(arg[2]) or 2000

local function nothing() end

local pool <close> = spawn { workers = 1, slots = 2, start = "local" }
pool:submit(nothing):wait()
local began, futures = harness.now(), {}
for i = 1, many do
  futures[i] = submit(nothing)
end
for _, future in ipairs(futures) do
  await(future)
end
print(many / (harness.now() - began))
local times = {}
for i = 1, few do
  began = harness.now()
  await(submit(nothing))
  times[i] = harness.now() - began
end
table.sort(times)
print(times[few // 2 + 1] * 1e6)
