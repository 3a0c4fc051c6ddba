-- The root's own node, where it is the only one.
local pool <close> = spawn { root_node = "auto", workers = 1 }
assert(pool.workers[1].measures)
local m = await(submit(measure { cmd = { "true" }, runs = 1 }))
assert(m.ok and not table.concat(m.flags, " "):find "shares_root", "nobody else could have it")
local ok, e = pcall(spawn, { root_node = "spare" })
assert(not ok and e:find('spawn: root_node="spare" keeps workers off the root\'s own node ' .. pool.workers[1].host, 1, true), e)
ok, e = pcall(spawn, { root_node = "none" })
assert(not ok and e:find("spawn: option 'root_node': expected \"auto\" or \"measure\" or \"spare\"", 1, true), e)
ok, e = pcall(spawn, { placement = "loose" })
assert(not ok and e:find("spawn: option 'placement': expected \"strict\" or \"warn\"", 1, true), e)
