-- What has ended and nobody holds is forgotten: memory does not grow with the number of futures.
local function id(x) return x end
local function kib()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count"
end

local function rounds(n)
  for i = 1, n do
    local a = submit(id, i)
    local b = submit(id, a) -- depends on a pending one
    local bad = submit(error, "oh", 0)
    local skipped = submit(exec { cmd = { "true", bad } })
    local f = go(function() return await(b) end)
    assert(await(f) == i)
    assert(await(skipped).cause.message == "oh")
    assert(not pcall(await, bad))
    local cancelled = go(function() await(ready) end)
    wait({ a, b }, { timeout = 5 })
    for _ in as_completed { a, b } do end
    a:on_done(id)
  end
end
ready = submit(id, 1)
await(ready)
rounds(200)
local before = kib()
rounds(2000)
local grown = kib() - before
assert(grown < 200, ("%.0f KiB more after 2000 rounds"):format(grown))

-- Through `map` too: only the results stay. (An integer in a list takes 16 bytes.)
before = kib()
local i, most = 0, 0
local values, count = map(id, function()
  i = i + 1
  if i % 20000 == 0 then most = math.max(most, kib() - before) end
  if i <= 100000 then return i end
end, { in_flight = 200 })
assert(count == 100000 and values[100000] == 100000)
assert(most < 8 * 1024, ("%.0f KiB while 100000 results came in"):format(most))
