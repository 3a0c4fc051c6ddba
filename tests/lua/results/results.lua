local harness = require "harness"
local here = spawn {}.workers[1].host
local function figures(name, tile, value)
  return submit(measure {
    cmd = { "echo", "v", value }, name = name, params = { tile = tile }, runs = 3, warmup = 0, metrics = { v = "v (%d+)" }, objective = "v",
  })
end
wait { figures("a", 8, 5), figures("a", 16, 3), figures("b", 8, 1) }
await(submit(measure { cmd = { "false" }, name = "a", params = { tile = 99 }, runs = 1 }))

local all = harness.results { name = "a" }
assert(#all == 3 and #harness.results() == 4 and #harness.results { status = "ok" } == 3)
local best, value = all:min "v"
assert(best.params.tile == 16 and value == 3.0)
assert(all:max("v").params.tile == 8 )
assert(all:min("wall_s").ok)
local least, least_value = all:best()
assert(least == best and least_value == 3.0)
await(submit(measure { cmd = { "echo", "v 9" }, name = "more", params = { tile = 32 }, runs = 3, metrics = { v = "v (%d+)" }, objective = "v", better = "more" }))
assert(harness.results({ name = "more" }):best().stats.median == 9 and harness.results({ name = "none" }):best() == nil)
local same, different = pcall(function() return harness.results():best() end)
assert(not same and different:find("different objectives, v (less) and v (more)", 1, true), different)
local dotted, colon = pcall(all.min)
assert(not dotted and colon:find "call it with a colon", colon)
assert(#harness.results { where = function(r) return r.params.tile == 8 end } == 2)
local groups = harness.results():group "tile"
assert(#groups[8] == 2 and groups[99][1].status == "nonzero_exit" and #groups[8] == #groups[8]:group("tile")[8])

local path = os.tmpname()
assert(all:csv(path) == 3)
local lines = {}
for line in io.lines(path) do lines[#lines + 1] = line end
assert(lines[1] == "name,tile,status,host,objective,unit,n,min,q1,median,q3,max,mean,sd,mad,ci_lo,ci_hi,ci_level,stop_reason,flags,same_as,reason,v",
  lines[1])
local text = table.concat(lines, "\n")
assert(lines[2]:find("a,8,ok," .. here .. ",v,,3,5,5,5,5,5,5,0,0,,,,fixed,", 1, true) and not lines[2]:find "near_floor" and lines[2]:find(",5$"), text)
assert(lines[3]:find("a,16,", 1, true) and lines[4]:find("a,99,nonzero_exit,", 1, true), text)
assert(all:csv(path, { rows = "samples" }) == 6)
lines = {}
for line in io.lines(path) do lines[#lines + 1] = line end
assert(#lines == 7 and lines[1]:find("^name,tile,host,sample,") and lines[1]:find(",v,", 1, true), lines[1])
os.remove(path)
local ok, e = pcall(all.csv, all, "/no/such/folder/x.csv")
assert(not ok and e:find("results.lua:%d+: results:csv: cannot write /no/such/folder/x.csv: No such file"), e)

local shown = all:table()
assert(shown:find([[
name  tile  status        objective  median  ci low  ci high  n  stop    flags
a        8  ok            v               5                   3  fixed]], 1, true) == 1, shown)
assert(shown:find("\na       99  nonzero_exit  wall_s                                 failed$"), shown)
assert(tostring(all) == shown)
