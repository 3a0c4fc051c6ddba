-- `harness.sweep`: points, each a plain table of parameters, in an order that follows from what was given alone: it is
-- the same in every run, so a second run finds its records.
--
-- A sweep computes a point when it is asked for: one of 10^12 points takes no more memory than one of ten. It knows
-- nothing of tasks.
local host, lib = ...
local failure, types, told, parameter = lib.failure, lib.types, lib["sweep/told"], lib["sweep/values"]
local MANY, complain, equal, fresh = parameter.MANY, parameter.complain, parameter.equal, parameter.fresh

local M = { range = parameter.range, pow2 = parameter.pow2 }

-- What is looked at one by one: more are counted or sorted by mistake.
local MOST_TRIED = 100000000
-- After so many seconds, as far as one looks at a clock, it is said how far it is.
local TOLD_EACH, LOOKED_EACH = 10, 100000

local METHODS = { "exclude", "order", "sample", "where" }

-- Read as a list. What it is made of lies in `inside`: `at(i)`, a point or nil, `count()`, `names`, those that a point
-- may have, as a set, and `values_of(name)`, a list with all that a parameter has in any point; of a product its `columns`, of
-- what `where` leaves its `base` and `fn`, of a parameter its `name` and `values`.
local Sweep = { __name = "sweep", __plain = true }
M.Sweep = Sweep
local inside = setmetatable({}, { __mode = "k" })

-- The point at a place, as the author has it: to ask it for a parameter that no point has is an error, for `defines = { TILE = p.tlie }`
-- would build another program than was meant.
local function handed(parts, i)
  local point = parts.at(i)
  if not point then return nil end
  parts.Point = parts.Point or failure.strict_class("a point", parts.names, "parameter", parts.names)
  return setmetatable(point, parts.Point)
end

local function sweep(parts)
  local made = setmetatable({}, Sweep)
  inside[made] = parts
  return made
end

function Sweep:__index(key)
  if type(key) == "number" and math.tointeger(key) then return key > 0 and handed(inside[self], key) or nil end
  local method = rawget(Sweep, key)
  if method or type(key) ~= "string" or string.sub(key, 1, 2) == "__" then return method end
  failure.raise(failure.unknown("method", key, METHODS) .. " of a sweep; there are " .. table.concat(METHODS, ", "))
end
function Sweep:__len() return inside[self].count() end
function Sweep.__newindex() complain("list", "a sweep is read-only: sweep.list(points, { { tile = 8 } }) has the points of both") end
local function following(self, i)
  local point = self[i + 1]
  if point then return i + 1, point end
end
function Sweep:__pairs() return following, self, 0 end

--- To a worker it travels as the plain list it is.
function Sweep:__ship()
  local n = #self
  if n > MANY then complain("list", "%.3g points are too many to travel to a worker: give it the points it needs", n) end
  return failure.same, table.move(self, 1, n, 1, {})
end

local function is_point(value)
  if type(value) ~= "table" or failure.is_object(value) then return false end
  for name in next, value do
    if type(name) ~= "string" then return false end
  end
  return next(value) ~= nil
end

-- The points that somebody gave: a sweep, or a list of one's own.
local function points(who, what, list)
  if getmetatable(list) == Sweep then return inside[list] end
  if type(list) ~= "table" or failure.is_object(list) or #list == 0 and next(list) ~= nil then
    local hint = what == "the list" and lib.flow.callable(list) and string.format(": with a colon, points:%s(...)", who)
      or is_point(list) and ": write { { ... } }"
      or ""
    complain(who, "%s: expected a list of points, got %s%s", what, failure.a(list), hint)
  end
  local own, names, wrong = {}, {}, types.flaw(list)
  if wrong ~= nil then
    complain(who, "%s: expected a list of points without gaps and names, got %s as [%s]", what, failure.a(list[wrong]), failure.a(wrong))
  end
  for i, point in ipairs(list) do
    if not is_point(point) then complain(who, "%s: expected points such as { tile = 8 }, got %s as item %d", what, failure.a(point), i) end
    own[i] = fresh(point)
    for name in next, point do
      names[name] = true
    end
  end
  local function values_of(name)
    local values = {}
    for _, point in ipairs(own) do
      values[#values + 1] = point[name]
    end
    return values
  end
  return {
    at = function(i) return own[i] and fresh(own[i]) end,
    count = function() return #own end,
    names = names,
    values_of = values_of,
  }
end

-- The values of one parameter, as points that have no other.
local function values(who, name, list)
  if type(list) ~= "table" or failure.is_object(list) or #list == 0 then
    local is_empty = type(list) == "table" and not failure.is_object(list)
    complain(who, "'%s': expected a list of values, got %s", name, is_empty and "a table without items" or failure.a(list))
  end
  local good, problem = types.plain(list)
  if not good then
    if type(problem) == "string" then problem = { path = "", value = list, expected = problem } end
    local note = problem.note or string.format("expected %s, got %s", problem.expected, failure.a(problem.value))
    complain(who, "'%s%s': %s", name, problem.path, note)
  end
  local function at(i)
    if good[i] ~= nil then return { [name] = fresh(good[i]) } end
  end
  return {
    at = at,
    count = function() return #good end,
    names = { [name] = true },
    values_of = function() return good end,
    name = name,
    values = good,
  }
end

-- What varies: sweeps in their order, then parameters by name.
local function columns(who, given)
  if given == M then complain(who, "call it with a dot: sweep.%s { ... }", who) end
  if type(given) == "table" and rawget(given, "n") == rawlen(given) then -- of table.pack, and no values of a parameter
    given = failure.plain_copy(given)
    given.n = nil
  end
  if type(given) ~= "table" or failure.is_object(given) or next(given) == nil then
    complain(who, "expected lists by name, such as { tile = { 8, 16 } }, got %s", failure.a(given))
  end
  local all, owner, unnamed = {}, {}, 0
  for _, key in ipairs(failure.sorted_keys(given)) do
    local what = type(key) == "string" and string.format("'%s'", key) or string.format("[%s]", failure.a(key))
    local column
    if math.type(key) == "integer" then
      unnamed = unnamed + 1
      if key ~= unnamed then complain(who, "[%d] is missing, and there is %s: is a name before it misspelt?", unnamed, what) end
      column = points(who, what, given[key])
    elseif type(key) == "string" then
      column = values(who, key, given[key])
    else
      complain(who, "%s: names of parameters are strings", what)
    end
    for name in next, column.names do
      if owner[name] then complain(who, "%s: there is a parameter '%s' already, from %s", what, name, owner[name]) end
      owner[name] = what
    end
    all[#all + 1] = {
      what = what,
      at = column.at,
      count = column.count,
      names = column.names,
      values_of = column.values_of,
      columns = column.columns,
      name = column.name,
      values = column.values,
    }
  end
  return all
end

local function add(point, more)
  for name, value in next, more do
    point[name] = value
  end
end

-- The names that points of any of them may have.
local function union(all)
  local names = {}
  for _, one in ipairs(all) do
    add(names, one.names)
  end
  return names
end

-- All values of a parameter in any of them.
local function values_among(all)
  return function(name)
    local values = {}
    for _, one in ipairs(all) do
      if one.names[name] then
        local more = one.values_of(name)
        table.move(more, 1, #more, #values + 1, values)
      end
    end
    return values
  end
end

-- So many combinations: a float where they are more than a whole number can count.
local function product(all)
  local n = 1
  for _, column in ipairs(all) do
    local more = column.count()
    n = more > 0 and n > (1 << 62) // more and n * 1.0 * more or n * more
  end
  return n
end

--- Every combination; the last parameter, by name, changes from point to point.
function M.cross(lists)
  local all, n = columns("cross", lists), nil
  local function count()
    n = n or product(all)
    return n
  end
  local function at(i)
    if i > count() then return nil end
    local left, point = i - 1, {}
    for k = #all, 1, -1 do
      local size = all[k].count()
      add(point, all[k].at(left % size + 1))
      left = left // size
    end
    return point
  end
  return sweep { at = at, count = count, names = union(all), values_of = values_among(all), columns = all }
end

--- The first values together, then the second ones, and so on: lists of one length.
function M.zip(lists)
  local all = columns("zip", lists)
  local n = all[1].count()
  for _, column in ipairs(all) do
    if column.count() ~= n then
      complain("zip", "lists of one length are needed: %s has %d, %s has %d", all[1].what, n, column.what, column.count())
    end
  end
  local function at(i)
    if i > n then return nil end
    local point = {}
    for _, column in ipairs(all) do
      add(point, column.at(i))
    end
    return point
  end
  return sweep { at = at, count = function() return n end, names = union(all), values_of = values_among(all) }
end

--- The points of one list after those of the other.
function M.list(...)
  local parts = {}
  for i = 1, select("#", ...) do
    local part = points("list", string.format("[%d]", i), (select(i, ...)))
    local inner = part.parts or { part } -- of a list that grows in a loop, too, each is asked once
    table.move(inner, 1, #inner, #parts + 1, parts)
  end
  local function count()
    local n = 0
    for _, part in ipairs(parts) do
      n = n + part.count()
    end
    return n
  end
  local function at(i)
    for k, part in ipairs(parts) do
      if k == #parts or i <= part.count() then return part.at(i) end
      i = i - part.count()
    end
  end
  return sweep { at = at, count = count, names = union(parts), values_of = values_among(parts), parts = parts }
end

-- How many there are before anything is filtered.
local function untouched(base)
  while base.base do
    base = base.base
  end
  return base.count()
end

local function filtered(who, base, fn)
  local said, where = host.now(), failure.where()
  local found, seen, whole = {}, 0, false -- places in the base, as far as it was looked at
  local function too_many(n) complain(who, "%.3g points would be tried one by one: sample some of them, or search (harness.search)", n) end
  local function find(i)
    while not found[i] and not whole do
      local point = handed(base, seen + 1)
      whole = point == nil
      if whole and seen > 0 and #found == 0 then told.of_none_left(where, who, seen, base.at(1)) end
      if point then
        seen = seen + 1
        if fn(point) then found[#found + 1] = seen end
        if seen > MOST_TRIED then too_many(seen) end
        if seen % LOOKED_EACH == 0 and host.now() - said >= TOLD_EACH then
          said = host.now()
          host.stderr(string.format("harness: sweep.%s: %d of %.3g points tried, %d pass", who, seen, untouched(base), #found))
        end
      end
    end
    return found[i]
  end
  local function at(i)
    local place = find(i)
    return place and base.at(place)
  end
  local function count()
    if not whole and untouched(base) > MOST_TRIED then too_many(untouched(base)) end -- now, and not in some minutes
    find(math.huge)
    return #found
  end
  return sweep { at = at, count = count, names = base.names, values_of = base.values_of, base = base, fn = fn }
end

--- The points for which `fn(point)` is true.
function M.where(list, fn)
  local base = points("where", "the list", list)
  if not lib.flow.callable(fn) then complain("where", "expected a function of a point, got %s", failure.a(fn)) end
  return filtered("where", base, fn)
end

-- Has it all that `part` says?
local function has(point, part)
  for name, value in next, part do
    if not equal(point[name], value) then return false end
  end
  return true
end

--- All points but those of which `what` is true, a function or a list of points: what these say decides.
function M.exclude(list, what)
  local base = points("exclude", "the list", list)
  if lib.flow.callable(what) then
    return filtered("exclude", base, function(point) return not what(point) end)
  end
  local out = points("exclude", "what is excluded", what)
  for _, name in ipairs(failure.sorted_keys(out.names)) do
    if next(base.names) and not base.names[name] then
      complain("exclude", "what is excluded: %s", failure.unknown("parameter", name, failure.sorted_keys(base.names)))
    end
  end
  if next(base.names) then told.of_unknown(base, out) end
  local excluded
  return filtered("exclude", base, function(point)
    if not excluded then
      excluded = {}
      for i = 1, out.count() do
        excluded[i] = out.at(i)
      end
    end
    for i = 1, #excluded do
      if has(point, excluded[i]) then return false end
    end
    return true
  end)
end

local function random_of(who, random)
  random = random or lib.random.random "sweep"
  if getmetatable(random) ~= lib.random.Random then
    complain(who, 'expected random numbers such as harness.random "name", got %s', failure.a(random))
  end
  return random
end

-- A permutation of 1 to n that needs no memory: a Feistel network over the bits of n, walked on while it leads beyond.
local function permutation(n, random)
  local half = 1
  while 1 << 2 * half < n do
    half = half + 1
  end
  local mask, keys = (1 << half) - 1, {}
  for round = 1, 6 do
    keys[round] = random:integer(0, math.maxinteger)
  end
  return function(i)
    local x = i - 1
    repeat
      local left, right = x >> half, x & mask
      for round = 1, 6 do
        local mixed = (right ~ keys[round]) * 0x9E3779B97F4A7C15
        left, right = right, left ~ (mixed ~ mixed >> 32) * 0xBF58476D1CE4E5B9 >> 40 & mask
      end
      x = left << half | right
    until x < n
    return x + 1
  end
end

local function countable(who, base)
  local n = base.count()
  if math.type(n) == "integer" then return n end
  complain(who, "%.3g points are more than can be counted: harness.search goes through such spaces", n)
end

-- The points at these places of the base.
local function chosen(base, places)
  local function at(i) return places[i] and base.at(places[i]) end
  return sweep { at = at, count = function() return #places end, names = base.names, values_of = base.values_of }
end

-- Of a space that nobody counts: the first that pass, in random order.
local function drawn_before_filtered(base, n, random)
  local of, passes = base, {}
  while of.base do
    passes[#passes + 1], of = of.fn, of.base
  end
  local total = countable("sample", of)
  local place, places, tried = permutation(total, random), {}, 0
  while #places < n and tried < total do
    tried = tried + 1
    local good, point = true, handed(of, place(tried))
    for i = #passes, 1, -1 do
      good = good and passes[i](point)
    end
    if good then places[#places + 1] = place(tried) end
    if tried == 1000 * (n + 1000) then complain("sample", "of %d points drawn only %d pass 'where'; %d are wanted", tried, #places, n) end
  end
  table.sort(places)
  return chosen(of, places)
end

--- `n` of the points (all, if there are no more), each as likely as any other, in their order.
function M.sample(list, n, random)
  local base = points("sample", "the list", list)
  local wanted, expected = types.whole(0)(n)
  if not wanted then complain("sample", "expected %s, got %s", expected, failure.a(n)) end
  random = random_of("sample", random)
  if base.base and untouched(base) > MANY then return drawn_before_filtered(base, wanted, random) end
  local total, taken, places = countable("sample", base), {}, {}
  for last = total - math.min(wanted, total) + 1, total do -- Bentley & Floyd, CACM 30 (1987), p. 754
    local place = random:integer(1, last)
    if taken[place] then place = last end
    taken[place], places[#places + 1] = true, place
  end
  table.sort(places)
  return chosen(base, places)
end

local function by_cost(base, fn)
  local n = countable("order", base)
  if n > MANY then complain("order", "%.3g points are too many to be sorted: sample some first", n) end
  local places, costs = {}, {}
  for i = 1, n do
    places[i], costs[i] = i, fn(handed(base, i))
    if type(costs[i]) ~= "number" or costs[i] ~= costs[i] then
      complain("order", "expected a number as the cost of point %d, got %s", i, failure.a(costs[i]))
    end
  end
  table.sort(places, function(a, b)
    if costs[a] ~= costs[b] then return costs[a] < costs[b] end
    return a < b
  end)
  return chosen(base, places)
end

--- The points in another order: "random", or by what a function says they cost, the cheapest first.
function M.order(list, by, random)
  local base = points("order", "the list", list)
  if lib.flow.callable(by) then return by_cost(base, by) end
  if by ~= "random" then complain("order", 'expected "random" or a function of a point, got %s', failure.a(by)) end
  random = random_of("order", random)
  local n = countable("order", base)
  local place = permutation(n, random)
  local function at(i) return i <= n and base.at(place(i)) or nil end
  return sweep { at = at, count = function() return n end, names = base.names, values_of = base.values_of }
end

-- For harness.search: the sweep as dimensions, each with `at` and `count`, and the functions that a point has to pass.
function Sweep:__dimensions()
  local of, passes = inside[self], {}
  while of.base do
    table.insert(passes, 1, of.fn)
    of = of.base
  end
  local all = {}
  local function collect(column)
    if not column.columns then
      all[#all + 1] = column
      return
    end
    for _, inner in ipairs(column.columns) do
      collect(inner)
    end
  end
  collect(of)
  return all, passes
end

for _, name in ipairs(METHODS) do
  Sweep[name] = M[name]
end

package.loaded["harness.sweep"] = M
return M
