local function id(x) return x end

-- Futures appended while it runs are included; a list may hold what is done already.
local list = { submit(id, 1) }
await(list[1])
list[2] = submit(id, 2)
local seen, n = {}, 0
for f, value in as_completed(list) do
  n = n + 1
  seen[n] = value
  if n == 2 then
    list[#list + 1] = submit(id, 3)
    list[#list + 1] = go(function() return await(submit(id, 4)) end)
  end
end
table.sort(seen, function(a, b) return a < b end) -- calls in two slots end in any order
assert(table.concat(seen, " ") == "1 2 3 4", table.concat(seen, " "))

for _ in as_completed {} do error("nothing is there") end

-- The list is the author's: what is taken out of it, or kept beside it, is no harm.
do
  local pending, ended = { submit(id, 1), submit(id, 2), submit(id, 3) }, 0
  pending.what, pending[pending[1]] = "numbers", "one"
  for f in as_completed(pending) do
    ended = ended + 1
    for i, one in ipairs(pending) do
      if one == f and ended == 3 then table.remove(pending, i) end
    end
  end
  assert(ended == 3 and #pending == 2)
end

-- Records of programs come as results whatever their status.
for f, record, e in as_completed { submit(exec { cmd = { "false" } }) } do
  assert(record.status == "nonzero_exit" and e == nil and f:status() == "nonzero_exit")
end

-- map: in order, bounded, over iterators; the first error is raised
local squares, count = map(function(x) return x * x end, { 1, 2, 3, 4 }, { in_flight = 2 })
assert(count == 4 and table.concat(squares, " ") == "1 4 9 16")
local i = 0
local sums = map(function(a, b) return a + b end, function()
  i = i + 1
  if i <= 3 then return i, 10 end
end, { in_flight = 1 })
assert(table.concat(sums, " ") == "11 12 13")
assert(#map(function(x) return x end, { 1, 2, 3 }, { ordered = false }) == 3)
assert(#map(function(x) return x end, {}) == 0)
local ok, e = pcall(map, function(x) if x == 2 then error("two", 0) end return x end, { 1, 2, 3 })
assert(not ok and e.message == "two")
