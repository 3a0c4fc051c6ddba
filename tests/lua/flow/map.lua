-- map: bounded, over lists and iterators, in order or not; what is in flight ends with it.
local function says(text, fn, ...)
  local ok, e = pcall(fn, ...)
  assert(not ok, "no error: " .. text)
  assert(tostring(e):find(text, 1, true), ("expected `%s`, got `%s`"):format(text, tostring(e)))
  return e
end
local function id(x) return x end
local function upto(n)
  local i = 0
  return function()
    i = i + 1
    if i <= n then return i end
  end
end

-- Never more than `in_flight` are asked for and not done.
local values, count = map(id, upto(50), { in_flight = 1 })
assert(count == 50 and #values == 50 and values[50] == 50)
local taken, source = 0, upto(1000)
local running = go(map, function() os.execute "exec sleep 1000" end, function()
  taken = taken + 1
  return source()
end, { in_flight = 7 })
assert(taken == 7, taken)
running:cancel()

-- Generators that await; a list that grows; false and nil among the results.
values = map(id, coroutine.wrap(function() for i = 1, 3 do coroutine.yield(await(submit(id, i * 10))) end end))
assert(table.concat(values, " ") == "10 20 30")
local list = { 1 }
values, count = map(function(x)
  if x == 2 then return false end
  if x < 5 then return x end
end, coroutine.wrap(function()
  local i = 0
  while list[i + 1] do
    i = i + 1
    if i < 6 then list[i + 1] = i + 1 end
    coroutine.yield(list[i])
  end
end))
assert(count == 6 and values[1] == 1 and values[2] == false and values[4] == 4 and values[5] == nil)

-- As they come: the same values.
values = map(id, upto(20), { in_flight = 3, ordered = false })
table.sort(values)
assert(#values == 20 and values[1] == 1 and values[20] == 20)

-- An error in the iterator, or of a call, is raised here and the rest is cancelled.
local function hang(x)
  if x == 1 then error("first", 0) end
  os.execute "exec sleep 1000"
end
says("first", map, hang, { 1, 2, 3 })
local i = 0
says("map.lua:59: no more", map, hang, function()
  i = i + 1
  if i == 3 then error "no more" end
  return i + 1
end)
assert(await(submit(id, "both slots are free again")) and await(submit(id, 1)) == 1)
says("map: expected a function, got a table", map, {}, {})
says("map: expected a list or an iterator, got a number", map, id, 5)
says("map: give the list itself, map(fn, list), not ipairs(list) or pairs(list)", map, id, ipairs { 1 })
says("map: give the list itself, map(fn, list), not ipairs(list) or pairs(list)", map, id, pairs { a = 1 })
says("map: option 'in_flight': expected a whole number from 1, got 0", map, id, {}, { in_flight = 0 })

-- Leaving a loop over as_completed cancels nothing: what is left can be waited for.
list = { submit(id, 1), submit(id, 2) }
local seen
for f in as_completed(list) do
  seen = f
  break
end
assert(seen:done())
assert(await(list[1]) + await(list[2]) == 3)
-- Two flows may share one.
list = {}
for j = 1, 40 do list[j] = submit(id, j) end
local each, sum = as_completed(list), 0
local function worker()
  for _, value in each do
    local same = await(submit(id, value))
    sum = sum + same
  end
end
local a, b = go(worker), go(worker)
wait { a, b }
assert(sum == 820, sum)
