--! exit 1
--! says harness: no_interval.lua:6: attempt to index a nil value (field 'ci'): fewer than 7 runs have no interval: `runs = 7`, better more, or none said
-- What few runs have none of is said where it is read as if it were there; to ask for it is right.
local m = await(submit(measure { cmd = { "true" }, runs = 3, warmup = 0 }))
assert(m.stats.ci == nil and m.stats.rel_half_width == nil)
print(m.stats.ci.lo)
