-- Shared values: themselves in calls, the same one from call to call, handles in the script.
local harness = require "harness"
local pool <close> = spawn { workers = 1, slots = 1 }
local function get(...) return await(submit(...)) end

local big = { name = "big" }
for i = 1, 200000 do big[i] = i / 2 end
local shared = harness.share(big)
assert(tostring(shared):match "^shared value %x+ %(1%.5 MiB%)$", tostring(shared))
for round = 1, 3 do
  local n, half, seen = get(function(t, wrapped)
    local state = require("harness").worker.state
    state.seen = (state.seen or 0) + 1
    assert(state.first == nil or state.first == t, "it was made anew")
    state.first = t
    assert(wrapped.deep.t == t and shared == t)
    return #t, t[9], state.seen
  end, shared, { deep = { t = shared } })
  assert(n == 200000 and half == 4.5 and seen == round)
end
-- What a call gives back is an ordinary value.
assert(get(function() return { shared.name } end)[1] == "big")
-- The same content has the same name; functions and shared values within are fine.
assert(harness.share(big).hash == shared.hash)
local limit = 7
local with_code = harness.share { f = function(x) return x + limit end, big = shared }
assert(get(function() return with_code.f(1), #with_code.big end) == 8)
-- In another pool, too.
local other <close> = spawn { workers = 1, slots = 1 }
assert(await(other:submit(function() return #shared end)) == 200000)
assert(await(pool:submit(function() return #shared end)) == 200000)
-- When a slot has died the next one gets it again.
assert(not pcall(await, pool:submit(function() os.exit(3) end)))
assert(await(pool:submit(function() return #shared end)) == 200000)
-- Once the handle is gone slots forget it: the memory comes back.
local function memory()
  return await(pool:submit(function()
    collectgarbage()
    collectgarbage()
    return collectgarbage "count"
  end))
end
await(pool:submit(function() require("harness").worker.state.first = nil end))
local before = memory()
local function share_more()
  local more = {}
  for i = 1, 300000 do more[i] = "text " .. i end
  more = harness.share(more)
  assert(await(pool:submit(function() return #more end)) == 300000)
  assert(memory() > before + 10000)
end
share_more()
collectgarbage()
collectgarbage()
memory() -- with this call it is told
local after = memory()
assert(after < before + 5000, ("%.0f KiB before, %.0f after"):format(before, after))

local ok, e = pcall(harness.share, 5)
assert(not ok and tostring(e):find("share: a number is sent with the call at no cost", 1, true), e)
ok, e = pcall(harness.share, { io.stdout, io.tmpfile() })
assert(not ok and tostring(e):find("share: cannot ship a userdata; path: value 1[2]", 1, true), e)
ok, e = pcall(harness.share, { submit(function() end) })
assert(not ok and tostring(e):find("share: it holds a future that is not done: await it first", 1, true), e)
ok, e = pcall(function() return shared[1] end)
assert(not ok and tostring(e):find("a shared value is itself in calls only", 1, true), e)
ok, e = pcall(function() shared[1] = 2 end)
assert(not ok and tostring(e):find("cannot be changed", 1, true), e)
