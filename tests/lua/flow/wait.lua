local harness = require "harness"
local function id(x) return x end

-- Values: none, one, several, nil among them.
assert(select("#", await(submit(function() end))) <= 1)
local a, b, c = await(submit(function() return 1, nil, 3 end))
assert(a == 1 and b == nil and c == 3)
-- Awaiting again gives the same.
local f = submit(id, "x")
assert(await(f) == "x" and await(f) == "x")
assert(f:done() and f:status() == "ok" and f:wait() == true)

-- wait: all, some, with a time limit; lists in the order given.
local slow = submit(exec { cmd = { "sleep", "60" } })
local quick = { submit(id, 1), submit(id, 2) }
local done, pending = wait { quick[1], quick[2] }
assert(#done == 2 and #pending == 0 and done[1] == quick[1])
done, pending = wait({ slow, quick[1] }, { count = 1 })
assert(done[1] == quick[1] and pending[1] == slow)
done, pending = wait({ slow }, { timeout = "10 ms" })
assert(#done == 0 and pending[1] == slow)
assert(slow:wait(0) == false and slow:status() == "pending" and not slow:done())
done, pending = wait {}
assert(#done == 0 and #pending == 0)
-- Whoever waits no more is not kept: a loop that waits for the next end each time takes no more and more.
local waiters = function() return #(rawget(slow, "waiters") or {}) end
local before = waiters()
for _ = 1, 100 do
  wait({ slow, quick[1] }, { count = 1 })
  slow:wait(0)
end
assert(waiters() == before)
for _ in as_completed { slow, quick[1] } do break end
assert(waiters() == before)
-- Futures by name, or with gaps, are no list of which the first ones count.
for _, given in ipairs { { a = slow }, { [64] = slow }, { quick[1], quick[2], nil, slow } } do
  for _, takes in ipairs { wait, as_completed } do
    local ok, problem = pcall(takes, given)
    assert(not ok and problem:find("a list of futures without gaps and names", 1, true), problem)
  end
end

-- cancel
slow:cancel()
local record = await(slow)
assert(record.status == "cancelled" and not record.ok)
assert(slow:status() == "cancelled")
slow:cancel() -- a second time does nothing

-- on_done runs in a flow of its own, also for what is done already
local seen = {}
local later = submit(id, 5):on_done(function(g)
  local next_one = await(submit(id, await(g) + 1))
  seen[#seen + 1] = next_one
end)
await(later)
quick[1]:on_done(function() seen[#seen + 1] = "at once" end)
while #seen < 2 do await(submit(id, 0)) end -- calls in two slots end in any order
assert(seen[1] == "at once" and seen[2] == 6, table.concat(seen, " "))

-- It may cancel whoever waits meanwhile, and what waits is cancelled where it waits.
local hanging = submit(function() os.execute "exec sleep 1000" end)
local reached
local waiting = go(function()
  await(submit(id, 1)) -- from here on the scheduler has resumed it
  reached = true
  await(hanging)
  reached = "too far"
end)
while not reached do await(submit(id, 0)) end
submit(id, 0):on_done(function()
  waiting:cancel()
  hanging:cancel()
end)
assert(not pcall(await, waiting) and waiting:status() == "cancelled" and reached == true)
assert(not pcall(await, hanging))

-- go: arguments, results, cancellation
local flow = go(function(x, y) return x + await(submit(id, y)), "second" end, 1, 2)
local sum, second = await(flow)
assert(sum == 3 and second == "second")
local closed
local stuck = go(function()
  local _ <close> = setmetatable({}, { __close = function() closed = true end })
  await(submit(exec { cmd = { "sleep", "60" }, timeout = "50 ms" }))
end)
stuck:cancel()
assert(closed and stuck:status() == "cancelled")
local ok, e = pcall(await, stuck)
assert(not ok and getmetatable(e) == harness.Error and e.kind == "cancelled")
assert(tostring(stuck) == "future of flow (cancelled)", tostring(stuck))

-- a clock that goes forward
local t = harness.now()
assert(harness.now() >= t and math.type(t) == "float")
