--! exit 1
--! says harness: in a flow that nobody awaited: forgotten_flow.lua:7: it broke
--! says stack traceback:
--! says 	forgotten_flow.lua:7: in upvalue 'inner'
--! says 	forgotten_flow.lua:11: in function <forgotten_flow.lua:10>
local function inner(x)
  if x then error("it broke") end
  return x
end
go(function()
  local r = inner(await(submit(function() return true end)))
  return r
end)
