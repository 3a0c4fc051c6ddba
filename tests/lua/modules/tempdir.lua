-- A folder that a call made for a while goes with its slot, which is killed and runs nothing of ours at its end.
local harness = require "harness"
local function make()
  local fs = require("harness").fs
  local folder = assert(fs.tempdir())
  assert(fs.write(folder .. "/file", "x"))
  return folder
end
local kept
local other <close> = spawn { slots = 1 }
local never = other:submit(exec { cmd = { "sleep", "1000" } })
do
  local pool <close> = spawn { slots = 1 }
  local gone = await(pool:submit(call { make, fresh = true }))
  kept = await(pool:submit(call { make, fresh = true }))
  assert(kept ~= gone and await(pool:submit(function() return kept ~= "" end)))
  -- The slot of the first has ended by then.
  for _ = 1, 1000 do
    if not harness.fs.exists(gone) then break end
    never:wait(0.02)
  end
  assert(not harness.fs.exists(gone), gone)
end
for _ = 1, 1000 do
  if not harness.fs.exists(kept) then break end
  never:wait(0.02)
end
assert(not harness.fs.exists(kept), kept)
never:cancel()
