--! exit 3
-- os.exit ends at once (pcall does not stop it) and closes what is open, in every flow and coroutine.
local closed = {}
local function closer(name)
  return setmetatable({}, { __close = function() closed[#closed + 1] = name end })
end
local main <close> = setmetatable({}, { __close = function()
  local order = table.concat(closed, " ")
  if order ~= "flow coroutine" then
    io.stderr:write("closed: ", order, "\n")
    os.exit(9)
  end
end })
go(function()
  local _ <close> = closer "flow"
  await(submit(exec { cmd = { "sleep", "60" } }))
end)
coroutine.wrap(function()
  local _ <close> = closer "coroutine"
  pcall(os.exit, 3)
end)()
error("not reached")
