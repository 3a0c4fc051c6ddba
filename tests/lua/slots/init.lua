-- `init` runs once in each slot before its first call, and again in the one that takes its place.
local harness = require "harness"
local greeting, pid = "hello", function() return (io.open "/proc/self/stat"):read "n" end
local function init(worker)
  assert(worker == harness.worker and next(worker.state) == nil)
  worker.state.made = { greeting = greeting, pid = pid(), slot = worker.slot, calls = 0 }
  leaked = true
  return io.tmpfile() -- what it returns is dropped, even if it cannot travel
end
local pool <close> = spawn { workers = 1, slots = 1, init = init }
local function call()
  local made = harness.worker.state.made
  made.calls = made.calls + 1
  assert(leaked == nil and made.pid == pid())
  return made
end
local first = await(submit(call))
assert(first.greeting == "hello" and first.slot == 0 and first.calls == 1)
assert(await(submit(call)).calls == 2)

-- However the process ends, the next one begins as the first did, and calls that wait are done there.
local function caught(f)
  local ok, e = pcall(await, f)
  assert(not ok, "it has no result")
  return e
end
for _, ending in ipairs { "exit", "signal" } do
  local before = await(submit(call)).pid
  local ends = submit(function()
    os.execute "sleep 0.1" -- so that calls are behind it
    if ending == "exit" then os.exit(3) end
    os.execute "kill -KILL $PPID"
    while true do end
  end)
  local behind = {}
  for i = 1, 20 do behind[i] = submit(call) end
  local e = caught(ends)
  assert(e.kind == (ending == "exit" and "nonzero_exit" or "signal"), tostring(e))
  local numbers = {}
  for i = 1, 20 do
    local made = await(behind[i])
    assert(made.pid ~= before and not numbers[made.calls], "done twice, or in the old process")
    numbers[made.calls] = true
  end
  assert(#numbers == 20, "each of them is done once, there")
end

-- Each slot has a state of its own.
local two <close> = spawn { workers = 1, slots = 2, init = init }
local naps = {}
for i = 1, 2 do
  naps[i] = submit(function() os.execute "sleep 0.2" return harness.worker.slot, call() end)
end
local slot_a, a = await(naps[1])
local slot_b, b = await(naps[2])
assert(slot_a ~= slot_b and a.pid ~= b.pid and a.calls == 1 and b.calls == 1)

-- A build it refers to is on the node before it runs; a future that is not done is refused.
local prog = submit(compile { cmd = { "sh", "-c", "echo text > out" }, output = "out" })
local ok, problem = pcall(spawn, { init = function() return submit and prog end })
assert(not ok and problem:find("spawn: init: it needs the result of task %d+, which has not ended: await it first"), problem)
assert(await(prog).ok)
local with_build <close> = spawn { workers = 1, slots = 1, init = function(worker) worker.state.text = io.open(prog):read "a" end }
assert(await(submit(function() return harness.worker.state.text end)) == "text\n")
