-- A task may spoil the Lua of its slot: errors are still told as they were raised, and the slot goes on.
spawn { workers = 1, slots = 1 }
local function caught(fn)
  local ok, e = pcall(await, submit(fn))
  assert(not ok, "it raised nothing")
  return e.message
end
local function still_tells()
  local message = caught(function() error("the original") end)
  assert(message:find("spoiled.lua:%d+: the original"), message)
  message = caught(function() error({ code = 5 }) end)
  assert(message:find("code = 5", 1, true), message)
  assert(await(submit(function() return 7 end)) == 7)
end
local message = caught(function()
  getmetatable("").__index = nil
  return ("x"):upper()
end)
assert(message:find("spoiled.lua:%d+: attempt to index a string value"), message)
still_tells()
message = caught(function()
  for _, library in ipairs { string, table, utf8, math } do
    for name in next, library do library[name] = nil end
  end
  local nothing
  return nothing.field
end)
assert(message:find("spoiled.lua:%d+: attempt to index a nil value"), message)
still_tells()
message = caught(function()
  for name in next, package.loaded do package.loaded[name] = nil end
  for name in next, debug do debug[name] = nil end
  error("emptied")
end)
assert(message:find("spoiled.lua:%d+: emptied"), message)
still_tells()
message = caught(function()
  local globals = _G
  for name in next, globals do
    if name ~= "error" then globals[name] = nil end
  end
  error("no globals")
end)
assert(message:find("spoiled.lua:%d+: no globals"), message)
still_tells()
