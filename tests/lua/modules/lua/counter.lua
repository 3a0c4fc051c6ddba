-- Loaded once in each state.
local M = { loaded = 0 }
function M.next()
  M.loaded = M.loaded + 1
  return M.loaded
end
return M
