-- What the script prints, and whether it was written: a campaign whose output is lost did not end well.
local M = {}

-- "Broken pipe" (Linux).
local EPIPE = 32
local stdout = io.stdout
local unprinted -- why the first line that was lost was

-- Lua's own tells nobody what could not be written.
function _G.print(...)
  local words = table.pack(...)
  for i = 1, words.n do
    words[i] = tostring(words[i])
  end
  if io.type(stdout) ~= "file" then return end
  local ok, why, code = stdout:write(table.concat(words, "\t", 1, words.n), "\n")
  if ok then
    ok, why, code = stdout:flush()
  end
  if not ok then unprinted = unprinted or { why = why, code = code } end
end

--- What the script printed is in a buffer of C's: nil, or why it cannot be written. Who closed the pipe knows.
function M.unwritten()
  if io.type(stdout) ~= "file" then return nil end
  local ok, why, code = stdout:flush()
  if unprinted then
    why, code = unprinted.why, unprinted.code
  elseif ok then
    return nil
  end
  if code == EPIPE then return nil end
  return string.format("what the script printed is not all written: standard output: %s", why)
end

return M
