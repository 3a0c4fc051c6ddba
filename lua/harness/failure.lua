-- Errors the author sees: `harness.Error`, messages at the author's line, tracebacks without our frames.
local host = ...

local M = {}

-- Pure Lua, so that an error can travel to a worker as a value.
local Error = { __name = "harness.Error" }
Error.__index = Error
function Error.__tostring(e)
  local text = e.message
  if e.traceback and e.traceback ~= "" then text = text .. "\n" .. e.traceback end
  return text
end
M.Error = Error

-- What exec, compile and measure end in.
M.Record = {
  __name = "harness.record",
  __tostring = function(record) return record.summary end,
}

local getinfo = debug.getinfo

local function is_ours(source)
  return string.sub(source, 1, 10) == "@[harness]"
end

--- The first line of the campaign on a stack, as "campaign.lua:12". Without a thread: the current stack.
function M.where(thread)
  local level = thread and 0 or 2
  while true do
    local info
    if thread then info = getinfo(thread, level, "Sl") else info = getinfo(level, "Sl") end
    if not info then return nil end
    if info.currentline > 0 and not is_ours(info.source) then
      return string.format("%s:%d", info.short_src, info.currentline)
    end
    level = level + 1
  end
end

--- Raises `message` at the author's line, however deep in the library it was found.
function M.raise(message)
  local where = M.where()
  error(where and where .. ": " .. message or message, 0)
end

--- Text of the author's as a message shows it: what is not text, and what would not be seen, as escapes.
function M.quoted(text)
  local unseen = utf8.len(text) and "[%c]" or "[^\x20-\x7e]"
  return string.format("'%s'", string.gsub(text, unseen, function(c) return string.format("\\x%02x", string.byte(c)) end))
end

--- "unknown option 'warmpu' (did you mean 'warmup'?)"
function M.unknown(what, word, known)
  local near = host.closest(tostring(word), known)
  return string.format("unknown %s %s%s", what, M.quoted(tostring(word)), near and string.format(" (did you mean '%s'?)", near) or "")
end

--- The traceback of a coroutine that died, without the frames of this library and of C.
function M.traceback(thread)
  local lines = {}
  for line in string.gmatch(debug.traceback(thread), "[^\n]+") do
    local ours = string.find(line, "^%s*%[harness%]/") or string.find(line, "^%s*%[C%]: ") or string.find(line, "^%s*%(%.%.%.tail") or line == "stack traceback:"
    if not ours then lines[#lines + 1] = line end
  end
  return #lines > 0 and "stack traceback:\n" .. table.concat(lines, "\n") or ""
end

--- What people are shown of an error value.
function M.describe(value)
  if type(value) == "string" or type(value) == "number" then return tostring(value) end
  local meta = getmetatable(value)
  if type(value) == "userdata" or type(meta) == "table" and meta.__tostring then
    local ok, text = pcall(tostring, value)
    if ok then return text end
  end
  return string.format("(error object is a %s value)", type(value))
end

return M
