-- `harness.sweep`: lists of points, each a plain table of parameters, in an order that follows from what was given
-- alone: it is the same in every run, so a second run finds its records.
local _, lib = ...
local failure, types = lib.failure, lib.types

local M = {}

-- A list of points: an ordinary list with two methods more.
local Sweep = { __name = "sweep", __plain = true }
Sweep.__index = Sweep
M.Sweep = Sweep

local function same(list) return list end
-- To a worker it travels as the plain list it is.
function Sweep.__ship(self) return same, table.move(self, 1, #self, 1, {}) end

local function complain(who, ...) failure.raise("sweep." .. who .. ": " .. string.format(...)) end

local function is_point(value)
  if type(value) ~= "table" or getmetatable(value) then return false end
  for name in next, value do
    if type(name) ~= "string" then return false end
  end
  return next(value) ~= nil
end

-- The points of a list that somebody gave.
local function points(who, what, list)
  if type(list) ~= "table" or getmetatable(list) and getmetatable(list) ~= Sweep or #list == 0 and next(list) ~= nil then
    complain(who, "%s: expected a list of points, got %s", what, failure.a(list))
  end
  for i, point in ipairs(list) do
    if not is_point(point) then complain(who, "%s: expected points such as { tile = 8 }, got %s as item %d", what, failure.a(point), i) end
  end
  return list
end

-- The values of one parameter, as points that have no other.
local function values(who, name, list)
  if type(list) ~= "table" or failure.is_object(list) or #list == 0 then
    complain(who, "'%s': expected a list of values, got %s", name, type(list) == "table" and "a table without items" or failure.a(list))
  end
  local good, problem = types.plain(list)
  if not good then
    if type(problem) == "string" then problem = { path = "", value = list, expected = problem } end
    local note = problem.note or string.format("expected %s, got %s", problem.expected, failure.a(problem.value))
    complain(who, "'%s%s': %s", name, problem.path, note)
  end
  local column = {}
  for i, value in ipairs(good) do
    column[i] = { [name] = value }
  end
  return column
end

-- What varies: sweeps in their order, then parameters by name. A list of lists of points.
local function columns(who, given)
  if type(given) ~= "table" or getmetatable(given) or next(given) == nil then
    complain(who, "expected lists by name, such as { tile = { 8, 16 } }, got %s", failure.a(given))
  end
  local all, owner = {}, {}
  for _, key in ipairs(failure.sorted_keys(given)) do
    local what = type(key) == "string" and string.format("'%s'", key) or string.format("[%s]", failure.a(key))
    local column
    if math.type(key) == "integer" then
      column = points(who, what, given[key])
    elseif type(key) == "string" then
      column = values(who, key, given[key])
    else
      complain(who, "%s: names of parameters are strings", what)
    end
    for name in next, column[1] or {} do
      if owner[name] then complain(who, "%s: there is a parameter '%s' already, from %s", what, name, owner[name]) end
      owner[name] = what
    end
    all[#all + 1] = { what = what, points = column }
  end
  return all
end

local function joined(a, b)
  local point = {}
  for _, part in ipairs { a, b } do
    for name, value in next, part do
      point[name] = value
    end
  end
  return point
end

--- Every combination; the last parameter, by name, changes from point to point.
function M.cross(lists)
  local list = { {} }
  for _, column in ipairs(columns("cross", lists)) do
    local longer = {}
    for _, point in ipairs(list) do
      for _, more in ipairs(column.points) do
        longer[#longer + 1] = joined(point, more)
      end
    end
    list = longer
  end
  return setmetatable(list, Sweep)
end

--- The first values together, then the second ones, and so on: lists of one length.
function M.zip(lists)
  local all = columns("zip", lists)
  local list = {}
  for at, column in ipairs(all) do
    if #column.points ~= #all[1].points then
      complain("zip", "lists of one length are needed: %s has %d, %s has %d", all[1].what, #all[1].points, column.what, #column.points)
    end
    for i, point in ipairs(column.points) do
      list[i] = joined(at > 1 and list[i] or {}, point)
    end
  end
  return setmetatable(list, Sweep)
end

--- The points for which `fn(point)` is true.
function M.where(list, fn)
  points("where", "the list", list)
  if not lib.flow.callable(fn) then complain("where", "expected a function of a point, got %s", failure.a(fn)) end
  local kept = {}
  for _, point in ipairs(list) do
    if fn(point) then kept[#kept + 1] = point end
  end
  return setmetatable(kept, Sweep)
end

--- `n` of the points (all, if there are no more), each as likely as any other, in their order.
function M.sample(list, n, random)
  points("sample", "the list", list)
  local wanted, expected = types.whole(0)(n)
  if not wanted then complain("sample", "expected %s, got %s", expected, failure.a(n)) end
  random = random or lib.random.random "sweep"
  if getmetatable(random) ~= lib.random.Random then
    complain("sample", 'expected random numbers such as harness.random "name", got %s', failure.a(random))
  end
  local drawn = {}
  for i, point in ipairs(list) do -- Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S
    if random:integer(1, #list - i + 1) <= wanted - #drawn then drawn[#drawn + 1] = point end
  end
  return setmetatable(drawn, Sweep)
end

Sweep.where, Sweep.sample = M.where, M.sample

package.loaded["harness.sweep"] = M
return M
