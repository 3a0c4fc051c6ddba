--! prints a mean   0.1  s       { 1, 2 }  true  ok      wall_s
-- Columns with the same name, figures as they are, what was misspelt, and what may not be written.
local harness = require "harness"
local function says(text, fn, ...)
  local ok, e = pcall(fn, ...)
  assert(not ok and e:find("^strict.lua:%d+: ") and e:find(text, 1, true), ("expected `%s`, got `%s`"):format(text, tostring(e)))
end

-- Nothing measured yet: nothing to choose from, and no name that could be wrong.
local none = harness.results()
assert(#none == 0 and none:min "whatever" == nil and next(none:group "tile") == nil)
assert(none:table() == "no measurements" and tostring(none) == "no measurements")

local r = await(submit(measure {
  cmd = { "echo", "0.1 7" }, name = "a mean", params = { host = 0.1, size = { 1, 2 }, ["x,y"] = true, sample = "s" }, runs = 2,
  warmup = 0, metrics = { status = { "^(%S+)", unit = "s" }, other = " (%d+)" },
}))
assert(r.ok, tostring(r))
local all = harness.results()
local path = os.tmpname()
local function read()
  local file <close> = io.open(path)
  local lines = {}
  for line in file:lines() do lines[#lines + 1] = line end
  return lines
end
assert(all:csv(path) == 1)
local lines = read()
assert(lines[1] == 'name,param.host,sample,size,"x,y",status,host,objective,unit,n,min,q1,median,q3,max,mean,sd,mad,ci_lo,ci_hi,ci_level,'
  .. "stop_reason,flags,same_as,reason,other,metric.status", lines[1])
assert(lines[2]:find('^a mean,0.1,s,"{ 1, 2 }",true,ok,') and lines[2]:find(",7,0.1$"), lines[2])
assert(all:csv(path, { rows = "samples" }) == 2)
lines = read()
assert(lines[1]:find('^name,param.host,param.sample,size,"x,y",host,sample,inblock,') and lines[1]:find(",status,", 1, true), lines[1])
assert(lines[3]:find('^a mean,0.1,s,"{ 1, 2 }",true,[^,]+,2,'), lines[3])
os.remove(path)
print((all:table():match("\n([^\n]*)"):gsub("wall_s.*", "wall_s")))
assert(all:table():find("near_floor", 1, true) or #r.flags == 0)

says("results:min: unknown figure 'wal_s' (did you mean 'wall_s'?); there are inblock, majflt, ", all.min, all, "wal_s")
says("results:max: unknown figure 'staus' (did you mean 'status'?)", all.max, all, "staus")
says("results:min: expected the name of a figure, got a table", all.min, all, {})
says("results:group: unknown parameter 'hots' (did you mean 'host'?); there are host, ", all.group, all, "hots")
says("results:group: expected the name of a parameter, got nil", all.group, all)
says("results:csv: expected the path of a file, got nil", all.csv, all)
says("csv: option 'rows': expected \"measurements\" or \"samples\", got 'sample'", all.csv, all, path, { rows = "sample" })
says("results: option 'status': unknown status 'timeuot' (did you mean 'timeout'?); there are cancelled, compile_failed, ",
  harness.results, { status = "timeuot" })
says("results:csv: cannot write /dev/full: No space left on device", all.csv, all, "/dev/full")

says("results are read-only: collect what you choose in a table of your own", table.insert, all, r)
says("records are read-only, 'speedup' cannot be set: keep your own figures in a table of your own", function() r.speedup = 2 end)
says("records have no 'value': a figure is one of record.stats, as record.stats.median", function() return r.value end)
