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

-- Numbers, texts and booleans go without the function, tables with it: one that the function refers to as well is the same one.
local own = { "its own" }
local mixed = {}
for i = 1, MANY do mixed[i] = ({ i, i + 0.5, "text " .. i, i % 8 == 3, own, { i } })[i % 6 + 1] end
local arrived = map(function(x) return { x, x == own, math.type(x) } end, mixed)
for i = 1, MANY do
  local x, is_own, number = table.unpack(arrived[i], 1, 3)
  if mixed[i] == own then
    assert(is_own and x[1] == "its own", i)
  elseif type(mixed[i]) == "table" then
    assert(x[1] == i and not is_own, i)
  else
    assert(x == mixed[i] and not is_own and number == math.type(mixed[i]), i)
  end
end

-- As long as nothing is known of them the slots get some to do, and not all that there are: those go with what is captured by then.
do
  local gate = harness.fs.tempdir() .. "/gate"
  local turn = 1
  local turns = go(function()
    return map(function(i)
      while not io.open(gate) do end
      return turn
    end, table.move(list, 1, 100, 1, {}))
  end)
  turn = 2
  assert(io.open(gate, "w")):close()
  local first = 0
  for i, of in ipairs(await(turns)) do
    assert(of == (i <= 16 and 1 or 2), i)
    first = first + of
  end
  assert(first == 16 + 2 * 84)
end

-- Each has random numbers of its own; what one changes for the process is undone before the next.
local drawn, different = map(function() return math.random(1 << 40) end, list), {}
for i = 1, MANY do
  assert(not different[drawn[i]], i)
  different[drawn[i]] = true
end
local found = map(function(x)
  local before = tostring(collectgarbage "isrunning")
  if x % 7 == 0 then collectgarbage "stop" end
  return before
end, list)
for i = 1, MANY do assert(found[i] == "true", i) end

-- Long texts: not more together than make a message, in order.
local long = {}
for i = 1, MANY do long[i] = i .. string.rep("x", 2000) end
local lengths = map(function(x) return { #x, x:match "^%d+" } end, long)
for i = 1, MANY do assert(lengths[i][1] == #long[i] and lengths[i][2] == tostring(i), i) end

-- What becomes of one in the middle: no memory, or a result that cannot travel. The slot goes on.
do
  local small <close> = spawn { workers = 1, slots = 1, start = "local", memory = "64 MiB" }
  local good, why = pcall(map, function(x) return x == 4000 and #string.rep("x", 1 << 28) or x end, list)
  assert(not good and why.kind == "oom" and tostring(why):find("Lua ran out of memory", 1, true), why)
  good, why = pcall(map, function(x) return x == 4000 and coroutine.create(print) or x end, list)
  assert(not good and tostring(why):find("coroutine", 1, true), why)
  local after = map(function(x) return -x end, list)
  for i = 1, MANY do assert(after[i] == -i, i) end
end

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
for i = 1, MANY do items[i] = i % 50 == 0 and submit(function(x) return x end, i) or i end
await(items[MANY])
values = map(function(x) return 2 * x end, items)
for i = 1, MANY do assert(values[i] == 2 * i, i) end

-- Those that wait for a task keep no others back.
do
  local gate = harness.fs.tempdir() .. "/gate"
  local waited_for = submit(function()
    while not io.open(gate) do end
    return 0
  end)
  local waiting = {}
  for i = 1, 100 do waiting[i] = i <= 40 and waited_for or i end
  values = map(function(x)
    if x == 99 then assert(io.open(gate, "w")):close() end
    return x
  end, waiting)
  for i = 1, 100 do assert(values[i] == (i <= 40 and 0 or i), i) end
end

-- The first error is raised with its own message; what cannot be sent is refused as it is alone.
local ok, e = pcall(map, function(x)
  if x == 3333 then error "three" end
  return x
end, list)
assert(not ok and tostring(e):find("together.lua:134: three", 1, true), e)
local function refused(fn, ...)
  local good, why = pcall(fn, ...)
  assert(not good)
  return (tostring(why):gsub("^[^ ]+ ", ""))
end
list[2000] = coroutine.create(print)
assert(refused(map, type, list):gsub("^map: item 2000: ", "submit: ") == refused(submit, type, list[2000]), refused(map, type, list))
list[2000] = 2000
ok, e = pcall(map, function(x) if x == 4000 then os.exit(3) end end, list)
assert(not ok and tostring(e):find("exit code 3", 1, true), e)

-- Of a map that failed, other parts that fail as well are no news: `map` has told of them (tests/cli/together.rs looks at what is said).
ok, e = pcall(map, function(x) if x >= 1500 then error("many", 0) end return x end, list)
assert(not ok and e.message == "many", e)

-- Each item has one number, also where the rest of a slow part is sent anew.
local before = submit(function() end).id
map(function(x)
  local till = os.clock() + (x % 400 == 0 and 0.015 or 0)
  while os.clock() < till do end
end, list)
assert(submit(function() end).id - before == #list + 1)
