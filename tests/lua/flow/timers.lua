-- Timers fire by time, then in the order they were set, and are cheap however many there are.
local pool <close> = spawn { slots = 3 }
local never = pool:submit(exec { cmd = { "sleep", "1000" } })
local function sleep(seconds) never:wait(seconds) end
local order = {}
local function later(name, seconds)
  return go(function()
    sleep(seconds)
    order[#order + 1] = name
  end)
end
local all = { later("d", 0.04), later("b", 0.02), later("c", 0.03), later("a", 0.01) }
-- All are set, and due together, before anybody looks.
local set = go(function() end)
await(set)
local begun = os.time()
repeat until os.time() - begun >= 2
for _, flow in ipairs(all) do await(flow) end
assert(table.concat(order) == "abcd", table.concat(order))

-- What is set and dropped in any order leaves the others.
local kept = 0
for i = 1, 200 do
  local task = pool:submit(function() return i end)
  if i % 3 == 0 then
    go(function()
      sleep(0.001 * (i * 7 % 50))
      kept = kept + 1
    end)
  end
  assert(task:wait(1000 - i))
end
while kept < 66 do sleep(0.01) end

-- Twice as many cost about twice as much: were it the square, this would run into the limit of the test.
local n = 100000
local slow = pool:submit(exec { cmd = { "sleep", "3" }, timeout = 100 })
local woken = 0
for _ = 1, n do
  go(function()
    if slow:wait(1000) then woken = woken + 1 end
  end)
end
await(slow)
while woken < n do sleep(0.01) end
never:cancel()
