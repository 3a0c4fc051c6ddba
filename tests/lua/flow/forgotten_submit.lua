--! says harness: 3 tasks were described and never submitted (forgotten_submit.lua:3, forgotten_submit.lua:6): submit(exec{...})
for i = 1, 2 do
  exec { cmd = { "echo", i } }
end
local twice = exec { cmd = { "true" } }
measure { cmd = { "true" } }
assert(await(submit(twice)).ok and await(submit(twice)).ok)
