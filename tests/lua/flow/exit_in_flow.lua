--! exit 7
--! says harness: in a flow that nobody awaited: exit_in_flow.lua:5: said before the end
--! prints closed
local _ <close> = setmetatable({}, { __close = function() print "closed" end })
go(function() error "said before the end" end)
go(function() os.exit(7) end)
error "the script goes on after os.exit"
