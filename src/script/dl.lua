-- `harness.dl`, in slots: typed calls into shared libraries, and memory to lend them.
--
-- Says what is wrong with what was given, at the author's line; what is right goes through the primitives of Rust.
local host, lib = ...
local failure, primitive = lib.failure, host.library

local getmetatable, next, rawget, select = getmetatable, next, rawget, select
local setmetatable, type = setmetatable, type
local ceil, huge, max, min, tointeger = math.ceil, math.huge, math.max, math.min, math.tointeger
local format, unpack = string.format, table.unpack

local M = { null = primitive.null }

local Buffer = { __name = "dl.buffer" }
local Function = { __name = "dl.function" }
Function.__index = Function
local Library = { __name = "dl.library" }
Library.__index = Library

-- The number of an element, from 0.
local function place(self, at)
  local i = type(at) == "number" and tointeger(at)
  if i and i >= 1 and i <= rawget(self, "length") then return i - 1 end
  failure.raise(format("%s has elements 1 to %d, not %s", Buffer.__tostring(self), rawget(self, "length"), failure.a(at)))
end

function Buffer.__index(self, key)
  if type(key) ~= "number" and Buffer[key] ~= nil then return Buffer[key] end
  return primitive.get(rawget(self, "memory"), place(self, key))
end

function Buffer.__newindex(self, key, value)
  local at = place(self, key)
  local ok, why = primitive.set(rawget(self, "memory"), at, value)
  if not ok then failure.raise(format("%s: element %d: %s, got %s", Buffer.__tostring(self), at + 1, why, failure.a(value))) end
end

function Buffer.__len(self) return rawget(self, "length") end

function Buffer.__tostring(self) return format("dl.buffer(%s, %d)", failure.quoted(rawget(self, "type")), rawget(self, "length")) end

--- Sets all elements.
function Buffer.fill(self, value)
  failure.own(self, Buffer, "fill")
  local ok, why = primitive.fill(rawget(self, "memory"), value)
  if not ok then failure.raise(format("%s: fill: %s, got %s", Buffer.__tostring(self), why, failure.a(value))) end
end

--- A table of all elements, which can travel.
function Buffer.table(self)
  failure.own(self, Buffer, "table")
  return primitive.all(rawget(self, "memory"))
end

--- The text in a buffer of char, up to its first zero byte.
function Buffer.text(self)
  failure.own(self, Buffer, "text")
  local text, why = primitive.text(rawget(self, "memory"))
  if not text then failure.raise(format("%s: text: %s", Buffer.__tostring(self), why)) end
  return text
end

--- Memory for `what` numbers of a type (all zero), or for those of a list.
function M.buffer(of, what)
  local length = type(what) == "number" and tointeger(what) or type(what) == "table" and not failure.is_object(what) and #what
  if type(of) ~= "string" then
    failure.raise('dl.buffer: expected a type first, such as dl.buffer("double", 100), got ' .. failure.a(of))
  end
  if not length or length < 1 then failure.raise("dl.buffer: expected a length from 1 or a list of numbers, got " .. failure.a(what)) end
  local memory, why = primitive.memory(of, length)
  if not memory then failure.raise("dl.buffer: " .. why) end
  local self = setmetatable({ memory = memory, type = of, length = length }, Buffer)
  if type(what) == "table" then
    for i = 1, length do
      self[i] = what[i]
    end
  end
  return self
end

--- Loads a shared library: a path, the name of one the system finds, or a build, which is its path here.
function M.open(path)
  if type(path) ~= "string" or path == "" then failure.raise("dl.open: expected the path of a shared library, got " .. failure.a(path)) end
  local opened, why = primitive.open(path)
  if not opened then failure.raise(format("dl.open: cannot load %s: %s", failure.quoted(path), why)) end
  return setmetatable({ opened = opened, path = path }, Library)
end

--- A function of it, by its declaration in C.
function Library:fn(declaration)
  failure.own(self, Library, "fn")
  if type(declaration) ~= "string" then
    failure.raise('dl: fn: expected a declaration, such as "double dot(int n, const double *x)", got ' .. failure.a(declaration))
  end
  local bound, why = primitive.bind(self.opened, declaration)
  if not bound then failure.raise("dl: fn: " .. why) end
  return setmetatable({ bound = bound, declaration = declaration }, Function)
end

function Library:__tostring() return "dl.library " .. self.path end

function Function:__tostring() return "dl.function " .. self.declaration end

-- Arguments as the primitives take them.
local function lent(...)
  local count, given = select("#", ...), { ... }
  for i = 1, count do
    if getmetatable(given[i]) == Buffer then given[i] = rawget(given[i], "memory") end
  end
  return unpack(given, 1, count)
end

function Function:__call(...)
  local ok, result = primitive.call(self.bound, lent(...))
  if not ok then failure.raise("dl: " .. result) end
  return result
end

-- Seconds of so many calls.
local function run(self, calls, nothing, ...)
  local seconds, why = primitive.run(self.bound, calls, nothing, ...)
  if not seconds then failure.raise("dl: " .. why) end
  return seconds
end

local MOST_CALLS = 2 ^ 40

-- How many calls take `min_time`, by trying.
local function calibrated(self, min_time, nothing, ...)
  local calls = 1
  while true do
    local seconds = run(self, calls, nothing, ...)
    if seconds >= min_time or calls >= MOST_CALLS then return calls, seconds end
    local wanted = seconds > 0 and ceil(calls * min_time / seconds * 1.1) or calls * 10
    calls = max(calls + 1, min(calls * 10, wanted))
  end
end

--- Times it: `f:time { arguments ..., min_time = "10 ms", samples = 15 }`. Each sample is a loop of so many calls that
--- it takes `min_time`; loops and clock are native.
function Function:time(given)
  failure.own(self, Function, "time")
  local o = host.options().check("time", given, true)
  local min_time, samples = o.min_time or 0.01, o.samples or 15
  -- Positions only: what is given has names too, and maybe a nil.
  ---@type any
  local count = 0
  for key in next, given do
    if type(key) == "number" then count = max(count, key) end
  end
  local args = { lent(unpack(given, 1, count)) }
  local function timed(calls, nothing) return run(self, calls, nothing, unpack(args, 1, count)) end
  timed(1, false) -- what happens at a first call only
  local calls = calibrated(self, min_time, false, unpack(args, 1, count))
  local samples_s, sum, least = {}, 0, huge
  for i = 1, samples do
    samples_s[i] = timed(calls, false) / calls
    sum, least = sum + samples_s[i], min(least, samples_s[i])
  end
  local empty, empty_s = calibrated(self, min(min_time, 0.001), true, unpack(args, 1, count))
  return failure.strict({
    mean_s = sum / samples,
    min_s = least,
    samples_s = samples_s,
    calls = calls,
    floor_s = empty_s / empty,
  }, "timed calls")
end

package.loaded["harness.dl"] = M
return M
