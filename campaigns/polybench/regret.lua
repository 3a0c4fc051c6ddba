-- How good is a strategy? Searches in the recorded tables, where the best variant is known.
--
--   harness campaigns/polybench/regret.lua
--
-- Each strategy has 20 searches of 60 trials in each table, with other random numbers. The regret after so many trials is
-- how much slower the best variant so far is than the best there is, in percent; the table has its mean over the
-- searches and over the kernels. In the last column is in how many of the kernels a strategy has less regret than
-- random points after 40 trials. Nothing is measured here: the same seed gives the same figures everywhere.
--
-- A second table is of what strategies know that decide how often a point is run. There every run takes the recorded time,
-- off by 10 % at random, and runs are counted: 9 for a trial of the others, and one for each that failed. The regret
-- is that of what the search holds to be best.
local harness = require "harness"
local search = harness.search
local args = harness.args {
  seeds = { 20, "searches of each strategy and table" },
  check = { false, "fail unless the search that is the default beats random points in at least 6 of 8 tables" },
}
local KERNELS = { "2mm", "atax", "correlation", "fdtd-2d", "gemm", "jacobi-2d", "lu", "seidel-2d" }
local STRATEGIES = { "random", "grid", "lhs", "sobol", "hill_climb", "annealing", "genetic", "evolution", "mcts", "bandit" }
local BY_RUNS = { "random", "grid", "bandit", "halving", "race" }
local NOISE, RUNS = 0.1, 9 -- of a run; of a trial
local AFTER = { 5, 10, 20, 30, 40, 60 }
local JUDGED = 5 -- after 40

-- Times by point; nil where the variant failed.
local function table_of(kernel)
  local times, least = {}, math.huge
  local text = assert(harness.fs.read(("tables/%s.csv"):format(kernel)))
  for order, tile_i, tile_j, unroll, flags, time in text:gmatch "(%d+),(%d+),(%d+),(%d+),([^,\n]+),([^,\n]+)\n" do
    local key = table.concat({ order, tile_i, tile_j, unroll, flags }, ",")
    times[key] = tonumber(time)
    least = math.min(least, times[key] or math.huge)
  end
  return times, least
end

local space = {
  order = { 0, 1, 2 },
  tile_i = { 8, 32, 96 },
  tile_j = { 8, 32, 96 },
  unroll = { 1, 2, 4 },
  flags = { "-O1", "-O2", "-O3", "-O3 -march=native -ffast-math" },
}

local function time_of(times, p) return times[table.concat({ p.order, p.tile_i, p.tile_j, p.unroll, p.flags }, ",")] end

-- While nothing ran well: 10 times.
local function regret(time, least) return 100 * (math.min((time or math.huge) / least, 10) - 1) end

-- The regret of one search after as many trials as AFTER says.
local function regrets(times, least, strategy, name)
  local s = search.new { space = space, strategy = strategy, name = name }
  local found, best = {}, math.huge
  for i = 1, AFTER[#AFTER] do
    local trial = assert(s:ask())
    local time = time_of(times, trial.point)
    s:tell(trial, time)
    best = math.min(best, time or math.huge)
    for k, after in ipairs(AFTER) do
      if i == after then found[k] = regret(best, least) end
    end
  end
  return found
end

-- What a trial was told, and how many runs that took.
local function evaluated(trial, time, random)
  if not time then return nil, 1 end
  local n, sum = trial.budget or trial.block and 1 or RUNS, 0.0
  for _ = 1, n do
    sum = sum + time * math.exp(NOISE * random:normal())
  end
  return sum / n, n
end

-- The same after RUNS times as many runs. What a search that has ended found stays.
local function regrets_by_runs(times, least, strategy, name)
  local s = search.new { space = space, strategy = strategy, name = name }
  local random, found, runs = harness.random(name), {}, 0.0
  for k, after in ipairs(AFTER) do
    while runs < RUNS * after do
      local trial = s:ask()
      if not trial then break end
      local figure, n = evaluated(trial, time_of(times, trial.point), random)
      runs = runs + n
      s:tell(trial, figure)
    end
    local best = s:best()
    found[k] = regret(best and time_of(times, best.point), least)
  end
  return found
end

-- { [strategy] = { [kernel] = { mean regret after each of AFTER } } }
local function means_of(strategies, regrets_of, what)
  local means = {}
  for _, strategy in ipairs(strategies) do
    means[strategy] = {}
    for _, kernel in ipairs(KERNELS) do
      local times, least = table_of(kernel)
      local sums = {}
      for seed = 1, args.seeds do
        for k, each in ipairs(regrets_of(times, least, strategy, ("%s%s %s %d"):format(what, strategy, kernel, seed))) do
          sums[k] = (sums[k] or 0) + each / args.seeds
        end
      end
      means[strategy][kernel] = sums
    end
  end
  return means
end

-- The means over the kernels, as cells.
local function cells(of_kernels)
  local row = {}
  for k in ipairs(AFTER) do
    local sum = 0.0
    for _, kernel in ipairs(KERNELS) do
      sum = sum + of_kernels[kernel][k] / #KERNELS
    end
    row[k] = ("%.1f"):format(sum)
  end
  return table.concat(row, " | ")
end

local means = means_of(STRATEGIES, regrets, "")
print "| strategy | 5 trials | 10 | 20 | 30 | 40 | 60 | beats random |\n|---|---|---|---|---|---|---|---|"
local wins = {}
for _, strategy in ipairs(STRATEGIES) do
  local won = 0
  for _, kernel in ipairs(KERNELS) do
    if means[strategy][kernel][JUDGED] < means.random[kernel][JUDGED] then won = won + 1 end
  end
  wins[strategy] = won
  local beats = strategy == "random" and "" or ("%d of %d"):format(won, #KERNELS)
  print(("| `%s` | %s | %s |"):format(strategy, cells(means[strategy]), beats))
end

print "\n| strategy | 45 runs | 90 | 180 | 270 | 360 | 540 |\n|---|---|---|---|---|---|---|"
local by_runs = means_of(BY_RUNS, regrets_by_runs, "runs of ")
for _, strategy in ipairs(BY_RUNS) do
  print(("| `%s` | %s |"):format(strategy, cells(by_runs[strategy])))
end
if args.check then assert(wins.bandit >= 6, "the default beats random points in " .. wins.bandit .. " tables only") end
