-- What `harness.search` goes through: every combination of lists of values, without a list of them.
--
-- A genome is one place in it, a whole number for each dimension: strategies compute with those, scripts see points. A
-- space knows its points and which are near one another; nothing of strategies, trials or results.
local _, lib = ...
local failure, sweep, among, fresh = lib.failure, lib.sweep, lib["sweep/values"].among, lib["sweep/values"].fresh
local floor, unpack, char = math.floor, table.unpack, string.char

local M = {}

-- Of a dimension without an order so many other values are neighbours.
local MOST_NEIGHBOURS = 8
-- Of more values than these, in order, one beside another is hardly another one: steps are of all sizes.
local FINE = 100
-- So often a genome is drawn before those that pass `where` are listed, where there are no more than FEW to look at, or it
-- is said that none was found.
local DRAWS, MOST_DRAWS = 1000, 100000
local FEW = 1000000

-- Lists of one length are made as copies of one another: a table that grows item by item is laid anew each time it is full.
local function copy(list) return { unpack(list) } end

local Space = { __name = "space", sequences = false, waits = false }
Space.__index = Space
M.Space = Space

-- Values have an order if they are numbers, in a list of any order.
local function is_ordered(column)
  for name in next, column.names do
    for _, value in ipairs(column.values_of(name)) do
      if type(value) ~= "number" then return false end
    end
  end
  return true
end

--- What points of these parameters are: as those of a sweep, for `defines = { TILE = p.tlie }` would build another program
-- than was meant.
function M.point_class(parameters) return failure.strict_class("a point", parameters, "parameter", parameters) end

--- A space of a sweep, or of lists of values by name.
function M.new(given)
  if type(given) ~= "table" then failure.raise("search: option 'space': expected lists by name, or a sweep, got " .. failure.a(given)) end
  if getmetatable(given) ~= sweep.Sweep then given = sweep.cross(given) end
  local columns, passes = sweep.Sweep.__dimensions(given)
  local space = setmetatable({ counts = {}, ordered = {}, points = {}, names = {}, values = {}, columns = columns, places = {} }, Space)
  space.passes, space.size, space.widest, space.parameters = passes, 1, 0, {}
  for d, column in ipairs(columns) do
    local n = column.count()
    if n == 0 then failure.raise "search: option 'space': it has no points" end
    space.counts[d], space.size, space.widest = n, space.size * 1.0 * n, math.max(space.widest, n)
    space.ordered[d] = is_ordered(column)
    space.points[d] = column.at
    space.names[d], space.values[d] = column.name or false, column.values
    for name in next, column.names do
      space.parameters[name] = true
    end
  end
  space.Point = M.point_class(space.parameters)
  return space
end

--- The table of parameters at a place, another one each time: whoever gets it may change it.
function Space:point(genome)
  local point, values = {}, self.values
  for d, name in ipairs(self.names) do
    if name then
      point[name] = fresh(values[d][genome[d]])
    else
      for part, value in next, self.points[d](genome[d]) do
        point[part] = value
      end
    end
  end
  return setmetatable(point, self.Point)
end

-- Tells at which place of a dimension a point is: from then on, however many are asked for.
local function places_of(self, d)
  if self.places[d] then return self.places[d] end
  local name, points = self.names[d], {}
  if name then
    local place = among(self.values[d])
    self.places[d] = function(point) return place(point[name]) end
    return self.places[d]
  end
  for i = 1, self.counts[d] do
    points[i] = self.points[d](i)
  end
  local place, names = among(points), self.columns[d].names
  self.places[d] = function(point)
    local part = {}
    for each in next, names do
      part[each] = point[each]
    end
    return place(part)
  end
  return self.places[d]
end

-- Of a dimension without such a point: the parameter whose value is in none, or any.
local function missing_in(column, point)
  local names = failure.sorted_keys(column.names)
  for _, name in ipairs(names) do
    if not among(column.values_of(name))(point[name]) then return name end
  end
  return names[1]
end

--- The place of a point; nil and the name of the parameter that it has not.
function Space:genome(point)
  local genome = {}
  for d, column in ipairs(self.columns) do
    genome[d] = places_of(self, d)(point)
    if not genome[d] then return nil, missing_in(column, point) end
  end
  return genome
end

--- Its dimensions, for a program: the values of each parameter, or (of a `zip`) the points that several take together.
function Space:described()
  local list = {}
  for d, name in ipairs(self.names) do
    list[d] = { ordered = self.ordered[d] }
    if name then
      list[d].name, list[d].values = name, self.values[d]
    else
      list[d].points = {}
      for i = 1, self.counts[d] do
        list[d].points[i] = self.points[d](i)
      end
    end
  end
  return list
end
--- What an author's function made, as a genome; nil if it is not here.
function Space:made(point) return (self:genome(point)) end

--- What tells genomes apart.
function Space:key(genome)
  if self.widest < 256 then return char(unpack(genome)) end
  return table.concat(genome, ",")
end

--- Does the point pass `where`?
function Space:valid(genome)
  if #self.passes == 0 then return true end
  local point = self:point(genome)
  for _, pass in ipairs(self.passes) do
    if not pass(point) then return false end
  end
  return true
end

-- All that pass.
local function listed(self)
  local list, genome = {}, self:first()
  repeat
    if self:valid(genome) then list[#list + 1] = copy(genome) end
  until not self:advance(genome)
  if #list == 0 then failure.raise "search: option 'space': none of its points passes 'where'" end
  return list
end

--- Any of the points that pass.
function Space:random(random)
  if self.list then return random:pick(self.list) end
  for drawn = 1, MOST_DRAWS do
    local genome = copy(self.counts)
    for d, n in ipairs(self.counts) do
      genome[d] = random:integer(1, n)
    end
    if self:valid(genome) then return genome end
    if drawn == DRAWS and self.size <= FEW then
      self.list = listed(self)
      return random:pick(self.list)
    end
  end
  failure.raise(string.format("search: option 'space': none of %d points drawn passes 'where'", MOST_DRAWS))
end

--- The genome at these fractions, 0 to 1, of the dimensions.
function Space:at_fractions(fractions)
  local genome = copy(fractions)
  for d, n in ipairs(self.counts) do
    local place = floor(fractions[d] * n) + 1
    genome[d] = place < 1 and 1 or place > n and n or place
  end
  return genome
end

--- Goes to the next genome in place, the last dimension first; false after the last one.
function Space:advance(genome)
  for d = #genome, 1, -1 do
    if genome[d] < self.counts[d] then
      genome[d] = genome[d] + 1
      return true
    end
    genome[d] = 1
  end
  return false
end

--- The first genome in the order of `advance`.
function Space:first()
  local genome = {}
  for d = 1, #self.counts do
    genome[d] = 1
  end
  return genome
end

-- Another value of one dimension: where they have an order mostly one that is near.
local function changed(self, genome, d, random)
  local n, now = self.counts[d], genome[d]
  if n == 1 then return end
  if self.ordered[d] and random:float() < 0.7 then
    local step = n > FINE and floor((n / 2) ^ random:float()) or 1
    while n <= FINE and step < n and random:float() < 0.3 do
      step = step + 1
    end
    local to = random:float() < 0.5 and now - step or now + step
    if to < 1 or to > n then to = now < step + 1 and now + step or now - step end
    if to >= 1 and to <= n then
      genome[d] = to
      return
    end
  end
  local to = random:integer(1, n - 1)
  genome[d] = to >= now and to + 1 or to
end

--- A copy with one value changed, now and then more; `times`: so many.
function Space:mutate(genome, random, times)
  local child, dimensions = copy(genome), #genome
  if not times then
    times = 1
    while times < dimensions and random:float() < 0.3 do
      times = times + 1
    end
  end
  for _ = 1, times do
    changed(self, child, random:integer(1, dimensions), random)
  end
  return child
end

--- Each value from one of the two: uniform crossover.
function Space:cross(a, b, random)
  local child, bits = copy(a), 0
  for d = 1, #a do
    if d % 32 == 1 then bits = random:integer(0, 0xFFFFFFFF) end
    if bits & 1 == 1 then child[d] = b[d] end
    bits = bits >> 1
  end
  return child
end

--- Those next to it in one dimension, in random order.
function Space:neighbours(genome, random)
  local list = {}
  local function add(d, value)
    local other = copy(genome)
    other[d] = value
    list[#list + 1] = other
  end
  for d, n in ipairs(self.counts) do
    local now = genome[d]
    if self.ordered[d] then
      local step = 1
      repeat
        if now > step then add(d, now - step) end
        if now + step <= n then add(d, now + step) end
        step = 10 * step
      until n <= FINE or step > n / 2
    elseif n <= MOST_NEIGHBOURS + 1 then
      for value = 1, n do
        if value ~= now then add(d, value) end
      end
    else
      for _ = 1, MOST_NEIGHBOURS do
        local value = random:integer(1, n - 1)
        add(d, value >= now and value + 1 or value)
      end
    end
  end
  return #list > 0 and random:shuffle(list) or list
end

--- What may follow a beginning of a genome, and whether it may end there: the tree that MCTS looks into.
function Space:following(prefix)
  local n = self.counts[#prefix + 1]
  if not n then return {}, true end
  local values = {}
  for value = 1, n do
    values[value] = value
  end
  return values, false
end

return M
