-- `harness.budget`: how much a search may still spend. It counts ends of tasks as the script sees them, those the
-- journal answers too and in the same order: so a second run stops where the first one did, and not before.
local host, lib = ...
local failure, options = lib.failure, lib.options

local Budget = { __name = "budget" }
Budget.__index = Budget

local KEYS = { "trials", "measurements", "seconds", "node_hours" }

local function total()
  local trials, measurements, seconds, node_seconds = host.spent()
  return { trials = trials, measurements = measurements, seconds = seconds, node_hours = node_seconds / 3600 }
end

--- What was spent since the budget was made, each figure of KEYS.
function Budget:spent()
  failure.own(self, Budget, "spent")
  local now, spent = total(), {}
  for _, key in ipairs(KEYS) do
    spent[key] = now[key] - self.start[key]
  end
  return spent
end

--- What is left of each limit; never below zero.
function Budget:left()
  failure.own(self, Budget, "left")
  local spent, left = self:spent(), {}
  for key, limit in pairs(self.limits) do
    left[key] = math.max(limit - spent[key], 0)
  end
  return left
end

--- Is one of the limits reached?
function Budget:done()
  failure.own(self, Budget, "done")
  for _, left in pairs(self:left()) do
    if left <= 0 then return true end
  end
  return false
end

function Budget:__tostring()
  local spent, parts = self:spent(), {}
  for _, key in ipairs(KEYS) do
    local limit = self.limits[key]
    if limit then parts[#parts + 1] = string.format("%.6g of %.6g %s", spent[key], limit, (string.gsub(key, "_", " "))) end
  end
  return "budget: " .. table.concat(parts, ", ")
end

--- A budget of trials, measurements, seconds or node hours: the first of them that is spent ends it.
local function budget(given)
  local limits = options.check("budget", given)
  if next(limits) == nil then failure.raise("budget: give at least one of '" .. table.concat(KEYS, "', '") .. "'") end
  return setmetatable({ limits = limits, start = total() }, Budget)
end

return { budget = budget, Budget = Budget }
