-- Values of the parameters of a sweep: lists of numbers, and which are the same.
local _, lib = ...
local failure = lib.failure

local M = {}

-- Of more points than these a sample is drawn before they are filtered; more values are a mistake.
M.MANY = 1000000

--- What is wrong with what `sweep.WHO` was given.
function M.complain(who, ...) failure.raise("sweep." .. who .. ": " .. string.format(...)) end
local complain = M.complain

--- Are they the same, tables item by item?
function M.equal(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in next, a do
    if not M.equal(value, b[key]) then return false end
  end
  for key in next, b do
    if a[key] == nil then return false end
  end
  return true
end

--- The value for a point that is handed out: a table is the point's own, to add to.
function M.fresh(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, inner in next, value do
    copy[key] = M.fresh(inner)
  end
  return copy
end

-- Equal values have equal texts, and others have others.
local function text_of(value)
  if type(value) == "number" then return string.format("%q", math.tointeger(value) or value) end
  if type(value) == "string" then return string.format("%q", value) end
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for i, key in ipairs(failure.sorted_keys(value)) do
    parts[i] = text_of(key) .. "=" .. text_of(rawget(value, key))
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- Tells of a value at which place it is among these, the first one; nil if it is none of them. Many are asked for among many.
function M.among(list)
  local places, of_tables = {}, {}
  for i = #list, 1, -1 do
    local value = list[i]
    if type(value) == "table" then
      of_tables[text_of(value)] = i
    elseif value == value then
      places[value] = i
    end
  end
  return function(wanted)
    if type(wanted) ~= "table" then return places[wanted] end
    return of_tables[text_of(wanted)]
  end
end

local function finite(who, what, value)
  if type(value) == "number" and value == value and math.abs(value) < math.huge then return value end
  complain(who, "%s: expected a finite number, got %s", what, failure.a(value))
end

-- How many decimals a number has as people write it; none if it is no short decimal (1/3), or more than can be printed.
local function decimals(value)
  local text = string.format("%.15g", value)
  local places, exponent = string.match(text, "^-?%d+%.?(%d*)e?([-+]?%d*)$")
  if tonumber(text) ~= value or not places then return nil end
  local n = math.max(#places - (math.tointeger(exponent) or 0), 0)
  return n < 100 and n or nil
end

--- The numbers from `low` to `high`, `step` (1) apart: values of a parameter. Of decimals they are those that one would write: 0.3 and
--- not 0.1 + 0.1 + 0.1.
function M.range(low, high, step)
  low, high, step = finite("range", "low", low), finite("range", "high", high), finite("range", "step", step or 1)
  if step == 0 then complain("range", "the step is 0") end
  local n = math.floor((high * 1.0 - low) / step + 1e-9) + 1
  if n < 1 then complain("range", "there is nothing from %s to %s by %s", low, high, step) end
  if n > M.MANY then complain("range", "%.3g values are too many for one parameter", n) end
  local list = {}
  local places_low, places_step = decimals(low), decimals(step)
  local format = places_low and places_step and string.format("%%.%df", math.max(places_low, places_step))
  for i = 1, n do
    local value = low + (i - 1) * step
    list[i] = math.type(value) == "float" and format and tonumber(string.format(format, value)) + 0.0 or value
  end
  return list
end

--- The powers of two from `low` to `high`: values of a parameter.
function M.pow2(low, high)
  low, high = finite("pow2", "low", low), finite("pow2", "high", high)
  local list, power = {}, 1
  while power <= high and power < 1 << 62 do
    if power >= low then list[#list + 1] = power end
    power = power * 2
  end
  if #list == 0 then complain("pow2", "there is no power of two from %s to %s", low, high) end
  return list
end

return M
