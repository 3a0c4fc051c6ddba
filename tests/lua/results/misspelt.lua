-- A misspelt field is an error with the name that was meant; what may be absent is nil.
--! args --size=3
local harness = require "harness"
local function says(text, fn)
  local ok, e = pcall(fn)
  assert(not ok and tostring(e):find(text, 1, true) and tostring(e):find "^misspelt%.lua:%d+: ", tostring(e))
end
local args = harness.args { size = { 1, "how many" }, label = { "x", "a name" } }
assert(args.size == 3 and args[1] == nil)
says("unknown field 'sise' (did you mean 'size'?) of harness.args", function() return args.sise end)
-- It still travels, and can be kept, as the table it is.
assert(await(submit(function(given) return given.size + args.size end, args)) == 6)
assert(await(submit(exec { cmd = { "true" }, params = args })).params.size == 3)
local kept = harness.state("kept", {})
kept.args = args

local r = await(submit(measure { cmd = { "sh", "-c", "echo n 4" }, runs = 2, metrics = { n = "n (%d)" }, params = { a = 1 } }))
assert(r.ok, tostring(r))
says("unknown field 'sampels' (did you mean 'samples'?) of a record", function() return r.sampels end)
says("unknown field 'medain' (did you mean 'median'?) of stats", function() return r.stats.medain end)
says("unknown field 'median' of a record: it is one of its statistics, record.stats.median", function() return r.median end)
says("unknown field 'medain' (did you mean 'median'?) of stats", function() return r.metrics.n.stats.medain end)
assert(r.reason == nil and r.cause == nil and r.hosts == nil and r.stdout == nil and r[1] == nil)
assert(r.stats.ci == nil and r.stats.rel_half_width == nil or r.stats.n >= 7)
local median, misspelt = await(submit(function(record)
  local ok, e = pcall(function() return record.sampels end)
  return record.stats.median, not ok and e
end, r))
assert(median == r.stats.median and misspelt:find("unknown field 'sampels' (did you mean 'samples'?) of a record", 1, true))
kept.stats = r.stats

says("cmd[1]': pass the future itself, not its record: without await", function() exec { cmd = { r, 64 } } end)
says("measure: unknown objective 'gflops'; there are maxrss_bytes, sys_s, user_s, wall_s, and what 'metrics' declares: "
  .. 'metrics = { gflops = "pattern (with the number)" }', function() measure { cmd = { "true" }, objective = "gflops" } end)
says("cannot ship a coroutine; path: arg 2; pass the values it needs as arguments, or make it in the task itself (an object",
  function() submit(print, coroutine.create(print)) end)
