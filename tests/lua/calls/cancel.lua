-- cancel: what waits never runs, what runs is ended, what has ended stays as it is.
local marker = os.tmpname()
os.remove(marker)
local pool <close> = spawn { workers = 1, slots = 1 }

local function spin() while true do end end
local function nap() -- sleeps inside C: only the end of its process ends it
  os.execute "exec sleep 1000"
end
local function kind_of(f)
  local ok, e = pcall(await, f)
  return ok and "ok" or e.kind
end

for _, body in ipairs { spin, nap } do
  local begun = os.tmpname()
  os.remove(begun)
  local running = submit(function()
    assert(io.open(begun, "w")):close()
    body()
  end)
  local queued = submit(function() assert(io.open(marker, "w")):close() end)
  queued:cancel() -- in the pipe of the slot, behind one that does not end
  assert(kind_of(queued) == "cancelled")
  repeat until io.open(begun)
  assert(running:status() == "pending")
  running:cancel()
  assert(kind_of(running) == "cancelled" and running:status() == "cancelled")
  os.remove(begun)
  -- The slot is there again.
  assert(await(submit(function() return 5 end)) == 5)
end
assert(not io.open(marker))

-- A program, and one behind it.
local running = submit(exec { cmd = { "sleep", "1000" } })
local queued = submit(exec { cmd = { "touch", marker } })
queued:cancel()
assert(await(queued).status == "cancelled" and running:status() == "pending")
running:cancel()
local record = await(running)
assert(record.status == "cancelled" and not record.ok and record.reason ~= nil, tostring(record))
assert(not io.open(marker))

-- What waits for a cancelled one is skipped; what has ended is not changed.
local first = submit(exec { cmd = { "sleep", "1000" } })
local after = submit(function(x) return x end, first)
first:cancel()
assert(kind_of(after) == "skipped")
local done = submit(function() return 1 end)
assert(await(done) == 1)
done:cancel()
assert(done:status() == "ok" and await(done) == 1)
