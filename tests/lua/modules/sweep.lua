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
is(sweep.cross { sweep.cross({ a = { 1 } }):where(function() return false end), b = { 1, 2 } }, "")

-- A point is a table of one's own, and fit for `params`; the list is an ordinary one.
local two = sweep.cross { a = { 1 }, b = { 1, 2 } }
two[1].a = 5
assert(two[2].a == 1 and #two == 2 and getmetatable(two[1]) == nil)
table.insert(two, { a = 9, b = 9 })
assert(await(submit(exec { cmd = { "echo", two[3].a }, params = two[3] })).stdout == "9\n")
assert(await(submit(function(list) return #list, list[2].b, getmetatable(list) end, two)) == 3)

-- The same draw in every run: the seed of the test is fixed. All, where no more are there; never the same point twice.
local many = sweep.cross { i = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } }
local function draw(name) return text(many:sample(4, harness.random(name))) end
local seen = {}
for k = 1, 20 do
  local drawn = many:sample(4)
  assert(#drawn == 4)
  for j = 2, 4 do assert(drawn[j - 1].i < drawn[j].i) end
  for _, p in ipairs(drawn) do seen[p.i] = (seen[p.i] or 0) + 1 end
end
for i = 1, 10 do assert(seen[i] and seen[i] < 20, "80 draws never, or always, took " .. i) end
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
refuses("sweep.cross: [1]: expected points such as { tile = 8 }, got 8 as item 1", sweep.cross, { { 8, 16 } })
refuses("sweep.cross: 'n': there is a parameter 'n' already, from [1]", sweep.cross, { sizes, n = { 1 } })
refuses("sweep.cross: [1.5]: names of parameters are strings", sweep.cross, { [1.5] = { 1 } })
refuses("sweep.zip: lists of one length are needed: 'a' has 2, 'b' has 3", sweep.zip, { a = { 1, 2 }, b = { 1, 2, 3 } })
refuses("sweep.where: the list: expected a list of points, got a function", sweep.where, print, print)
refuses("sweep.where: the list: expected a list of points, got a table", sweep.where, { a = 1 }, print)
refuses("sweep.where: expected a function of a point, got nil", two.where, two)
refuses("sweep.sample: expected a whole number from 0, got 1.5", two.sample, two, 1.5)
refuses('sweep.sample: expected random numbers such as harness.random "name", got a table', two.sample, two, 1, {})
