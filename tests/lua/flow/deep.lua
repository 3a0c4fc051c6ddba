-- Flows that start one another, deeper than the C stack is; and where they cannot be started.
local function r(n)
  if n == 0 then return 0 end
  return 1 + await(go(r, n - 1))
end
assert(r(5000) == 5000)
assert(await(go(r, 5000)) == 5000)

-- `go` runs the flow at once until it waits, also inside an author's coroutine.
local seen, within = {}, nil
local co = coroutine.wrap(function()
  within = go(function()
    seen[#seen + 1] = "first"
    await(submit(function() return 1 end))
    seen[#seen + 1] = "last"
  end)
  seen[#seen + 1] = "then"
  coroutine.yield()
end)
co()
assert(table.concat(seen, " ") == "first then")

-- Inside a comparator nothing can be suspended: the C stack has its end, and the error a line.
local deepest = 0
local function sorted(n)
  deepest = n
  table.sort({ 1, 2 }, function(a, b)
    local f = go(sorted, n + 1)
    await(f)
    return a < b
  end)
end
local ok, e = pcall(sorted, 1)
assert(not ok and deepest > 20 and deepest < 200, deepest)
assert(tostring(e):find("deep.lua:%d+: .*C"), e)
assert(await(go(r, 10)) == 10) -- nothing is left behind

-- A starter cannot be cancelled by what it starts.
local outer
outer = go(function()
  await(submit(function() return 1 end))
  local inner = go(function() outer:cancel() end)
  local fine, why = pcall(await, inner)
  assert(not fine and why:find("deep.lua:%d+: cancel: a flow cannot cancel itself"), why)
  return "done"
end)
assert(await(outer) == "done")

-- What has no line of its own is told with the line that started it.
ok, e = pcall(await, go(await))
assert(not ok and e:find("deep.lua:%d+: await: expected a future, got nil"), e)
ok, e = pcall(await, go(string.rep, "x", 1 << 60))
assert(not ok and e:find("deep.lua:%d+: resulting string too large"), e)

local left <close> = setmetatable({}, { __close = function() assert(#seen == 3) end })
await(within)
