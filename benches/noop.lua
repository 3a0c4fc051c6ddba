-- Calls through harness, for benches/beside_executors and benches/over_mpi: noop.lua CALLS AWAITED ITEMS. Prints what
-- benches/executor_noop.py prints, but for chunks of 100: of a `map` to which no chunk size is given, and of one over tables of 1000.
-- How the worker starts, --start says.
local harness = require "harness"
local many, few, items = tonumber(arg[1]) or 200000, tonumber(arg[2]) or 2000, tonumber(arg[3]) or 1000000

local function nothing() end

local pool <close> = spawn { workers = 1, slots = 2 }
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

local list, total = {}, 0
for i = 1, items do
  list[i] = i - 1
end
began = harness.now()
for _, value in ipairs((map(function(x) return x + 1 end, list))) do
  total = total + value
end
print(items / (harness.now() - began))
assert(total == items * (items + 1) // 2)

began, total = harness.now(), 0
local chunks = {}
for first = 1, items, 1000 do
  chunks[#chunks + 1] = table.move(list, first, first + 999, 1, {}) -- none is there behind the last
end
local function each(values)
  for i, value in ipairs(values) do
    values[i] = value + 1
  end
  return values
end
for _, values in ipairs((map(each, chunks))) do
  for _, value in ipairs(values) do
    total = total + value
  end
end
print(items / (harness.now() - began))
assert(total == items * (items + 1) // 2)

-- As with the others, what came before is gone.
futures, list, chunks = {}, {}, {}
collectgarbage()
local large = string.rep("x", 64 << 20)
times = {}
for i = 1, 15 do -- the first ones find memory that nobody used before
  began = harness.now()
  assert(#await(submit(function(x) return x end, large)) == #large)
  times[i] = harness.now() - began
end
table.sort(times)
print(2 * #large / 1e6 / times[8])
