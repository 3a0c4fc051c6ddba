-- Strategies that keep a population: a genetic algorithm and differential evolution. Neither has generations: whoever
-- is told joins at once, so that no worker waits for the slowest.
local _, lib = ...
local failure, front = lib.failure, lib["search/front"]

local M = {}

-- An author's function of points (or, of sequences, of lists of actions) as one of genomes; where it gives nil, `ours`.
local function by_author(space, what, fn, random, ours)
  local function shown(genome) return space.sequences and lib.types.plain(genome) or space:point(genome) end
  return function(...)
    local given = table.pack(...)
    for i = 1, given.n do
      given[i] = shown(given[i])
    end
    given[given.n + 1] = random
    local child = fn(table.unpack(given, 1, given.n + 1))
    if child == nil then return ours(...) end
    local genome = type(child) == "table" and space:made(child, random)
    if genome then return genome end
    failure.raise(string.format("search.genetic: '%s' gave what is not in the space: %s", what, failure.compact(child)))
  end
end

-- The members whose place is drawn, the best of `n` of them.
local function tournament(population, n, random)
  local members = #population
  local best = members
  for _ = 1, n do
    local place = random:integer(1, members)
    if place < best then best = place end
  end
  return population[best]
end

-- Into a list that is sorted by score: after those that are as good.
local function insert(population, member)
  local at = #population + 1
  while at > 1 and population[at - 1].score > member.score do
    at = at - 1
  end
  table.insert(population, at, member)
end

local function sort_by_front(population)
  local entries, sorted = {}, {}
  for i, member in ipairs(population) do
    entries[i] = member.entry
  end
  for i, place in ipairs(front.order(entries)) do
    sorted[i] = population[place]
  end
  return sorted
end

--- A steady-state genetic algorithm: tournament, uniform crossover, mutation; the worst member leaves. With several
-- objectives the order is that of NSGA-II.
function M.genetic(o, context)
  local space, random, study = context.space, context.random, context.study
  local size, rate = o.population or 20, o.crossover_rate or 0.8
  local bold = 0 -- the more it repeats itself the more is changed
  local function mutate_here(genome) return space:mutate(genome, random, bold >= 2 and math.tointeger(1 + bold // 2) or nil) end
  local function cross_here(a, b) return space:cross(a, b, random) end
  local mutate = o.mutate and by_author(space, "mutate", o.mutate, random, mutate_here) or mutate_here
  local cross = o.crossover and by_author(space, "crossover", o.crossover, random, cross_here) or cross_here
  local population, there, asked = {}, {}, 0

  local strategy = {}
  function strategy.ask()
    asked = asked + 1
    if asked <= size or #population < 2 then return space:random(random) end
    local child = tournament(population, o.tournament or 3, random).genome
    local crossed = random:float() < rate
    if crossed then child = cross(child, tournament(population, o.tournament or 3, random).genome) end
    if not crossed or random:float() < (o.mutation_rate or 0.7) then child = mutate(child) end
    return child
  end
  function strategy:tell(genome, score, _, entry, known)
    bold = known and bold + 1 or math.max(bold - 0.5, 0)
    local key = entry.key or space:key(genome)
    if there[key] then return end
    there[key] = true
    insert(population, { genome = genome, key = key, score = score, entry = entry })
    if study.several then population = sort_by_front(population) end
    if #population > size then there[table.remove(population).key] = nil end
  end
  return strategy
end

--- Differential evolution, DE/rand/1/bin (Storn and Price, J. Global Optimization 11 (1997), p. 341), in the unit cube
-- over the lists' places.
function M.evolution(o, context)
  local space, random = context.space, context.random
  lib["search/samplers"].needs_dimensions("evolution", space)
  local dimensions = #space.counts
  local size, f, cr = math.max(o.population or 10, 4), o.weight or 0.7, o.crossover_rate or 0.9
  local population, target = {}, 0 -- { vector, score }; none until told

  local function drawn()
    local vector = {}
    for d = 1, dimensions do
      vector[d] = random:float()
    end
    return vector
  end
  -- Another member than those.
  local function other(a, b, c)
    local i
    repeat
      i = random:integer(1, size)
    until i ~= a and i ~= b and i ~= c
    return i
  end
  local function child_of(i)
    local a = other(i)
    local b = other(i, a)
    local c = other(i, a, b)
    local va, vb, vc, own = population[a].vector, population[b].vector, population[c].vector, population[i].vector
    local vector, sure = { table.unpack(own) }, random:integer(1, dimensions)
    for d = 1, dimensions do
      if d == sure or random:float() < cr then
        local x = va[d] + f * (vb[d] - vc[d])
        if x < 0 then x = -x end
        if x >= 1 then x = 2 - x end
        vector[d] = x >= 0 and x < 1 and x or random:float()
      end
    end
    return vector
  end

  local strategy, begun, there, repeats = {}, 0, 0, 0
  -- All of them are at one place: the best stays, and the others begin anew.
  local function begin_anew()
    local best = population[1]
    for i = 2, size do
      if population[i].score < best.score then best = population[i] end
    end
    population, target, begun, there, repeats = { best }, 1, 1, 1, 0
  end
  function strategy.ask()
    if there == size and repeats > 2 * size then begin_anew() end
    target = target % size + 1
    local vector
    if begun < size or there < size then
      begun = begun + 1
      vector = drawn()
    else
      vector = child_of(target)
    end
    return space:at_fractions(vector), { target = target, vector = vector }
  end
  function strategy:tell(_, score, note, _, known)
    if not note then return end
    repeats = known and repeats + 1 or 0
    local now = population[note.target]
    if not now then there = there + 1 end
    if not now or score <= now.score then population[note.target] = { vector = note.vector, score = score } end
  end
  return strategy
end

return M
