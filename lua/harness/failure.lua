-- Errors the author sees: `harness.Error`, messages at the author's line, tracebacks without our frames.
local host = ...

local M = {}

-- Pure Lua, so that an error can travel to a worker as a value.
local Error = { __name = "harness.Error" }
Error.__index = Error
function Error.__tostring(e)
  local text = e.message
  if e.traceback and e.traceback ~= "" then
    text = text .. "\n" .. M.of_place(e.traceback, e.host and "on the worker, " .. e.host or "on the worker")
  end
  return text
end
M.Error = Error

--- A traceback that says whose it is.
function M.of_place(traceback, place)
  return (string.gsub(traceback, "^stack traceback:", function()
    return "stack traceback " .. place .. ":"
  end))
end

-- What exec, compile and measure end in.
M.Record = {
  __name = "record",
  __tostring = function(record) return record.summary end,
  __newindex = function(_, key)
    M.raise(string.format("records are read-only, '%s' cannot be set: keep your own figures in a table of your own", tostring(key)))
  end,
}

local getinfo = debug.getinfo

local function is_ours(source) return string.sub(source, 1, 10) == "@[harness]" end

--- The first line of the campaign on a stack, as "campaign.lua:12". Without a thread: the current stack.
function M.where(thread)
  local level = thread and 0 or 2
  while true do
    local info
    if thread then
      info = getinfo(thread, level, "Sl")
    else
      info = getinfo(level, "Sl")
    end
    if not info then return nil end
    if info.currentline > 0 and not is_ours(info.source) then return string.format("%s:%d", info.short_src, info.currentline) end
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

--- What was given instead of what was expected: short values as they are, of others the type.
function M.a(value)
  if type(value) == "string" then return M.quoted(value) end
  if value == nil or type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  local meta = type(value) == "table" and getmetatable(value)
  if not meta then return "a " .. type(value) end
  if meta.__name == "future" then return "the future of " .. (value.kind == "exec" and "an exec" or "a " .. value.kind) end
  return "a " .. (type(meta) == "table" and meta.__name or "table with a metatable")
end

--- "unknown option 'warmpu' (did you mean 'warmup'?)"; a `hint` is said instead of a guess.
function M.unknown(what, word, known, hint)
  local near = not hint and host.closest(tostring(word), known)
  if near then hint = string.format(" (did you mean '%s'?)", near) end
  return string.format("unknown %s %s%s", what, M.quoted(tostring(word)), hint or "")
end

--- The traceback of a coroutine that died, without the frames of this library and of C.
function M.traceback(thread)
  local lines = {}
  for line in string.gmatch(debug.traceback(thread), "[^\n]+") do
    local ours = string.find(line, "^%s*%[harness%]/")
      or string.find(line, "^%s*%[C%]: ")
      or string.find(line, "^%s*%(%.%.%.tail")
      or line == "stack traceback:"
    if not ours then lines[#lines + 1] = line end
  end
  return #lines > 0 and "stack traceback:\n" .. table.concat(lines, "\n") or ""
end

-- Keys in an order that is the same in every run.
function M.sorted_keys(given)
  local keys = {}
  for key in next, given do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
    return type(a) < type(b)
  end)
  return keys
end

local LONGEST = 200 -- of a table in one line, in bytes

--- A value in one line: `{ 1, 2, size = 3, inner = { ... } }`; what is long or deep is left out.
function M.compact(value, depth)
  if type(value) == "string" then return #value <= LONGEST and M.quoted(value) or M.quoted(string.sub(value, 1, LONGEST)) .. "..." end
  if type(value) ~= "table" then return tostring(value) end
  if (depth or 0) >= 3 then return "{ ... }" end
  local parts, length, n = {}, 0, #value
  for _, key in ipairs(M.sorted_keys(value)) do
    if length > LONGEST then
      parts[#parts + 1] = "..."
      break
    end
    local part = M.compact(rawget(value, key), (depth or 0) + 1)
    if math.type(key) ~= "integer" or key < 1 or key > n then
      local is_name = type(key) == "string" and string.find(key, "^[%a_][%w_]*$")
      part = string.format(is_name and "%s = %s" or "[%s] = %s", is_name and key or M.compact(key, 3), part)
    end
    parts[#parts + 1], length = part, length + #part + 2
  end
  return #parts > 0 and "{ " .. table.concat(parts, ", ") .. " }" or "{}"
end

--- What people are shown of an error value.
function M.describe(value)
  if type(value) == "string" or type(value) == "number" then return tostring(value) end
  if value == nil then return "an error without a value (error() or error(nil))" end
  local meta = getmetatable(value)
  if type(value) == "userdata" or type(meta) == "table" and meta.__tostring then
    local ok, text = pcall(tostring, value)
    if ok then return text end
  end
  if type(value) ~= "table" then return "error value " .. tostring(value) end
  local message, kind = rawget(value, "message"), rawget(value, "kind")
  if type(message) ~= "string" then return "error value " .. M.compact(value) end
  return type(kind) == "string" and kind .. ": " .. message or message
end

return M
