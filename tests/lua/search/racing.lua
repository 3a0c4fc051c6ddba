-- Successive halving and races: little is spent on bad points.
local harness = require "harness"
local search = harness.search
local range = harness.sweep.range
local noise = harness.random "noise"

-- 27 points once, the best 9 three times as long, 3, and the best 27 times.
local s = search.new { space = { x = range(1, 200) }, strategy = search.halving { max_budget = 27 } }
local spent, by_budget = 0, {}
for _ = 1, 40 do
  local trial = s:ask()
  spent = spent + trial.budget
  by_budget[trial.budget] = (by_budget[trial.budget] or 0) + 1
  s:tell(trial, math.abs(trial.point.x - 60) / trial.budget ^ 0.1)
end
assert(by_budget[1] == 27 and by_budget[3] == 9 and by_budget[9] == 3 and by_budget[27] == 1 and spent == 4 * 27)
-- What counts as best was given the most; each rung has the best of the one before.
assert(s:best().budget == 27)
local least = { [1] = {}, [3] = {}, [9] = {}, [27] = {} }
for _, trial in ipairs(s:trials()) do table.insert(least[trial.budget], math.abs(trial.point.x - 60)) end
for _, list in pairs(least) do table.sort(list) end
for _, budget in ipairs { 3, 9, 27 } do
  for i, off in ipairs(least[budget]) do assert(off == least[1][i]) end
end
-- While a rung waits for a result the next bracket has begun: nobody is idle.
local busy = search.new { space = { x = range(1, 1000) }, strategy = search.halving { candidates = 9 } }
for _ = 1, 100 do assert(busy:ask()) end

-- A race: the same blocks for all, and blocks differ far more than points do. Who is behind is out.
local race = search.new { space = { x = range(1, 30) }, strategy = search.race { candidates = 12, max_blocks = 30 } }
local best, blocks, runs = math.huge, {}, {}
for trial in race.ask, race do
  local x = trial.point.x
  if trial.block == 1 then best = math.min(best, x) end
  blocks[trial.block] = (blocks[trial.block] or 0) + 1
  runs[x] = (runs[x] or 0) + 1
  race:tell(trial, 1000 * (trial.block % 5) + x + noise:normal(0, 1))
end
assert(blocks[1] == 12 and blocks[5] == 12 and blocks[#blocks] < 6, harness.json.encode(blocks))
assert(math.abs(race:best().point.x - best) <= 2, race:best().point.x .. ", and there was " .. best)
local most = 0
for _, n in pairs(runs) do most = math.max(most, n) end
assert(runs[race:best().point.x] == most)
-- One that fails is out at once; equals run on together to the end.
local even = search.new { space = { x = range(1, 4) }, strategy = search.race { max_blocks = 8 } }
local count = {}
for trial in even.ask, even do
  local x = trial.point.x
  count[x] = (count[x] or 0) + 1
  if x == 3 then even:tell(trial, nil, "failed") else even:tell(trial, trial.block) end
end
assert(count[1] == 8 and count[2] == 8 and count[3] == 1 and count[4] == 8)
-- Several under way: the next block begins before the last one has ended.
local wide = search.new { space = { x = range(1, 20) }, strategy = search.race { candidates = 3, max_blocks = 20 } }
local pending = {}
local drawn = harness.random "ends"
for _ = 1, 200 do
  while #pending < 7 do
    local trial = wide:ask()
    if not trial then break end
    pending[#pending + 1] = trial
  end
  if #pending == 0 then break end
  local trial = table.remove(pending, drawn:integer(1, #pending))
  wide:tell(trial, trial.point.x + noise:normal(0, 0.1))
end
assert(#pending == 0 and wide:ask() == nil)
local smallest = math.huge
for _, trial in ipairs(wide:trials()) do smallest = math.min(smallest, trial.point.x) end
assert(wide:best().point.x == smallest)

-- Between equals somebody is dropped by chance, and about as seldom as `alpha` says: 5 % of the only test there is.
local wrong = 0
for i = 1, 200 do
  local equals = search.new { space = { x = range(1, 4) }, strategy = search.race { min_blocks = 10, max_blocks = 11 }, name = "equal " .. i }
  local n = 0
  for trial in equals.ask, equals do
    n = n + 1
    equals:tell(trial, noise:normal())
  end
  wrong = wrong + (n < 44 and 1 or 0)
end
assert(wrong > 0 and wrong < 22, wrong)

local ok, why = pcall(search.new, { space = { x = range(1, 4) }, strategy = search.halving { min_budget = 4, max_budget = 2 } })
assert(not ok and why:find "^racing.lua:%d+: " and why:find("search.halving: 'min_budget' (4) is above 'max_budget' (2)", 1, true), why)
