-- A slot's Lua values have a limit; who meets it ends as `oom`, and the slot lives on.
local harness = require "harness"
local pool <close> = spawn { workers = 1, slots = 1, memory = "16 MiB", init = function(worker) worker.state.calls = 0 end }
local function calls()
  harness.worker.state.calls = harness.worker.state.calls + 1
  return harness.worker.state.calls
end
local function oom(fn)
  local ok, e = pcall(await, submit(fn))
  assert(not ok and e.kind == "oom", tostring(e))
  return e.message
end
local message = oom(function()
  local list = {}
  while true do list[#list + 1] = ("x"):rep(1000) .. #list end
end)
assert(message:find "^Lua ran out of memory: its slot may take 16 MiB %(spawn{ memory = … }%); [%d.]+ KiB stay in use$", message)
oom(function() return ("x"):rep(1 << 30) end)
-- In a coroutine it is an error like others there, and the task's own affair.
assert(await(submit(function() return (pcall(coroutine.wrap(function() return #("x"):rep(1 << 30) end))) end)) == false)
-- A result that is too large to be sent is nobody's crash either.
assert(await(submit(calls)) == 1)
-- What the state holds stays and counts.
await(submit(function() harness.worker.state.kept = ("x"):rep(6 << 20) end))
assert(oom(function() return #("y"):rep(8 << 20) end):find "6%.%d+ MiB stay in use$")
assert(await(submit(calls)) == 2)

-- Programs and C code have a limit of their own, somewhat above.
local function allocate(mib)
  local program = ("import sys\ntry:\n  b = bytearray(%d << 20)\nexcept MemoryError: sys.exit(7)"):format(mib)
  return select(3, os.execute("python3 -c '" .. program .. "'"))
end
if os.execute "command -v python3 > /dev/null" then
  assert(await(submit(allocate, 100)) == 0 and await(submit(allocate, 1000)) == 7)
else
  print "python3 is not here: what programs may take is not tested"
end

-- Without a limit what nobody has is refused all the same.
local free <close> = spawn { workers = 1, slots = 1 }
assert(oom(function() return io.open("/dev/zero"):read(1 << 45) end):find "^Lua ran out of memory: the node has ")

-- What a slot is called with, or returns, may be as large as its memory; what is larger ends its own call. The slot is the same.
do
  local small <close> = spawn { workers = 1, slots = 1, start = "local", memory = "64 MiB" }
  local function sees(text)
    local state = require("harness").worker.state
    state.calls = (state.calls or 0) + 1
    return #text, state.calls
  end
  local function expect(mib, calls)
    local length, seen = await(small:submit(sees, ("x"):rep(mib << 20)))
    assert(length == mib << 20 and seen == calls, seen)
  end
  expect(60, 1)
  for _, of in ipairs { { sees, ("x"):rep(350 << 20) }, { sees, small:submit(string.rep, "x", 25 << 20), ("x"):rep(45 << 20) } } do
    local ok, why = pcall(await, small:submit(table.unpack(of)))
    assert(not ok and why.kind == "oom" and why.message:find("`memory` leaves its slot 64 MiB", 1, true), why)
  end
  -- What was left by the last call is not in the way of one whose function asks for all at once.
  expect(50, 2)
  for _ = 1, 2 do
    assert(await(small:submit(function() return #("y"):rep(20 << 20) end)) == 20 << 20)
  end
  expect(1, 3)
end
