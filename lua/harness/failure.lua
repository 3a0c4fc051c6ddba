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
  return source:sub(1, 10) == "@[harness]"
end

--- The first line of the campaign on a stack, as "campaign.lua:12". Without a thread: the current stack.
function M.where(thread)
  local level = thread and 0 or 2
  while true do
    local info
    if thread then info = getinfo(thread, level, "Sl") else info = getinfo(level, "Sl") end
    if not info then return nil end
    if info.currentline > 0 and not is_ours(info.source) then
      return ("%s:%d"):format(info.short_src, info.currentline)
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
  return ("'%s'"):format(text:gsub(unseen, function(c) return ("\\x%02x"):format(c:byte()) end))
end

--- "unknown option 'warmpu' (did you mean 'warmup'?)"
function M.unknown(what, word, known)
  local near = host.closest(tostring(word), known)
  return ("unknown %s %s%s"):format(what, M.quoted(tostring(word)), near and (" (did you mean '%s'?)"):format(near) or "")
end

--- The traceback of a coroutine that died, without the frames of this library and of C.
function M.traceback(thread)
  local lines = {}
  for line in debug.traceback(thread):gmatch("[^\n]+") do
    local ours = line:find("^%s*%[harness%]/") or line:find("^%s*%[C%]: ") or line:find("^%s*%(%.%.%.tail") or line == "stack traceback:"
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
  return ("(error object is a %s value)"):format(type(value))
end

return M
