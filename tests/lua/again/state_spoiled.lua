--! exit 1
--! says harness: state_spoiled.lua:7: state 'best', of state_spoiled.lua:5: .record has a metatable, which cannot be kept: copy the fields you need; only strings, numbers, booleans and tables of those can be kept
-- What became unfit is an error at the next submit or wait, and names the state.
local harness = require "harness"
local best = harness.state("best", {})
best.record = await(submit(exec { cmd = { "true" } }))
await(submit(exec { cmd = { "true" } }))
print "not reached"
