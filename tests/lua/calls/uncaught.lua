-- An error of a call that nobody caught has two tracebacks: each says whose it is.
--! exit 1
--! says stack traceback in the script:
--! says 	uncaught.lua:7: in main chunk
local e = select(2, pcall(await, submit(function() local t = nil; return t.x end)))
assert(tostring(e):find("\nstack traceback on the worker, " .. e.host .. ":\n\tuncaught.lua:5: in ", 1, true), tostring(e))
await(submit(function() local t = nil; return t.x end))
