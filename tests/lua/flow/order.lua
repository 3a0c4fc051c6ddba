-- Who goes on first when one end wakes several flows: who waited first, whatever else the script waits for.
local pool <close> = spawn { slots = 4 }
local function orders(fn)
  local found = {}
  for _, timer in ipairs { false, true } do
    local other = submit(exec { shell = "sleep 1" })
    go(function() wait({ other }, timer and { timeout = 60 } or {}) end) -- a timer that is never due
    local log = {}
    fn(log)
    other:cancel()
    await(other)
    found[#found + 1] = table.concat(log, " ")
  end
  assert(found[1] == found[2], found[1] .. " without a timer, " .. found[2] .. " with one")
  return found[1]
end

assert(orders(function(log)
  local y = submit(exec { shell = "sleep 0.1" })
  local b = go(function()
    await(y)
    log[#log + 1] = "B"
  end)
  for _ in as_completed { y } do
    log[#log + 1] = "main"
  end
  await(b)
end) == "B main")
assert(orders(function(log)
  local y = submit(exec { shell = "sleep 0.1" })
  local b = go(function()
    wait { y }
    log[#log + 1] = "B"
  end)
  wait { y }
  log[#log + 1] = "main"
  await(b)
end) == "B main")
assert(orders(function(log)
  local y = submit(exec { shell = "sleep 0.1" })
  local b
  go(function()
    b = go(function()
      await(y)
      log[#log + 1] = "C"
    end)
    await(y)
    log[#log + 1] = "B"
  end)
  await(y)
  log[#log + 1] = "main"
  await(b)
end) == "C B main")
