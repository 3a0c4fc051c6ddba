-- Spaces of sequences: which actions, and in which order? A loop is tiled, then interchanged, then unrolled.
--
-- A genome is the list of actions itself. The methods are those of a space of lists (space.lua), without dimensions. What may
-- follow can be a function of the author's, which may wait for a worker: so any method may that looks what follows.
local _, lib = ...
local failure, options, point_class = lib.failure, lib.options, lib["search/space"].point_class

local M = {}

local Sequences = { __name = "sequences", sequences = true, size = math.huge }
Sequences.__index = Sequences
M.Sequences = Sequences

--- The sequences of actions: { name =, actions = list or function of those before, min =, max = }.
function M.new(given)
  local o = options.check("search.sequences", given, false, "sequences")
  local space = setmetatable({ name = o.name or "steps", actions = o.actions, min = o.min or 1, max = o.max or 8 }, Sequences)
  space.waits, space.asked, space.parameters = type(o.actions) == "function", {}, { [space.name] = true }
  space.Point = point_class(space.parameters)
  if not o.actions then failure.raise "search.sequences: 'actions' is missing: a list, or a function of the actions before" end
  if space.min > space.max then failure.raise(string.format("search.sequences: 'min' (%d) is above 'max' (%d)", space.min, space.max)) end
  if type(o.actions) == "table" and #o.actions == 0 then failure.raise "search.sequences: 'actions' is empty" end
  return space
end

local function key_of(action)
  if type(action) == "table" then return lib.json.encode(action) end
  return type(action) == "string" and string.format("%q", action) or tostring(action)
end

-- For their author, who may change them.
local function copied(genome)
  local list = {}
  for i, action in ipairs(genome) do
    list[i] = type(action) == "table" and lib.types.plain(action) or action
  end
  return list
end

-- What can come after these. A function is asked once of each beginning.
local function choices(self, prefix)
  if not self.waits then return self.actions end
  local key = self:key(prefix)
  if self.asked[key] then return self.asked[key] end
  local list = self.actions(copied(prefix))
  -- What there is to choose from is made up: how many, so that the plan says that it depends on that.
  if lib.dry and lib.dry.is_made_up(list) then list = { "made-up", list < list and "another" or nil } end
  local good, problem = lib.types.plain(list)
  if type(list) ~= "table" or not good then
    failure.raise("search.sequences: 'actions' gave no list of actions: " .. (type(problem) == "table" and problem.path or failure.a(list)))
  end
  self.asked[key] = good
  return good
end

function Sequences:key(genome)
  local keys = {}
  for i, action in ipairs(genome) do
    keys[i] = key_of(action)
  end
  return table.concat(keys, ";")
end

function Sequences:point(genome) return setmetatable({ [self.name] = copied(genome) }, self.Point) end

--- For a program: what there is to choose from, if it is always the same.
function Sequences:described()
  local actions = type(self.actions) == "table" and self.actions or nil
  return { { name = self.name, actions = actions, min = self.min, max = self.max } }
end

local function find(list, action)
  if type(action) ~= "table" then
    for _, each in ipairs(list) do
      if each == action then return each end
    end
    return nil
  end
  local key = key_of(action)
  for _, each in ipairs(list) do
    if key_of(each) == key then return each end
  end
end

-- The actions that may follow one another, leaving out those that may not.
local function repaired(self, list)
  local genome = {}
  for _, action in ipairs(list) do
    if #genome == self.max then break end
    genome[#genome + 1] = find(choices(self, genome), action)
  end
  return genome
end

function Sequences:genome(point)
  local list = point[self.name]
  if type(list) ~= "table" then return nil, self.name end
  local genome = repaired(self, list)
  if #genome ~= #list or #genome < self.min then return nil, self.name end
  return genome
end

function Sequences:valid(genome)
  if #genome < self.min or #genome > self.max then return false end
  return not self.waits or #repaired(self, genome) == #genome
end

-- At random on to this length, as far as there are actions.
local function extended(self, genome, length, random)
  while #genome < length do
    local list = choices(self, genome)
    if #list == 0 then break end
    genome[#genome + 1] = random:pick(list)
  end
  return genome
end

function Sequences:random(random)
  for _ = 1, 1000 do
    local genome = extended(self, {}, random:integer(self.min, self.max), random)
    if #genome >= self.min then return genome end
  end
  failure.raise(string.format("search.sequences: 1000 random walks never came to %d actions", self.min))
end

-- Replaces, inserts, leaves out or swaps.
local function change(self, genome, random)
  local list, n = table.move(genome, 1, #genome, 1, {}), #genome
  local kind = n == 0 and 2 or random:integer(1, 4)
  local at = n > 0 and random:integer(1, n) or 1
  if kind <= 2 then
    local there = choices(self, table.move(list, 1, at - 1, 1, {}))
    if #there == 0 then return list end
    if kind == 1 then
      list[at] = random:pick(there)
    else
      table.insert(list, at, random:pick(there))
    end
  elseif kind == 3 then
    table.remove(list, at)
  else
    local other = random:integer(1, n)
    list[at], list[other] = list[other], list[at]
  end
  return list
end

function Sequences:mutate(genome, random, times)
  local child = genome
  for _ = 1, times or random:float() < 0.3 and 2 or 1 do
    child = repaired(self, change(self, child, random))
  end
  return extended(self, child, self.min, random)
end

--- What an author's function made, as a genome: where it depends on what comes before what may follow, without the actions that
-- may not. Else nil if there is no such action.
function Sequences:made(list, random)
  if not self.waits then return (self:genome { [self.name] = list }) end
  for key in next, list do
    if math.type(key) ~= "integer" or key < 1 or key > #list then return nil end
  end
  return extended(self, repaired(self, list), self.min, random)
end

--- The beginning of one and the end of the other.
function Sequences:cross(a, b, random)
  local cut = #a > 0 and random:integer(0, #a) or 0
  local from = #b > 0 and random:integer(1, #b) or 1
  local child = table.move(a, 1, cut, 1, {})
  table.move(b, from, #b, cut + 1, child)
  return extended(self, repaired(self, child), self.min, random)
end

function Sequences:neighbours(genome, random)
  local list = {}
  for i = 1, 2 * #genome + 4 do
    list[i] = self:mutate(genome, random, 1)
  end
  return list
end

function Sequences:following(prefix)
  if #prefix == self.max then return {}, true end
  local list = choices(self, prefix)
  return list, #prefix >= self.min
end

return M
