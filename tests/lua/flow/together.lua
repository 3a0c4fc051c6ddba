-- map: items whose calls are short travel together, and none of them can tell.
local harness = require "harness"
local pool <close> = spawn { workers = 1, slots = 2, start = "local" }
local MANY = 5000
local list = {}
for i = 1, MANY do list[i] = i end

-- Every item finds upvalues, tables and globals as the script has them, whatever other items did to theirs.
local n, seen = 0, {}
local kept = map(function(x)
  n = n + 1
  seen[#seen + 1] = x
  total = (total or 0) + x
  return table.concat({ n, #seen, total - x }, " ")
end, list)
for i = 1, MANY do assert(kept[i] == "1 1 0", kept[i]) end
assert(n == 0 and #seen == 0 and total == nil)

-- A budget counts items.
local budget = harness.budget { trials = MANY }
map(function(x) return x end, list)
assert(tostring(budget):find(("%d of %d trials"):format(MANY, MANY), 1, true), tostring(budget))

-- Items that take long among those that do not: each comes once, in its place.
local values, count = map(function(x)
  local until_when = os.clock() + (x % 400 == 0 and 0.015 or 0)
  while os.clock() < until_when do end
  return -x
end, list)
assert(count == MANY)
for i = 1, MANY do assert(values[i] == -i, i) end
local unordered = map(function(x) return x end, list, { ordered = false })
table.sort(unordered)
assert(#unordered == MANY)
for i = 1, MANY do assert(unordered[i] == i) end

-- Any kind of result, and any kind of item: futures too, which some wait for.
local made = map(function(x)
  if x % 3 == 0 then return nil end
  if x % 3 == 1 then return function() return x end end
  return { x, "two" }, "dropped"
end, list)
assert(made[1]() == 1 and made[3] == nil and made[5][1] == 5 and made[4999]() == 4999)
local items = {}
for i = 1, 600 do items[i] = i % 50 == 0 and submit(function(x) return x end, i) or i end
await(items[600])
values = map(function(x) return 2 * x end, items)
for i = 1, 600 do assert(values[i] == 2 * i, i) end

-- The first error is raised with its own message; what cannot be sent is refused as it is alone.
local ok, e = pcall(map, function(x)
  if x == 3333 then error "three" end
  return x
end, list)
assert(not ok and tostring(e):find("together.lua:52: three", 1, true), e)
local function refused(fn, ...)
  local good, why = pcall(fn, ...)
  assert(not good)
  return (tostring(why):gsub("^[^ ]+ ", ""))
end
list[2000] = coroutine.create(print)
assert(refused(map, type, list) == refused(submit, type, list[2000]), refused(map, type, list))
list[2000] = 2000
ok, e = pcall(map, function(x) if x == 4000 then os.exit(3) end end, list)
assert(not ok and tostring(e):find("exit code 3", 1, true), e)
