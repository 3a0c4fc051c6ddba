-- harness.sweep: lists of points, in the same order in every run.
local harness = require "harness"
local sweep = require "harness.sweep"
assert(sweep == harness.sweep)

local function text(points)
  local lines = {}
  for i, p in ipairs(points) do
    local names = {}
    for name, value in pairs(p) do names[#names + 1] = name .. (type(value) == "table" and table.concat(value, "+") or tostring(value)) end
    table.sort(names)
    lines[i] = table.concat(names, " ")
  end
  return table.concat(lines, ", ")
end
local function is(points, expected) assert(text(points) == expected, text(points)) end

is(sweep.cross { b = { 1, 2 }, a = { "x", true } }, "ax b1, ax b2, atrue b1, atrue b2")
is(sweep.zip { b = { 1, 2 }, a = { "x", "y" } }, "ax b1, ay b2")
is(sweep.cross { flags = { { "-O3", "-g" }, { "-O2" } } }, "flags-O3+-g, flags-O2")
-- They combine: a sweep, or any list of points, is an item without a name and comes first.
local sizes = sweep.zip { n = { 64, 128 }, reps = { 20, 5 } }
is(sweep.cross { a = { 1, 2 }, sizes }, "a1 n64 reps20, a2 n64 reps20, a1 n128 reps5, a2 n128 reps5")
is(sweep.zip { sizes, { { a = 1 }, { a = 2 } } }, "a1 n64 reps20, a2 n128 reps5")
is(sweep.cross { a = { 8, 16, 48 }, b = { 8, 16 } }:where(function(p) return p.a % p.b == 0 end), "a8 b8, a16 b8, a16 b16, a48 b8, a48 b16")
is(sweep.where({ { a = 1 }, { a = 2 } }, function(p) return p.a > 1 end), "a2")

-- So do those of others that are marked, and those that table.pack made.
local function marked(list) return setmetatable(list, { __jsontype = "array" }) end
is(sweep.cross(marked { marked { marked { a = 1 }, { a = 2 } }, b = marked(table.pack(1, 2)) }), "a1 b1, a1 b2, a2 b1, a2 b2")
is(sweep.cross(table.pack({ { a = 1 } }, { { b = 1 }, { b = 2 } })), "a1 b1, a1 b2")
is(sweep.list(table.pack({ a = 1 }, { a = 2 })), "a1, a2")

-- A point is a table of one's own, and fit for `params`; the list is read as any other, and travels as one.
local two = sweep.cross { a = { 1 }, b = { 1, 2 } }
two[1].a = 5
assert(two[1].a == 1 and #two == 2 and two[3] == nil and two[0] == nil and two[2][1] == nil)
local more = sweep.list(two, { { a = 9, b = 9 } })
assert(await(submit(exec { cmd = { "echo", more[3].a }, params = more[3] })).stdout == "9\n")
assert(await(submit(function(list) return #list, list[2].b, getmetatable(list) end, more)) == 3)
local seen = 0
for i, p in pairs(more) do
  assert(p.b == more[i].b)
  seen = seen + 1
end
assert(seen == 3 and select(2, map(function(p) return p.a end, more)) == 3)
is(sweep.list(two, more, {}), "a1 b1, a1 b2, a1 b1, a1 b2, a9 b9")

-- Values by rule.
assert(table.concat(sweep.range(1, 4), " ") == "1 2 3 4" and table.concat(sweep.range(0, 1, 0.25), " ") == "0.0 0.25 0.5 0.75 1.0")
assert(table.concat(sweep.range(9, 1, -4), " ") == "9 5 1" and #sweep.range(0, 1, 0.1) == 11)
assert(table.concat(sweep.pow2(8, 64), " ") == "8 16 32 64" and table.concat(sweep.pow2(3, 9), " ") == "4 8")

-- What is left out: what a function says, or points that say as much.
local nine = sweep.cross { a = { 1, 2, 3 }, b = { 1, 2, 3 } }
is(nine:exclude(function(p) return p.a ~= 2 end), "a2 b1, a2 b2, a2 b3")
is(nine:exclude { { a = 1 }, { a = 2, b = 2 } }, "a2 b1, a2 b3, a3 b1, a3 b2, a3 b3")
is(sweep.exclude({ { f = { "-O2" } }, { f = { "-O3" } } }, { { f = { "-O3" } } }), "f-O2")
-- In another order.
is(nine:order(function(p) return -p.a * p.b end):sample(99):order(function(p) return p.a end), "a1 b3, a1 b2, a1 b1, a2 b3, a2 b2, a2 b1, a3 b3, a3 b2, a3 b1")
local mixed = nine:order "random"
assert(text(mixed) == text(mixed) and text(mixed) ~= text(nine) and text(mixed:order(function(p) return 3 * p.a + p.b end)) == text(nine))

-- 10^12 points: nothing is listed, and any of them is there.
local digits = {}
for d = 1, 12 do digits[("d%02d"):format(d)] = sweep.range(0, 9) end
local huge = sweep.cross(digits)
assert(#huge == 10 ^ 12 and math.type(#huge) == "integer")
assert(huge[1].d01 == 0 and huge[10 ^ 12 | 0].d01 == 9 and huge[(10 ^ 12 | 0) + 1] == nil and huge[123456789013].d12 == 2)
local drawn = huge:order "random"
local met = {}
for i = 1, 1000 do
  local p, key = drawn[i], ""
  for d = 1, 12 do key = key .. p[("d%02d"):format(d)] end
  assert(not met[key])
  met[key] = true
end
assert(#huge:sample(5) == 5)
local even = huge:where(function(p) return (p.d11 + p.d12) % 2 == 0 end)
assert(even[3].d12 == 4 and #even:sample(7) == 7 and (even:sample(1)[1].d11 + even:sample(1)[1].d12) >= 0)
for _, p in ipairs(even:sample(7)) do assert((p.d11 + p.d12) % 2 == 0) end
local endless = {}
for d = 1, 100 do endless["f" .. d] = { false, true } end
assert(#sweep.cross(endless) == 2.0 ^ 100)

-- The same draw in every run: the seed of the test is fixed. All, where no more are there; never the same point twice.
local many = sweep.cross { i = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } }
local function draw(name) return text(many:sample(4, harness.random(name))) end
local counts = {}
for k = 1, 20 do
  local drawn = many:sample(4)
  assert(#drawn == 4)
  for j = 2, 4 do assert(drawn[j - 1].i < drawn[j].i) end
  for _, p in ipairs(drawn) do counts[p.i] = (counts[p.i] or 0) + 1 end
end
for i = 1, 10 do assert(counts[i] and counts[i] < 20, "80 draws never, or always, took " .. i) end
assert(draw "one" ~= draw "two" or draw "one" ~= draw "two")
is(many:sample(99), text(many))
is(many:sample(0), "")

local function refuses(expected, fn, ...)
  local ok, why = pcall(fn, ...)
  assert(not ok and why:find("^sweep%.lua:%d+: ") and why:find(expected, 1, true), why)
end
refuses("sweep.cross: expected lists by name, such as { tile = { 8, 16 } }, got nil", sweep.cross)
refuses("sweep.cross: expected lists by name", sweep.cross, {})
refuses("sweep.cross: 'tile': expected a list of values, got 8", sweep.cross, { tile = 8 })
refuses("sweep.cross: 'tile': expected a list of values, got a table without items", sweep.cross, { tile = {} })
refuses("sweep.cross: 'tile[2]': expected a string, a number, a boolean or a table of those, got a function", sweep.cross, { tile = { 8, print } })
refuses("sweep.cross: 'tile[1]': expected a finite number, got inf", sweep.cross, { tile = { 1 / 0 } })
refuses("sweep.cross: 'tile': [2] is missing: expected a list without names and gaps", sweep.cross, { tile = { 8, nil, 32 } })
refuses("sweep.cross: 'tile['step']'", sweep.cross, { tile = { 8, step = 2 } })
refuses("sweep.list: [1]: expected a list of points without gaps and names, got nil as [2]", sweep.list, { { a = 1 }, nil, { a = 3 } })
refuses("sweep.cross: [1]: expected points such as { tile = 8 }, got 8 as item 1", sweep.cross, { { 8, 16 } })
refuses("sweep.cross: 'n': there is a parameter 'n' already, from [1]", sweep.cross, { sizes, n = { 1 } })
refuses("sweep.cross: [1.5]: names of parameters are strings", sweep.cross, { [1.5] = { 1 } })
refuses("sweep.zip: lists of one length are needed: 'a' has 2, 'b' has 3", sweep.zip, { a = { 1, 2 }, b = { 1, 2, 3 } })
refuses("sweep.where: the list: expected a list of points, got a function", sweep.where, print, print)
refuses("sweep.where: the list: expected a list of points, got a table", sweep.where, { a = 1 }, print)
refuses("sweep.where: expected a function of a point, got nil", two.where, two)
refuses("sweep.sample: expected a whole number from 0, got 1.5", two.sample, two, 1.5)
refuses("sweep.list: a sweep is read-only", table.insert, two, { a = 9, b = 9 })
refuses("sweep.list: [2]: expected a list of points, got 3", sweep.list, two, 3)
refuses("sweep.range: there is nothing from 3 to 1 by 1", sweep.range, 3, 1)
refuses("sweep.range: the step is 0", sweep.range, 1, 3, 0)
refuses("sweep.range: low: expected a finite number, got inf", sweep.range, 1 / 0, 3)
refuses("sweep.pow2: there is no power of two from 9 to 15", sweep.pow2, 9, 15)
refuses('sweep.order: expected "random" or a function of a point, got \'cost\'', two.order, two, "cost")
refuses("sweep.order: expected a number as the cost of point 1, got nil", two.order, two, print)
refuses("sweep.order: 1e+12 points are too many to be sorted", huge.order, huge, function() return 1 end)
-- What has to look at all of them says so before it does.
refuses("sweep.where: 1e+12 points would be tried one by one", function() return #huge:where(print) end)
refuses("sweep.exclude: 1e+12 points would be tried one by one", function() return #huge:where(print):exclude { { d01 = 1 } } end)
refuses("sweep.sample: 1.27e+30 points are more than can be counted", sweep.sample, sweep.cross(endless), 3)
refuses("sweep.exclude: what is excluded: expected a list of points, got 3", two.exclude, two, 3)
refuses("sweep.exclude: what is excluded: unknown parameter 'tiel' (did you mean 'tile'?)", sweep.exclude, { { tile = 8 } }, { { tiel = 8 } })
refuses("unknown method 'wehre' (did you mean 'where'?) of a sweep", function() return two:wehre(print) end)
-- To ask a point for what no point has would build or run something else than was meant.
local odd = sweep.list({ { tile = 8 } }, { { tile = 4, reps = 2 } })
assert(odd[1].reps == nil and odd[2].reps == 2)
refuses("unknown parameter 'tlie' (did you mean 'tile'?) of a point", function() return odd[1].tlie end)
refuses("unknown parameter 'tlie'", function() return #odd:where(function(p) return p.tlie ~= 1 end) end)
refuses("unknown parameter 'tlie'", odd.order, odd, function(p) return p.tlie end)
assert(await(submit(function(p) return getmetatable(p) == nil and p.tlie == nil and p.tile end, odd[2])) == 4)
refuses("sweep.cross: [1] is missing, and there is [2]", sweep.cross, { nil, two })
refuses("sweep.zip: [2] is missing, and there is [3]", sweep.zip, { two, nil, sizes })
assert(two[2.0].b == 2 and two[1.5] == nil)
refuses("sweep.cross: call it with a dot: sweep.cross { ... }", function() return sweep:cross { tile = { 1 } } end)
refuses("got a function: with a colon, points:where(...)", function() return two.where(print) end)
refuses("expected a list of points, got a table: write { { ... } }", two.exclude, two, { a = 1 })
refuses("sweep.list: 1e+12 points are too many to travel to a worker", submit, function(list) return #list end, huge)
refuses('sweep.sample: expected random numbers such as harness.random "name", got a table', two.sample, two, 1, {})
refuses("harness.sweep: unknown name 'cros' (did you mean 'cross'?)", function() return sweep.cros end)

-- A point's values are its own: what is added to a table is no part of other points, nor of the list that was given.
do
  local flags, seen = { { "-O2" }, { "-O3" } }, {}
  for _, list in ipairs { sweep.cross { flags = flags, tile = { 1, 2 } }, sweep.list { { flags = flags[1] }, { flags = flags[1] } } } do
    for _, p in ipairs(list) do
      table.insert(p.flags, "-g")
      seen[#seen + 1] = table.concat(p.flags, " ")
    end
  end
  assert(table.concat(seen, ", ") == "-O2 -g, -O2 -g, -O3 -g, -O3 -g, -O2 -g, -O2 -g", table.concat(seen, ", "))
  assert(#flags[1] == 1)
end

-- Decimals are those that one would write; what is none is what it computes to.
do
  local tenths = sweep.range(-1, 1, 0.1)
  assert(tenths[14] == 0.3 and tenths[11] == 0.0 and tenths[10] == -0.1 and #tenths == 21)
  assert(#sweep.cross { x = sweep.range(0, 1, 0.1) }:where(function(p) return p.x == 0.3 end) == 1)
  assert(sweep.range(0, 1, 1 / 3)[2] == 1 / 3 and sweep.range(1e-7, 3e-7, 1e-7)[3] == 3e-7)
  assert(math.type(sweep.range(0.5, 2.5)[2]) == "float" and math.type(sweep.range(1, 3)[2]) == "integer")
  local ok, problem = pcall(sweep.range, math.mininteger, math.maxinteger)
  assert(not ok and problem:find "too many", problem)
end

-- A list that grows in a loop is one list.
do
  local grown = { { a = 0 } }
  for i = 1, 500 do grown = sweep.list(grown, { { a = i } }) end
  local sum = 0
  for _, p in ipairs(grown) do sum = sum + p.a end
  assert(sum == 500 * 501 // 2 and #grown == 501)
end
