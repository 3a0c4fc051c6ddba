-- `harness.json`, on the root and in slots: strictly what JSON can say, over what Rust reads and writes.
local host, lib = ...
local failure = lib.failure

local M = {}

-- Classes of the module: what is of one is the same in tasks.
local Null, List = { __name = "json.null" }, { __name = "json.list", __plain = true }
List.__index = List -- else it would be data, which is copied to tasks
M.Null, M.List = Null, List
function Null.__tostring() return "null" end
function Null.__eq(a, b) return getmetatable(a) == getmetatable(b) end

--- JSON's null, where a nil would lose the field.
M.null = setmetatable({}, Null)

--- Marks a list, so that it is one for JSON even when it is empty; gives it back.
function M.list(list)
  if type(list) ~= "table" or getmetatable(list) ~= List and not failure.is_bare(list) then
    failure.raise("json.list: expected a plain list, got " .. failure.a(list))
  end
  return setmetatable(list, List)
end

--- The value as JSON in one line, names in alphabetical order; indented if `indent`.
function M.encode(value, indent)
  local text, why = host.json_encode(value, Null, List, indent == true)
  if not text then failure.raise("json.encode: " .. why) end
  return text
end

--- The value of a JSON text, or nil and what is wrong with it. An empty array is a `json.list`: written again it is one.
function M.decode(text)
  if type(text) ~= "string" then failure.raise("json.decode: expected a string, got " .. failure.a(text)) end
  return host.json_decode(text, M.null, List)
end

package.loaded["harness.json"] = M
return M
