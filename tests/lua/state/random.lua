-- harness.random: by name, from the campaign's seed (7 here), whatever else draws.
local harness = require "harness"

local a, b = harness.random "a", harness.random "b"
assert(a == harness.random "a" and a ~= b and harness.random() == harness.random "")
-- The algorithm is part of what a record means: these may never change.
assert(a:integer(1, 1000) == 150 and a:integer(1, 1000) == 363)

local seen, sum, squares = {}, 0, 0
for _ = 1, 10000 do
  local x, n, g = b:float(), b:integer(-2, 2), b:normal(5, 2)
  assert(x >= 0 and x < 1 and math.type(n) == "integer")
  seen[n] = (seen[n] or 0) + 1
  sum, squares = sum + g, squares + (g - 5) ^ 2
end
for n = -2, 2 do
  assert(seen[n] > 1800 and seen[n] < 2200)
end
assert(math.abs(sum / 10000 - 5) < 0.1 and math.abs(squares / 10000 - 4) < 0.3)
assert(b:integer(3, 3) == 3 and b:float(2, 2) == 2)
assert(math.type(b:integer(math.mininteger, math.maxinteger)) == "integer")

local list = { 1, 2, 3, 4, 5 }
local copy = b:shuffle(list)
assert(table.concat(list) == "12345" and #copy == 5)
table.sort(copy)
assert(table.concat(copy) == "12345" and list[b:pick(list)])

local function refuses(expected, fn, ...)
  local ok, why = pcall(fn, ...)
  assert(not ok and why:find "random.lua:%d+: " and why:find(expected, 1, true), why)
end
refuses("random:integer: expected two whole numbers, the lower one first", function() b:integer(2, 1) end)
refuses("random:pick: expected a list that is not empty", function() b:pick {} end)
refuses("random:float: expected a finite number", function() b:float("x") end)
refuses("random: expected a name", function() harness.random(5) end)
