-- C code that takes its socket from a slot ends that slot, though it lives on; what comes behind it runs in the next one.
local harness = require "harness"
local pool <close> = spawn { workers = 1, slots = 1 }
local function cut_off()
  local libc = harness.dl.open "libc.so.6"
  local shutdown = libc:fn "int shutdown(int, int)"
  for fd = 3, 20 do
    shutdown(fd, 2)
  end
  while true do
  end
end
local first, behind = submit(cut_off), submit(function() return 7 end)
local ok, e = pcall(await, first)
assert(not ok and e.kind == "signal" and e.message:find "closed the connection to its worker and lived on", e)
assert(await(behind) == 7)
