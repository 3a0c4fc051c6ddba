--! exit 1
--! says harness: overwritten_globals.lua:51: the end
-- Whatever a script does to its globals, the library goes on: `type`, `next` and `table` are names people use.
local harness = require "harness"
local own = {}
for name, value in pairs(_G) do own[name] = type(value) == "table" and { table.unpack(value) } or value end
local print, pcall, assert, error, tostring, find = print, pcall, assert, error, tostring, string.find
local spawn, submit, await, go, wait, as_completed, map = spawn, submit, await, go, wait, as_completed, map
local call, exec, measure, compile = call, exec, measure, compile
local remove, tmpname, wrap = os.remove, os.tmpname, coroutine.wrap

for _, module in pairs { string, table, math, os, io, coroutine, debug, utf8, package } do
  for name in pairs(module) do
    if name ~= "loaded" and name ~= "searchers" then module[name] = "overwritten" end
  end
end
local names = {}
for name in pairs(_G) do names[#names + 1] = name end
for i = 1, #names do
  if names[i] ~= "_G" then _G[names[i]] = names[i] .. " of the script" end
end

local pool = spawn { workers = 1, slots = 2 }
assert(find(tostring(pool), "^pool %d: 1 worker on 1 node"), tostring(pool))
assert(await(submit(function(x) return x + 1 end, 41)) == 42)
local m = submit(measure {
  cmd = { "printf", "v 5\nsum 1\n" }, name = "m", params = { x = 1.5 }, runs = 2, warmup = 0, exclusive = false,
  metrics = { v = "v (%d+)" }, objective = "v",
  verify = { reference = { "printf", "v 4\nsum 1\n" } }, timeout = "20 s",
})
assert(await(m).ok, tostring(await(m)))
local done, pending = wait({ m, submit(call { function() end, timeout = 5 }) }, { timeout = "20 s" })
assert(#done == 2 and #pending == 0)
assert(map(function(x) return x * 2 end, { 1, 2, 3 })[3] == 6)
for f, value in as_completed { go(function(x) return await(submit(function(y) return y end, x)) end, 7) } do
  assert(f:done() and f:status() == "ok" and value == 7)
end
local results = harness.results { name = "m" }
assert(results:min "v" and #results:group("x")[1.5] == 1 and find(results:table(), "m     1.5  ok", 1, true), results:table())
local path = tmpname()
assert(results:csv(path, { rows = "samples" }) == 2)
remove(path)
harness.args { size = 5 }
assert(wrap(function() return await(submit(function() return "inside" end)) end)() == "inside")
local ok, e = pcall(exec, { cmd = { "true" }, envv = {} })
assert(not ok and find(e, "exec: unknown option 'envv' (did you mean 'env'?)", 1, true), e)
ok, e = pcall(await, submit(function() error "in the task" end))
assert(not ok and find(tostring(e), "in the task", 1, true), tostring(e))
assert(await(submit(exec { cmd = { "sleep", 60 }, timeout = 0.01 })).status == "timeout")
pool:close()
error "the end"
