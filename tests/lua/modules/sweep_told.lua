--! says harness: sweep_told.lua:13: sweep.where: of 2 points none is left; the first was { flags = '-O2', tile = 8 }
--! says harness: sweep_told.lua:15: sweep.exclude: of 1 point none is left; the first was { tile = 8 }
--! says harness: sweep_told.lua:17: sweep.exclude: { flags = '-O4' } leaves out nothing: no point has flags = '-O4' (did you mean '-O2'?); there are '-O2'
--! says harness: sweep_told.lua:18: sweep.exclude: { flags = '-O2', tile = '8' } leaves out nothing: no point has tile = '8'; there are 8, 16
--! says harness: sweep_told.lua:19: sweep.exclude: { n = 3 } leaves out nothing: no point has n = 3; there are 1, 2, 4, 5, 6, 7, 8, 9, ...
-- What is left out in vain, and a sweep of which nothing is left, may be right with other arguments: it is told, and goes on.
local sweep = require("harness").sweep
local two = sweep.cross { tile = { 8, 16 }, flags = { "-O2" } }
local one = { { tile = 8 } }
local range = sweep.range(1, 12)
table.remove(range, 3)

local none = two:where(function(p) return p.tile > 16 end)
assert(#none == 0 and none[1] == nil and #sweep.cross { none, n = { 1, 2 } } == 0) -- once
assert(#sweep.exclude(one, one) == 0)

assert(#two:exclude { { flags = "-O2", tile = 8 }, { flags = "-O4" } } == 1)
assert(#sweep.list(two, one):where(function() return true end):exclude { { flags = "-O2", tile = "8" } } == 3)
assert(#sweep.zip { n = range, reps = range }:order("random"):exclude { { n = 3 } } == #range)

-- What nobody asks for, what is excluded by more than it is, and what has no parameters at all are not told.
two:where(function() return false end)
sweep.exclude({}, one)
assert(#two:exclude { { tile = 8 }, { tile = 8, flags = "-O2" } } == 1)
