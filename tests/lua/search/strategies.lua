-- Every strategy goes downhill, whoever is told first, and asks for each point once.
local harness = require "harness"
local search = harness.search
local range = harness.sweep.range

-- A valley with ripples, and values without an order: the least is 1.
local flags = { "-O0", "-O1", "-O2", "-O3", "-Os" }
local cost = { ["-O0"] = 3, ["-O1"] = 1.5, ["-O2"] = 1.1, ["-O3"] = 1, ["-Os"] = 1.4 }
local space = { a = range(0, 30), b = range(0, 30), c = range(0, 30), flags = flags }
local function height(p)
  local far = (p.a - 17) ^ 2 + (p.b - 5) ^ 2 + (p.c - 28) ^ 2
  return cost[p.flags] * (1 + far / 100 + ((p.a + p.b) % 3) * 0.05)
end

-- Eight under way at any time; the next to be told is drawn.
local function found_by(strategy, name)
  local s = search.new { space = space, strategy = strategy, name = name }
  local drawn, pending, seen = harness.random("ends of " .. name), {}, {}
  for _ = 1, 240 do
    while #pending < 8 do
      local trial = s:ask()
      local key = harness.json.encode(trial.point)
      assert(not seen[key], key)
      seen[key], pending[#pending + 1] = true, trial
    end
    local trial = table.remove(pending, drawn:integer(1, #pending))
    if drawn:float() < 0.05 then
      s:tell(trial, nil, "failed")
    else
      s:tell(trial, height(trial.point))
    end
  end
  return s:best().value
end

local function median(list)
  table.sort(list)
  return list[#list // 2 + 1]
end
local function typical(strategy)
  local found = {}
  for seed = 1, 9 do found[seed] = found_by(strategy, strategy .. seed) end
  return median(found)
end
local floor = typical "random"
for _, name in ipairs { "hill_climb", "annealing", "genetic", "evolution", "bandit", "mcts" } do
  local found = typical(name)
  print(name, found, floor)
  assert(found < floor, name)
end

-- Those that do not look at results fill the space evenly: of 32 points each of 16 columns has two, and each of 4 x 4
-- fields of every two dimensions two (a net in base 2), where random points leave some empty.
local function counted(strategy, fields)
  local s = search.new { space = { x = range(0, 63), y = range(0, 63) }, strategy = strategy }
  local counts = {}
  for _ = 1, 32 do
    local p = s:ask().point
    for _, key in ipairs(fields(p)) do counts[key] = (counts[key] or 0) + 1 end
  end
  for key, count in pairs(counts) do assert(count == 2, key .. ": " .. count) end
end
local function columns(p) return { "x" .. p.x // 4, "y" .. p.y // 4 } end
counted(search.lhs { points = 32 }, columns)
counted("sobol", columns)
counted("sobol", function(p) return { p.x // 16 .. " " .. p.y // 16 } end)

-- Grid and the tree come to an end when all was asked for; so do the others.
for _, name in ipairs { "grid", "mcts", "genetic", "evolution", "bandit", "sobol" } do
  local s = search.new { space = { a = range(1, 5), b = { "x", "y", "z" } }, strategy = name }
  local n = 0
  for trial in s.ask, s do
    n = n + 1
    s:tell(trial, trial.point.a)
  end
  assert(n == 15, name .. ": " .. n)
end

-- With two objectives the genetic algorithm has more of the front than random points have.
local function front_of(strategy)
  local s = search.new { space = { x = range(0, 200), y = range(0, 40) }, minimise = { "f", "g" }, strategy = strategy }
  for _ = 1, 200 do
    local trial = s:ask()
    local x, y = trial.point.x / 100, trial.point.y
    s:tell(trial, { f = x ^ 2 + y, g = (x - 2) ^ 2 + y })
  end
  local on_it = 0
  for _, trial in ipairs(s:front()) do on_it = on_it + (trial.point.y == 0 and 1 or 0) end
  return on_it
end
local genetic, random = front_of "genetic", front_of "random"
assert(genetic > 2 * random, genetic .. " " .. random)

-- A space of 2^100 points: nothing is listed.
local huge = {}
for i = 1, 100 do huge[("f%03d"):format(i)] = { false, true } end
for _, name in ipairs { "random", "lhs", "sobol", "genetic", "evolution", "hill_climb", "annealing", "mcts", "bandit", "grid" } do
  local s = search.new { space = huge, strategy = name }
  for _ = 1, 10 do s:tell(s:ask(), 1) end
end
