local function here() return require "harness".worker.host end
local pool = spawn { workers = 2, slots = 1 }
local worker = pool.workers[1]
local host = worker.host
assert(tostring(pool) == ("pool %d: 2 workers on 1 node (%s), 2 slots"):format(pool.id, host), tostring(pool))
assert(#pool.workers == 2 and await(pool:submit(here)) == host and worker.slots == 1 and worker.start == "local")
assert(await(pool:submit(function() return 5 end)) == 5)
do
  local other <close> = spawn {}
  assert(await(submit(function() return 6 end)) == 6)
end
pool:close()
pool:close()
assert(tostring(pool):find("closed", 1, true))
local ok, e = pcall(pool.submit, pool, function() end)
assert(not ok and e:find("pool:submit: pool 0 is closed; submit before close(), or to another pool", 1, true), e)
ok, e = pcall(spawn, { hosts = { "node7" } })
assert(not ok and e:find("spawn: host `node7` is not in the allocation, which has ", 1, true), e)
