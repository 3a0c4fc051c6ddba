-- Requires itself, but only once it is called: no cycle.
local M = {}
function M.again() return require "late_cycle" == M end
return M
