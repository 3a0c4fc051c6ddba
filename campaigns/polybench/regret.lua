-- How good is a strategy? Searches in the recorded tables, where the best variant is known.
--
--   harness campaigns/polybench/regret.lua
--
-- Each strategy has 20 searches of 60 trials in each table, with other random numbers. The regret after so many trials is
-- how much slower the best variant so far is than the best there is, in percent; the table has its mean over the
-- searches and over the kernels. In the last column is in how many of the kernels a strategy has less regret than
-- random points after 40 trials. Nothing is measured here: the same seed gives the same figures everywhere.
local harness = require "harness"
local search = harness.search
local args = harness.args {
  seeds = { 20, "searches of each strategy and table" },
  check = { false, "fail unless the search that is the default beats random points in at least 6 of 8 tables" },
}
local KERNELS = { "2mm", "atax", "correlation", "fdtd-2d", "gemm", "jacobi-2d", "lu", "seidel-2d" }
local STRATEGIES = { "random", "lhs", "sobol", "hill_climb", "annealing", "genetic", "evolution", "mcts", "bandit" }
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

-- The regret of one search after as many trials as AFTER says.
local function regrets(times, least, strategy, name)
  local s = search.new { space = space, strategy = strategy, name = name }
  local found, best = {}, math.huge
  for i = 1, AFTER[#AFTER] do
    local trial = assert(s:ask())
    local p = trial.point
    local time = times[table.concat({ p.order, p.tile_i, p.tile_j, p.unroll, p.flags }, ",")]
    s:tell(trial, time)
    best = math.min(best, time or math.huge)
    for k, after in ipairs(AFTER) do
      if i == after then found[k] = 100 * (math.min(best / least, 10) - 1) end -- while nothing ran well: 10 times
    end
  end
  return found
end

-- { [strategy] = { [kernel] = { mean regret after each of AFTER } } }
local means = {}
for _, strategy in ipairs(STRATEGIES) do
  means[strategy] = {}
  for _, kernel in ipairs(KERNELS) do
    local times, least = table_of(kernel)
    local sums = {}
    for seed = 1, args.seeds do
      for k, regret in ipairs(regrets(times, least, strategy, ("%s %s %d"):format(strategy, kernel, seed))) do
        sums[k] = (sums[k] or 0) + regret / args.seeds
      end
    end
    means[strategy][kernel] = sums
  end
end

print "| strategy | 5 trials | 10 | 20 | 30 | 40 | 60 | beats random |\n|---|---|---|---|---|---|---|---|"
local wins = {}
for _, strategy in ipairs(STRATEGIES) do
  local row, won = {}, 0
  for k in ipairs(AFTER) do
    local sum = 0
    for _, kernel in ipairs(KERNELS) do
      sum = sum + means[strategy][kernel][k] / #KERNELS
    end
    row[k] = ("%.1f"):format(sum)
  end
  for _, kernel in ipairs(KERNELS) do
    if means[strategy][kernel][JUDGED] < means.random[kernel][JUDGED] then won = won + 1 end
  end
  wins[strategy] = won
  local beats = strategy == "random" and "" or ("%d of %d"):format(won, #KERNELS)
  print(("| `%s` | %s | %s |"):format(strategy, table.concat(row, " | "), beats))
end
if args.check then assert(wins.bandit >= 6, "the default beats random points in " .. wins.bandit .. " tables only") end
