-- What stays in a slot from call to call, and what does not.
local harness = require "harness"
local pool <close> = spawn { workers = 1, slots = 1 }
local function count()
  local state = harness.worker.state
  state.n = (state.n or 0) + 1
  return state.n, harness.worker.host, harness.worker.id, harness.worker.slot
end
assert(await(submit(count)) == 1 and await(submit(count)) == 2)
local n, host, id, slot = await(submit(count))
assert(n == 3 and host == pool.workers[1].host and id == pool.workers[1].id and slot ~= nil)
-- Globals of one call are not there in the next.
await(submit(function() leaked = 5 end))
assert(await(submit(function() return leaked end)) == nil)
-- The globals it reads travel, and what it writes stays there.
shared = { value = 1 }
assert(await(submit(function() shared.value = shared.value + 1 return shared.value end)) == 2)
assert(shared.value == 1)
-- Recursion, and upvalues that two functions share.
local function fib(x) return x < 2 and x or fib(x - 1) + fib(x - 2) end
assert(await(submit(fib, 15)) == 610)
local total = 0
local function add(x) total = total + x end
local function read() return total end
assert(await(submit(function() add(2) add(3) return read() end)) == 5 and total == 0)
-- Random numbers are the task's own, whichever slot it lands on.
local function dice() return math.random(1 << 40) end
local a, b = await(submit(dice)), await(submit(dice))
assert(a ~= b)
