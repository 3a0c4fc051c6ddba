--! ends error
--! says syntax.lua:3: <name> expected near '='
local = 5
