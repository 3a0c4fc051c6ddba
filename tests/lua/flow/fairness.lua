-- A flow that never has to wait, or only looks, does not keep others from going on; nor do timers starve.
local function id(x) return x end
local ready = submit(id, "ready")
assert(await(ready) == "ready")

local turns, stop = 0, false
local busy = go(function()
  while not stop do
    assert(await(ready) == "ready")
    turns = turns + 1
  end
  return turns
end)
local looker = go(function()
  local never = go(function() await(busy) end)
  local looks = 0
  while not never:done() do looks = looks + 1 end
  return looks
end)
local recorder = go(function()
  local bad = submit(exec { cmd = { "false" } })
  while not stop do assert(await(bad).status == "nonzero_exit") end
end)
-- Tasks of others end and wake them, in a wait with a time limit too.
for i = 1, 20 do assert(await(submit(id, i)) == i) end
local slow = submit(exec { cmd = { "sleep", "100" } })
assert(slow:wait "20 ms" == false)
slow:cancel()
assert(await(slow).status == "cancelled")
stop = true
assert(await(busy) > 0 and await(looker) > 0)
await(recorder)

-- Nor does one that asks again and again for what has ended.
local ended, stop = submit(function() end), false
await(ended)
go(function()
  while not stop do
    assert(ended:done() and ended:status() == "ok")
  end
end)
await(submit(exec { cmd = { "true" } }))
stop = true
