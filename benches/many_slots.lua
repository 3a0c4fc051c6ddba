-- Calls that do nothing to a worker of so many slots, all of which have begun, for benches/many_slots: many_slots.lua SLOTS CALLS
-- AWAITED. Prints calls a second, all submitted and then awaited, and the median of one at a time (us).
local harness = require "harness"
local slots, many, few = assert(math.tointeger(arg[1])), assert(tonumber(arg[2])), assert(tonumber(arg[3]))

local function nothing() end
-- Longer than those that a slot is sent ahead: each of as many begins in a slot of its own.
local function begin()
  local ends = os.clock() + 0.001
  while os.clock() < ends do
  end
end

local pool <close> = spawn { workers = 1, slots = slots }
local futures = {}
for i = 1, 4 * slots do
  futures[i] = pool:submit(begin)
end
for _, future in ipairs(futures) do
  await(future)
end
local began = harness.now()
for i = 1, many do
  futures[i] = pool:submit(nothing)
end
for i = 1, many do
  await(futures[i])
end
print(many / (harness.now() - began))
local times = {}
for i = 1, few do
  began = harness.now()
  await(pool:submit(nothing))
  times[i] = harness.now() - began
end
table.sort(times)
print(times[few // 2 + 1] * 1e6)
