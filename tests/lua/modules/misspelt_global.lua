--! exit 1
--! says harness: misspelt_global.lua:14: attempt to call a nil value (global 'sumbit') (did you mean 'submit'?)
-- In tasks and in the script; what is near none is told as Lua tells it.
local function said(fn)
  local ok, problem = pcall(await, submit(fn))
  assert(not ok)
  return problem.message
end
assert(string.find(said(function() return tostrng(1) end), "(global 'tostrng') (did you mean 'tostring'?)", 1, true))
for _, fn in ipairs { function() return insert {} end, function() return max(1, 2) end, function() return matches "x" end } do
  local message = said(fn)
  assert(string.find(message, "a nil value %(global '%a+'%)$"), message)
end
sumbit(function() end)
