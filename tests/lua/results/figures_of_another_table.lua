--! exit 1
--! says harness: figures_of_another_table.lua:6: attempt to index a nil value (field 'stats')
-- A record that was asked in vain has nothing to do with what another table has not.
local failed = await(submit(measure { shell = "exit 3", runs = 1, warmup = 0, exclusive = false }))
assert(not failed.stats)
print(({ name = "mine" }).stats.median)
