--! says harness: upvalue `data` of function at heavy.lua:6 takes 2.0 MiB, and a call that captures it sends 2.0 MiB every time: harness.share sends a value once
-- A closure that carries a lot is told of once, with the variable that does it; what is given as an argument is not.
local harness = require "harness"
local data = ("x"):rep(2 << 20)
for _ = 1, 3 do
  assert(await(submit(function() return #data end)) == #data)
end
assert(await(submit(function(s) return #s end, data)) == #data)
local shared = harness.share(data)
assert(await(submit(function() return #shared end)) == #data)
