--! exit 7
--! prints closed
-- The end of the script ends a search and what is under way in it, and says nothing of its own.
local search = require("harness").search
search.run {
  space = { x = { 1, 2, 3, 4 } },
  strategy = "grid",
  budget = 4,
  in_flight = 2,
  evaluate = function(p)
    local _ <close> = setmetatable({}, { __close = function() print "closed" end })
    if p.x == 2 then os.exit(7) end
    return submit(exec { cmd = { "sleep", "60" } })
  end,
}
