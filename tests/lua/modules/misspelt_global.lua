--! exit 1
--! says harness: misspelt_global.lua:7: attempt to call a nil value (global 'sumbit') (did you mean 'submit'?)
-- As it is written in the script; a name that is near none is told as Lua tells it.
assert(not pcall(function() return nothing_of_this_name.field end))
local ok, problem = pcall(await, submit(function() return tostrng(1) end))
assert(not ok and string.find(problem.message, "(global 'tostrng') (did you mean 'tostring'?)", 1, true), problem.message)
sumbit(function() end)
