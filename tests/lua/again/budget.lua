-- A budget counts what the script has seen end: not builds, not runs of references, not what never ran.
local harness = require "harness"
local budget = harness.budget { trials = 3, seconds = "1 h" }
assert(not budget:done() and budget:left().trials == 3 and budget:left().node_hours == nil)
await(submit(compile { cmd = { "sh", "-c", "echo '#!/bin/sh' > prog; chmod +x prog" }, output = "prog" }))
await(submit(exec { cmd = { "no-such-program" } }))
assert(budget:spent().trials == 0 and budget:spent().seconds > 0)
local refers = measure { cmd = { "echo", "1" }, runs = 1, warmup = 0, verify = { reference = { "echo", "1" } } }
assert(await(submit(refers)).ok)
assert(budget:spent().trials == 1)
local later = harness.budget { trials = 2 }
await(submit(exec { cmd = { "false" } }))
assert(not budget:done() and not later:done() and later:left().trials == 1)
pcall(await, submit(function() error "x" end))
assert(budget:done() and later:done() and budget:left().trials == 0)
assert(tostring(later) == "budget: 2 of 2 trials", tostring(later))
local measured = harness.budget { measurements = 1, trials = 9 }
assert(await(submit(function() return 1 end)) == 1)
assert(not measured:done() and measured:left().measurements == 1 and measured:left().trials == 8)
assert(await(submit(refers)).ok)
assert(measured:done() and measured:spent().measurements == 1 and measured:spent().trials == 2)
assert(tostring(measured) == "budget: 2 of 9 trials, 1 of 1 measurements", tostring(measured))
local spent = budget:spent()
assert(math.abs(spent.node_hours - spent.seconds / 3600) < 1e-12)
assert(harness.budget({ seconds = 0 }):done())
for given, text in pairs {
  [{}] = "budget: give at least one of 'trials', 'measurements', 'seconds', 'node_hours'",
  [{ trails = 1 }] = "budget: unknown option 'trails' (did you mean 'trials'?)",
} do
  local ok, e = pcall(harness.budget, given)
  assert(not ok and e:sub(-#text) == text, e)
end
