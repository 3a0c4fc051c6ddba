--! exit 1
--! says harness: raises.lua:6: no luck with 3
--! says stack traceback:
--! says 	raises.lua:6: in upvalue 'inner'
local function inner(n)
  error("no luck with " .. n)
end
local function outer(n) inner(n + 1) return n end
local ok = pcall(outer, 1)
outer(2)
