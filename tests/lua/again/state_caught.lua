-- What cannot be kept is an error of the next submit or await, once: it can be caught, and the rest goes on.
local harness = require "harness"
local best = harness.state("best", { n = 1 })
local other = harness.state("other", {})
local function ends() return submit(function() return 7 end) end

setmetatable(best, { __index = {} })
other.n = 5
local pending = ends()
local ok, e = pcall(await, pending)
assert(not ok and e:find("state_caught.lua:10: state 'best', of state_caught.lua:3: it has a metatable", 1, true), e)
assert(await(pending) == 7 and await(ends()) == 7) -- told once

setmetatable(best, nil)
assert(await(ends()) == 7)
best.f = print
ok, e = pcall(submit, exec { cmd = { "true" } })
assert(not ok and e:find("state 'best'", 1, true), e)
assert(await(submit(exec { cmd = { "true" } })).ok)
-- Nothing that is recorded comes after it.
for key = 1, 2 do
  ok, e = pcall(submit, exec { key = key, cmd = { "true" } })
  assert(not ok and e:find("state 'best'", 1, true), e)
end
best.f = nil
assert(await(submit(exec { key = 3, cmd = { "true" } })).ok)
