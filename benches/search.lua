-- For benches/search: what ask and tell take (of the processor) in 10 000 trials
-- (medians of rounds of all strategies), and what a long lazy sweep takes of the root.
local harness = require "harness"
local search, sweep = harness.search, harness.sweep

local TRIALS, ROUNDS = 10000, 5
local space = {}
for d = 1, 10 do
  space["x" .. d] = sweep.range(1, 20)
end

-- What a whole search takes, and its last 1000 trials, us each.
local function timed(strategy, name)
  local s = search.new { space = space, strategy = strategy, name = name }
  local began, last = os.clock(), 0.0
  for i = 1, TRIALS do
    if i == TRIALS - 1000 then last = os.clock() end
    local trial, sum = assert(s:ask()), 0.0
    for _, x in pairs(trial.point) do
      sum = sum + (x - 7) * (x - 7)
    end
    s:tell(trial, sum + 1)
  end
  local ended = os.clock()
  return (ended - began) / TRIALS * 1e6, (ended - last) / 1000 * 1e6
end
local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

local strategies = { "random", "hill_climb", "annealing", "genetic", "evolution", "bandit", "mcts" }
local all, ends = {}, {}
for round = 1, ROUNDS do
  for i, strategy in ipairs(strategies) do
    all[i], ends[i] = all[i] or {}, ends[i] or {}
    all[i][round], ends[i][round] = timed(strategy, strategy .. " " .. round)
  end
end
for i, strategy in ipairs(strategies) do
  print(("ask and tell, %-10s %6.1f us, the last 1000 %6.1f us"):format(strategy, median(all[i]), median(ends[i])))
end

local function peak()
  local text = assert(harness.fs.read "/proc/self/status")
  return assert(tonumber(text:match "VmHWM:%s+(%d+)")) / 1024
end
local digits = {}
for d = 1, 12 do
  digits["d" .. d] = sweep.range(0, 9)
end
local million = sweep.cross(digits):order("random"):sample(1000000)
local sums, count = map(function(p) return p.d1 end, million, { in_flight = 1000, ordered = false })
assert(count == 1000000 and #sums == count)
print(("map over 1000000 points of 10^12: at most %.0f MiB of the root"):format(peak()))
assert(peak() < 200, "the root took more than 200 MiB")
