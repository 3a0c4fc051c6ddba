-- Sequences of actions as genomes, and as a tree.
local harness = require "harness"
local search = harness.search

local letters = { "a", "b", "c", "d", "e", "f" }
local wanted = { "d", "a", "c", "b", "f", "e", "a" }
local function far(list)
  local off = math.abs(#list - #wanted)
  for i, letter in ipairs(list) do off = off + (letter == wanted[i] and 0 or 1) end
  return off
end
local function found_by(strategy, space, n, name)
  local s = search.new { space = space or search.sequences { actions = letters, max = 9 }, strategy = strategy }
  for _ = 1, n or 250 do
    local trial = s:ask()
    if not trial then break end
    s:tell(trial, far(trial.point[name or "steps"]))
  end
  return s:best().value, s
end
local function sum_by(name)
  local sum = 0
  for _ = 1, 5 do sum = sum + found_by(name) end
  return sum
end
local random = sum_by "random"
for _, name in ipairs { "hill_climb", "genetic", "mcts", "bandit", "annealing" } do
  local found = sum_by(name)
  print(name, found, random)
  assert(found < random, name .. ": " .. found .. ", random: " .. random)
end

-- What may follow depends on what came before: never the same twice in a row, and "d" only at the beginning.
local function after(before)
  local list = {}
  for _, letter in ipairs(letters) do
    if letter ~= before[#before] and (letter ~= "d" or #before == 0) then list[#list + 1] = letter end
  end
  return list
end
for _, name in ipairs { "random", "hill_climb", "annealing", "genetic", "mcts" } do
  local _, s = found_by(name, search.sequences { name = "word", actions = after, min = 2, max = 5 }, 120, "word")
  for _, trial in ipairs(s:trials()) do
    local word = trial.point.word
    assert(#word >= 2 and #word <= 5)
    for i, letter in ipairs(word) do assert(letter ~= word[i - 1] and (letter ~= "d" or i == 1)) end
  end
end

-- The tree knows when it has been walked through: 6 words of one letter, 36 of two.
local _, all = found_by("mcts", search.sequences { actions = letters, min = 1, max = 2 }, 1000)
assert(#all:trials() == 42, #all:trials())

-- Crossover and mutation of one's own, of lists of actions, and of points.
local crossed, mutated = 0, 0
local own = search.genetic {
  population = 5,
  crossover = function(a, b)
    crossed = crossed + 1
    return { a[1], table.unpack(b, 2) }
  end,
  mutate = function(a, r)
    mutated = mutated + 1
    a[r:integer(1, #a)] = r:pick(letters)
    return a
  end,
}
found_by(own, search.sequences { actions = letters, min = 3, max = 3 }, 40)
assert(crossed > 0 and mutated > 0)
local s = search.new {
  space = { x = harness.sweep.range(1, 9) },
  strategy = search.genetic { population = 2, crossover_rate = 0, mutate = function(p) return { x = p.x % 9 + 1 } end },
}
for _ = 1, 9 do s:tell(s:ask(), 1) end
assert(s:ask() == nil)

-- Nil is as without it; where it depends on what comes before what may follow, what may not is left out of one's own.
local asked, sane = 0, 0
local half = search.genetic {
  population = 4,
  crossover = function(a, b)
    asked = asked + 1
    if asked % 2 == 0 then return nil end
    return { a[1], a[1], table.unpack(b) } -- never twice in a row
  end,
}
local _, of_half = found_by(half, search.sequences { name = "word", actions = after, min = 2, max = 4 }, 60, "word")
for _, trial in ipairs(of_half:trials()) do
  for i, letter in ipairs(trial.point.word) do assert(letter ~= trial.point.word[i - 1]) end
  sane = sane + 1
end
assert(asked > 10 and sane == 60)

-- What may follow can be asked of a worker: once of each beginning, and one flow at a time is inside the strategy.
for _, name in ipairs { "random", "hill_climb", "annealing", "genetic", "mcts", "bandit" } do
  local begun, inside = {}, 0
  local result = search.run {
    name = "asked " .. name,
    strategy = name,
    budget = 25,
    in_flight = 4,
    space = search.sequences {
      max = 3,
      actions = function(before)
        local key = table.concat(before)
        assert(not begun[key], key)
        begun[key], inside = true, inside + 1
        assert(inside == 1)
        local list = await(submit(function(last) return last == "c" and {} or { "a", "b", "c" } end, before[#before]))
        inside = inside - 1
        return list
      end,
    },
    evaluate = function(p)
      return submit(function(word) if word == "ab" then error("illegal: ab", 0) end return #word + (word:find "c" or 9) end, table.concat(p.steps))
    end,
  }
  assert(#result.trials > 10 and result.best.value == 2, name)
end

-- Actions may be tables.
local tiles = search.sequences { actions = { { op = "tile", size = 8 }, { op = "tile", size = 16 }, { op = "unroll" } }, max = 2 }
local t = search.new { space = tiles, strategy = "genetic", start = { { steps = { { op = "tile", size = 16 }, { op = "unroll" } } } } }
assert(t:ask().point.steps[1].size == 16)
for _ = 1, 8 do t:tell(t:ask(), 1) end

local function refuses(expected, fn, ...)
  local ok, why = pcall(fn, ...)
  assert(not ok and why:find("sequences.lua:%d+: ") and why:find(expected, 1, true), why)
end
refuses("search.sequences: 'actions' is missing", search.sequences, {})
refuses("search.sequences: 'actions' is empty", search.sequences, { actions = {} })
refuses("search.sequences: 'min' (9) is above 'max' (8)", search.sequences, { actions = letters, min = 9 })
for _, name in ipairs { "grid", "lhs", "sobol", "evolution" } do
  local expected = ("search: strategy '%s' needs lists of values, and the space is one of sequences"):format(name)
  refuses(expected, search.new, { space = search.sequences { actions = letters }, strategy = name })
end
refuses("search: option 'start[1]': { steps = { 'x' } }: the space has no such value of 'steps'", search.new, {
  space = search.sequences { actions = letters },
  start = { { steps = { "x" } } },
})
local wrong = search.new { space = search.sequences { actions = letters }, strategy = search.genetic { population = 2, mutate = function() return { "x" } end, crossover_rate = 0 } }
refuses("search.genetic: 'mutate' gave what is not in the space: { 'x' }", function()
  for _ = 1, 5 do wrong:tell(wrong:ask(), 1) end
end)
