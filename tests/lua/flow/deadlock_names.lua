--! exit 1
--! says harness: deadlock: nothing is running and everybody waits:
--! says   the main script waits at deadlock_names.lua:28 for the flow of deadlock_names.lua:26
--! says   the flow of deadlock_names.lua:11 waits at deadlock_names.lua:13 for itself
--! says   the flow of deadlock_names.lua:17 waits at deadlock_names.lua:18 for the flow of deadlock_names.lua:11
--! says   the flow of deadlock_names.lua:21 waits at deadlock_names.lua:22 for the flow of deadlock_names.lua:11, the flow of deadlock_names.lua:17
--! says   the flow of deadlock_names.lua:26 waits at its end for the flow of deadlock_names.lua:21
-- (the first one is to blame)
local function id(x) return x end
local me
me = go(function()
  await(submit(id, 1))
  await(me)
  return 1
end)
assert(await(submit(id, 2)) == 2)
local second = go(function()
  await(me)
  return 2
end)
local third = go(function()
  wait { me, second, submit(id, 1) }
  return 3
end)
assert(me:wait "20 ms" == false)
local last = go(function() return await(third) end)
-- Everything is forgotten and nothing hangs.
for f in as_completed { last } do print(f) end
