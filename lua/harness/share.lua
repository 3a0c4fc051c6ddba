-- `harness.share`: a value that is sent to each node once instead of with every call. In a call its handle is the
-- value itself.
local host, lib = ...
local failure = lib.failure

local setmetatable, tostring, type = setmetatable, tostring, type
local format, sub = string.format, string.sub

local M = {}

-- The handle knows the hash by which the value travels. `token` lets the root know when nobody has the handle.
local Shared = { __name = "shared value" }
M.Shared = Shared

function Shared.__index(_, key)
  failure.raise(format("a shared value is itself in calls only; here it is a handle without a field '%s'", tostring(key)))
end

function Shared.__newindex() failure.raise "a shared value cannot be changed: share another one" end

function Shared.__tostring(shared) return format("shared value %s (%.1f MiB)", sub(shared.hash, 1, 8), shared.bytes / (1 << 20)) end

--- Packs a value; it is sent to each node that needs it, once.
function M.share(value)
  if value == nil or type(value) == "boolean" or type(value) == "number" then
    failure.raise(format("share: a %s is sent with the call at no cost; share what is big", type(value)))
  end
  local hash, bytes, token = host.share(value)
  if not hash then failure.raise("share: " .. bytes) end
  return setmetatable({ hash = hash, bytes = bytes, token = token }, Shared)
end

return M
