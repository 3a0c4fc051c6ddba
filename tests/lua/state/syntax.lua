--! exit 1
--! says harness: syntax.lua:3: <name> expected near '='
local = 5
