-- `harness.random`: random numbers by name. Each name has a sequence of its own, given by the campaign's seed: a draw
-- more in one place of a script changes nothing elsewhere, as it would with `math.random`.
local host, lib = ...
local failure = lib.failure

local M = {}

local Random = { __name = "random" }
Random.__index = Random
M.Random = Random

local tointeger, ult = math.tointeger, math.ult

-- SplitMix64: one integer of state, passes BigCrush.
local function draw(self)
  ---@type integer
  local z = self.state + 0x9E3779B97F4A7C15
  self.state = z
  z = (z ~ z >> 30) * 0xBF58476D1CE4E5B9
  z = (z ~ z >> 27) * 0x94D049BB133111EB
  return z ~ z >> 31
end

local function absorb(hash, byte) return (hash ~ byte) * 0x100000001B3 end

-- FNV-1a of the name, begun with the seed.
local function seed_of(name)
  local hash = 0xCBF29CE484222325 ~ host.campaign.seed
  for i = 1, #name do
    hash = absorb(hash, string.byte(name, i))
  end
  return hash
end

--- A text of fixed length for each text; of another campaign seed another one.
function M.hash(text) return string.format("%016x", seed_of(text)) end

local function number(who, value, otherwise)
  if value == nil then return otherwise end
  if type(value) ~= "number" or value ~= value or value == math.huge or value == -math.huge then
    failure.raise(string.format("random:%s: expected a finite number, got %s", who, failure.a(value)))
  end
  return value
end

--- A float from `low` (0) up to but not including `high` (1).
function Random:float(low, high)
  failure.own(self, Random, "float")
  if low == nil and high == nil then return (draw(self) >> 11) * 0x1p-53 end
  low, high = number("float", low, 0.0), number("float", high, 1.0)
  if high < low then failure.raise(string.format("random:float: expected the lower number first, got %s and %s", low, high)) end
  return low + (high - low) * ((draw(self) >> 11) * 0x1p-53)
end

--- A whole number from `low` to `high`, each as likely as any other.
function Random:integer(low, high)
  failure.own(self, Random, "integer")
  local first, last = tointeger(low), tointeger(high)
  if not first or not last or last < first then
    failure.raise(
      string.format("random:integer: expected two whole numbers, the lower one first, got %s and %s", failure.a(low), failure.a(high))
    )
  end
  local span = last - first -- as an unsigned number
  local mask = span | span >> 1 -- all ones, as wide as the span
  mask = mask | mask >> 2
  mask = mask | mask >> 4
  mask = mask | mask >> 8
  mask = mask | mask >> 16
  mask = mask | mask >> 32
  local got
  repeat
    got = draw(self) & mask
  until not ult(span, got)
  return first + got
end

--- A float of the normal distribution.
function Random:normal(mean, sd)
  failure.own(self, Random, "normal")
  mean, sd = number("normal", mean, 0.0), number("normal", sd, 1.0)
  if sd < 0 then failure.raise(string.format("random:normal: expected a standard deviation from 0, got %s", sd)) end
  local radius = math.sqrt(-2.0 * math.log(1.0 - self:float()))
  return mean + sd * radius * math.cos(2.0 * math.pi * self:float())
end

local function list_of(who, list)
  if type(list) ~= "table" or #list == 0 then
    failure.raise(string.format("random:%s: expected a list that is not empty, got %s", who, failure.a(list)))
  end
end

local function gap(who, at) failure.raise(string.format("random:%s: expected a list without gaps, and [%d] is missing", who, at)) end

--- One item of a list.
function Random:pick(list)
  failure.own(self, Random, "pick")
  list_of("pick", list)
  local at = self:integer(1, #list)
  if list[at] == nil then gap("pick", at) end
  return list[at]
end

--- A copy of a list in random order.
function Random:shuffle(list)
  failure.own(self, Random, "shuffle")
  list_of("shuffle", list)
  local copy = table.move(list, 1, #list, 1, {})
  for i = #copy, 2, -1 do
    if copy[i] == nil then gap("shuffle", i) end
    local j = self:integer(1, i)
    copy[i], copy[j] = copy[j], copy[i]
  end
  return copy
end

local by_name = {}

--- The random numbers of this name: the same ones in every run with the same seed.
function M.random(name)
  if name == nil then name = "" end
  if type(name) ~= "string" then failure.raise("random: expected a name, got " .. failure.a(name)) end
  by_name[name] = by_name[name] or setmetatable({ state = seed_of(name) }, Random)
  return by_name[name]
end

return M
