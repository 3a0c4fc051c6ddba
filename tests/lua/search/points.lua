-- The points that a search hands out: which, in what order they are near, and what their tables are.
local harness = require "harness"
local search, sweep = harness.search, harness.sweep
local range = sweep.range

local function refuses(expected, fn, ...)
  local ok, why = pcall(fn, ...)
  assert(not ok and tostring(why):find("points.lua:%d+: ") and tostring(why):find(expected, 1, true), why)
end

-- Points to begin with are points of the space.
local function begins(space, ...) return search.new { space = space, start = { ... } } end
local above = sweep.cross({ a = { 1, 2, 3 }, b = { 5, 6 } }):where(function(p) return p.a > 1 end)
refuses("search: option 'start[2]': { a = 1, b = 5 }: `where` or `exclude` leaves it out of the space", begins, above, { a = 2, b = 5 }, { a = 1, b = 5 })
refuses("search: option 'start[1]': { a = 2, b = 5, bb = 3 }: unknown parameter 'bb' (did you mean 'b'?)", begins, above, { a = 2, b = 5, bb = 3 })
refuses("search: option 'start[1]': { a = 2 }: it has no 'b'", begins, above, { a = 2 })
refuses("search: option 'start[1]': { a = 2, b = 7 }: the space has no such value of 'b'", begins, above, { a = 2, b = 7 })
refuses("unknown parameter 'step'", begins, search.sequences { actions = { "x" } }, { steps = { "x" }, step = 1 })
-- Of dimensions of several parameters, and of lists whose points have not all of them.
local function first_of(space, point) return begins(space, point):ask().point end
local pairs_of = sweep.cross { sweep.zip { n = { 64, 128 }, flags = { { "-O2" }, { "-O3", "-g" } } }, c = { true, false } }
local zipped = first_of(pairs_of, { n = 128, flags = { "-O3", "-g" }, c = false })
assert(zipped.n == 128 and zipped.flags[2] == "-g" and zipped.c == false)
refuses("the space has no such value of 'flags'", begins, pairs_of, { n = 128, flags = { "-O3", "-h" }, c = false })
refuses("the space has no such value of 'flags'", begins, pairs_of, { n = 128, flags = { "-O2" }, c = 1, n2 = nil })
assert(first_of(sweep.list({ { a = 1 }, { a = 1, b = 2 } }), { a = 1, b = 2 }).b == 2)
-- Many of many are looked up.
local many, began = {}, os.clock()
for i = 1, 20000 do many[i] = { a = i, f = { "-O" .. i % 100 } } end
local flags = {}
for i = 1, 100 do flags[i] = { "-O" .. i % 100 } end
local s = search.new { space = { a = range(1, 20000), f = flags }, start = many }
for i = 1, 20000 do assert(s:ask().point.a == i) end
assert(os.clock() - began < 20, os.clock() - began) -- one by one it takes minutes

-- They are as strict as those of a sweep, wherever one gets them; nil is what another point of the list has.
local function typo(p) return p.tlie end
local expected = "unknown parameter 'tlie' (did you mean 'tile'?) of a point"
refuses(expected, search.run, { space = { tile = { 1, 2 } }, budget = 2, evaluate = typo })
refuses(expected, function() search.new({ space = sweep.cross({ tile = { 1, 2 } }):where(typo) }):ask() end)
refuses(expected, function() return search.new({ space = { tile = { 1, 2 } } }):ask().point.tlie end)
refuses("unknown parameter 'step' (did you mean 'steps'?) of a point", function()
  return search.new({ space = search.sequences { actions = { "x" } } }):ask().point.step
end)
assert(search.new({ space = { { { a = 1 }, { a = 2, b = 3 } } }, strategy = "grid" }):ask().point.b == nil)
-- And plain tables otherwise.
local trial = search.new({ space = { tile = { 8 }, f = { { "-O2" } } } }):ask()
local names = {}
for name in pairs(trial.point) do names[#names + 1] = name end
assert(#names == 2 and harness.json.encode(trial.point) == '{"f":["-O2"],"tile":8}')
local own, of_trial, tile = await(submit(function(p, t) return getmetatable(p), getmetatable(t.point), p.tile + t.point.tile end, trial.point, trial))
assert(own == nil and of_trial == nil and tile == 16)
local copied = await(submit(exec { cmd = { "echo", trial.point.tile }, params = trial.point }))
assert(copied.stdout == "8\n" and getmetatable(copied.params) == nil and copied.params.f[1] == "-O2")
local told = search.run { space = { x = { 1, 2 } }, minimise = "cost", budget = 2, evaluate = function(p)
  p.cost = 3 * p.x
  return p
end }
assert(told.best.value == 3)

-- What is added to a value stays in that point: not in the space, nor in the trial.
local added = search.run { space = { l = { { "a" } }, n = range(1, 4) }, strategy = "grid", budget = 4, evaluate = function(p)
  table.insert(p.l, "b")
  return #p.l
end }
for _, each in ipairs(added.trials) do assert(each.value == 2 and #each.point.l == 1) end

-- A list of numbers has an order, however long: who goes from one to its neighbours finds more than by chance, and in long
-- lists no less than in short ones.
local function left_by(strategy, values)
  local s = search.new { space = { x = values, y = values }, strategy = strategy, name = strategy .. #values }
  for _ = 1, 200 do
    local trial = s:ask()
    s:tell(trial, (trial.point.x - 0.37) ^ 2 + (trial.point.y - 0.61) ^ 2)
  end
  return s:best().value
end
for _, step in ipairs { 0.001, 0.00001 } do
  local values = range(0, 1, step)
  local floor = left_by("random", values)
  for _, name in ipairs { "hill_climb", "annealing", "genetic", "bandit" } do
    local left = left_by(name, values)
    assert(left < floor / 10, ("%s, %g: %g, random: %g"):format(name, step, left, floor))
  end
end
