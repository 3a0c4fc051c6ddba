-- A state is an ordinary table, the same one for each who asks; what cannot be kept is said at once.
local harness = require "harness"
local state = harness.state("search", { best = math.huge, seen = {} })
assert(state.best == math.huge and harness.state("search") == state)
assert(next(harness.state(7)) == nil and harness.state "7" == harness.state(7))
state.list = setmetatable({ 1, 2 }, { __jsontype = "array" }) -- a mark is no behaviour
state.seen[1000], state.seen["\xff"] = true, 1.0
await(submit(function() end))
for _, case in ipairs {
  { function() harness.state() end, "state: expected a name first, such as harness.state(\"search\", {}), got a nil" },
  { function() harness.state "" end, "state: expected a name first, such as harness.state(\"search\", {}), got ''" },
  { function() harness.state("n", 5) end, "state 'n': expected a table as its default, got a number; put it into one: { value = ... }" },
  { function() harness.state("n", { f = { print } }) end,
    "state 'n', of state.lua:%d+: %.f%[1%] is a function; only strings, numbers, booleans and tables of those can be kept" },
  { function() harness.state("n", { text = ("x"):rep(70000) }) end,
    "state 'n', of state.lua:%d+: it takes 68%.4 KiB as JSON, and 64 KiB is the most: it is written whole whenever it changes; keep large data in a file" },
} do
  local ok, e = pcall(case[1])
  local want = case[2]:find "%%" and case[2] or case[2]:gsub("%p", "%%%0")
  assert(not ok and e:find("^state%.lua:%d+: " .. want .. "$"), e)
end
