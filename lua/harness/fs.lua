-- `harness.fs`, on the root and in slots: whole files and folders. What the system refuses is nil and why; a path
-- that is none is the author's mistake.
local host, lib = ...
local failure = lib.failure

local M = {}

local function checked(name, values)
  local primitive = host.fs[name]
  return function(...)
    for i = 1, values do
      local value = select(i, ...)
      if type(value) ~= "string" then
        failure.raise(string.format("fs.%s: expected %s, got %s", name, i == 1 and "a path" or "the text to write", failure.a(value)))
      end
    end
    return primitive(...)
  end
end

for name, values in pairs { read = 1, write = 2, exists = 1, mkdir = 1, list = 1, tempdir = 0 } do
  M[name] = checked(name, values)
end

package.loaded["harness.fs"] = M
return M
