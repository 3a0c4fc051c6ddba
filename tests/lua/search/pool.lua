-- search.run without a pool takes the one that is there, though a task opened it and not the script.
local harness = require "harness"
local search = harness.search

local function numbers()
  return search.run { space = { x = { 1, 2, 3 } }, strategy = "grid", evaluate = function(p) return submit(function(x) return x end, p.x) end }
end

submit(exec { cmd = { "true" } }) -- opens it, and nobody has waited for it when the search begins
local first = numbers()
assert(first.best.point.x == 1 and #first.trials == 3)
assert(#numbers().trials == 3)
local second <close> = spawn { slots = 1 }
assert(second.id == 1, "a search opened a pool of its own: " .. tostring(second))
