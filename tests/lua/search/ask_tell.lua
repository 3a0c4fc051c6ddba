-- Ask and tell: ids, ends of trials, what is best, limits, several objectives, and what is refused.
local harness = require "harness"
local search = require "harness.search"
assert(search == harness.search)
local range = harness.sweep.range

-- A trial is known by its id, which survives any text; each point is given out once, until none is left.
local s = search.new { space = { x = range(1, 3), y = { "a", "b" } }, strategy = "random", minimise = "t" }
local seen = {}
for i = 1, 6 do
  local trial = assert(s:ask())
  assert(trial.id == i and trial.status == "running")
  local key = trial.point.x .. trial.point.y
  assert(not seen[key])
  seen[key] = true
  local id = harness.json.decode(harness.json.encode(trial.id))
  assert(s:tell(id, trial.point.x) == trial and trial.status == "ok" and trial.value == trial.point.x)
end
assert(s:ask() == nil and s:best().value == 1 and #s:trials() == 6)
assert(tostring(s) == "search of 6 trials (6 ok)", tostring(s))

-- Ends without a figure are never best. What is censored has a bound.
local t = search.new { space = { x = range(1, 10) }, strategy = "grid", maximise = "rate" }
t:tell(t:ask(), 5)
t:tell(t:ask(), nil, "failed", "it crashed")
t:tell(t:ask())
t:tell(t:ask(), 99, "censored")
t:tell(t:ask(), nil, "pruned")
t:tell(t:ask(), setmetatable({ rate = 7 }, { __jsontype = "object" }))
t:tell(t:ask(), 0 / 0)
local ends = {}
for i, trial in ipairs(t:trials()) do ends[i] = trial.status end
assert(table.concat(ends, " ") == "ok failed failed censored pruned ok failed", table.concat(ends, " "))
assert(t:best().id == 6 and t:trials()[2].reason == "it crashed" and t:trials()[4].value == 99)
assert(t:trials()[7].reason == "a figure is not a finite number")
assert(tostring(t:trials()[2]) == "trial 2 { x = 2 }: failed: it crashed")

-- Limits of other figures.
local limited = search.new { space = { x = range(1, 5) }, strategy = "grid", minimise = "t", at_most = { bytes = 30 }, at_least = { digits = 2 } }
for x = 1, 5 do limited:tell(limited:ask(), { t = x, bytes = 50 - 10 * x, digits = x < 4 and 2 or 1 }) end
assert(limited:best().point.x == 2 and limited:trials()[1].status == "infeasible" and limited:trials()[5].status == "infeasible")
assert(limited:best().values.bytes == 30)

-- Several objectives: the front.
local two = search.new { space = { x = range(0, 20) }, minimise = "a", maximise = "b", strategy = "grid" }
for x = 0, 20 do two:tell(two:ask(), { a = x, b = -math.abs(x - 5) }) end
local front = two:front()
assert(#front == 6 and front[1].point.x == 0 and front[6].point.x == 5)

-- Points to begin with come first; what they say is not asked for again.
local from = search.new { space = { x = range(1, 4), f = { "-O2", "-O3" } }, start = { { x = 3, f = "-O3" }, { x = 1, f = "-O2" } }, strategy = "grid" }
local order = {}
while true do
  local trial = from:ask()
  if not trial then break end
  order[#order + 1] = trial.point.x .. trial.point.f
  from:tell(trial, trial.point.x)
end
assert(table.concat(order, " ") == "3-O3 1-O2 2-O2 3-O2 4-O2 1-O3 2-O3 4-O3", table.concat(order, " "))

-- On the way: what is worse than the median of at least five that ended well may be given up.
local way = search.new { space = { x = range(1, 20) }, strategy = "grid" }
for x = 1, 5 do
  local trial = way:ask()
  assert(not trial:report(x) and not trial:report(x / 2))
  way:tell(trial, x)
end
local good, bad = way:ask(), way:ask()
assert(not good:report(2.9) and bad:report(3.1) and not bad:report(9, 7))

-- A space that is filtered: nothing else is asked for.
local odd = harness.sweep.cross { x = range(1, 50), y = range(1, 50) }:where(function(p) return (p.x + p.y) % 7 == 0 end)
for _, strategy in ipairs { "random", "lhs", "sobol", "genetic", "evolution", "hill_climb", "annealing", "mcts", "bandit" } do
  local of = search.new { space = odd, strategy = strategy }
  for _ = 1, 60 do
    local trial = of:ask()
    assert((trial.point.x + trial.point.y) % 7 == 0)
    of:tell(trial, trial.point.x * trial.point.y)
  end
end

-- Of 40 000 points ten pass, and they are found.
local rare = harness.sweep.cross { x = range(1, 200), y = range(1, 200) }:where(function(p) return p.x == 77 and p.y <= 10 end)
for _, strategy in ipairs { "random", "genetic", "sobol" } do
  local few, n = search.new { space = rare, strategy = strategy }, 0
  for trial in few.ask, few do
    assert(trial.point.x == 77 and trial.point.y <= 10)
    few:tell(trial, trial.point.y)
    n = n + 1
  end
  assert(n == 10, strategy .. ": " .. n)
end

local function refuses(expected, fn, ...)
  local ok, why = pcall(fn, ...)
  assert(not ok and tostring(why):find("ask_tell.lua:%d+: ") and tostring(why):find(expected, 1, true), why)
end
local space = { x = { 1, 2 } }
refuses("search.new: unknown option 'stratgy' (did you mean 'strategy'?)", search.new, { space = space, stratgy = "grid" })
refuses("search: 'space' is missing: lists by name, a sweep or search.sequences", search.new, {})
refuses("search: unknown strategy 'genetik' (did you mean 'genetic'?); there are annealing, bandit", search.new, { space = space, strategy = "genetik" })
refuses("search.genetic: unknown option 'size'", search.genetic, { size = 3 })
refuses("search.grid: it takes no options", search.grid, {})
refuses("search: strategy 'annealing' looks for one objective, and 2 are given; genetic", search.new, { space = space, strategy = "annealing", minimise = { "a", "b" } })
refuses("search: 'a' is an objective twice", search.new, { space = space, minimise = "a", maximise = "a" })
refuses("search: option 'start[1]': { x = 3 }: the space has no such value of 'x'", search.new, { space = space, start = { { x = 3 } } })
refuses("sweep.cross: 'x': expected a list of values, got 8", search.new, { space = { x = 8 } })
refuses("search: option 'space': it has no points", search.new, { space = harness.sweep.list {} })
refuses("search.bandit: option 'strategies': unknown strategy 'hil_climb'", search.new, { space = space, strategy = search.bandit { strategies = { "hil_climb" } } })
refuses("search.bandit: option 'strategies': 'race' cannot be one of several", search.new, { space = space, strategy = search.bandit { strategies = { "race" } } })
local none = harness.sweep.cross { x = range(1, 9) }:where(function() return false end)
refuses("search: option 'space': none of its points passes 'where'", function() search.new({ space = none, strategy = "random" }):ask() end)
refuses("search: several figures count: tell a table of numbers by their names", function()
  local s = search.new { space = space, at_most = { b = 1 } }
  s:tell(s:ask(), 1)
end)
refuses("search: several objectives have no best trial", two.best, two)
refuses("search: tell: trial 1 has been told: ok", s.tell, s, 1, 2)
refuses("search: tell: expected a trial that ask gave, or its id, got 99", s.tell, s, 99, 2)
local last = search.new { space = space, minimise = { "a", "b" } }
refuses("search: tell: 'b' is missing, or no number", last.tell, last, last:ask(), { a = 1 })
refuses('search: tell: expected "ok", "failed", "pruned" or "censored", got \'lost\'', last.tell, last, last:ask(), nil, "lost")
refuses("unknown field 'points' (did you mean 'point'?) of a trial", function() return s:best().points end)
refuses("call it with a colon", s.ask)
