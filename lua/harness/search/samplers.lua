-- Strategies that do not look at results: all points, random ones, Latin hypercubes, Sobol's sequence. They are the floor
-- that the others have to beat, and a fair sample of the space.
local _, lib = ...
local failure = lib.failure

local M = {}

-- Nothing is learnt.
local function forget() end

local function needs_dimensions(name, space)
  if space.sequences then
    failure.raise(string.format("search: strategy '%s' needs lists of values, and the space is one of sequences", name))
  end
end
M.needs_dimensions = needs_dimensions

--- Every point, the last parameter by name changing from point to point.
function M.grid(_, context)
  local space = context.space
  needs_dimensions("grid", space)
  local following = space:first()
  local function ask()
    while following do
      local genome = table.move(following, 1, #following, 1, {})
      if not space:advance(following) then following = nil end
      if space:valid(genome) then return genome end
    end
  end
  return { ask = ask, tell = forget }
end

--- Each point as likely as any other.
function M.random(_, context)
  local space, random = context.space, context.random
  return { ask = function() return space:random(random) end, tell = forget }
end

--- Latin hypercubes of `points` points each: of every dimension each part is met once.
-- (McKay, Beckman, Conover, Technometrics 21 (1979), p. 239.)
function M.lhs(o, context)
  local space, random = context.space, context.random
  needs_dimensions("lhs", space)
  local n = o.points or math.min(context.trials or 20, 1000)
  local parts, at = {}, n
  local places = {}
  for i = 1, n do
    places[i] = i
  end
  local function ask()
    if at == n then
      at = 0
      for d = 1, #space.counts do
        parts[d] = random:shuffle(places)
      end
    end
    at = at + 1
    local fractions = {}
    for d = 1, #space.counts do
      fractions[d] = (parts[d][at] - random:float()) / n
    end
    return space:at_fractions(fractions)
  end
  return { ask = ask, tell = forget }
end

-- Of dimension 2 and on the primitive polynomial and the first direction numbers: new-joe-kuo-6.21201 of
-- S. Joe and F. Y. Kuo, SIAM J. Sci. Comput. 30 (2008), p. 2635, https://web.maths.unsw.edu.au/~fkuo/sobol/.
local JOE_KUO = [[
0 1, 1 1 3, 1 1 3 1, 2 1 1 1, 1 1 1 3 3, 4 1 3 5 13, 2 1 1 5 5 17, 4 1 1 5 5 5, 7 1 1 7 11 19, 11 1 1 5 1 1, 13 1 1 1
3 11, 14 1 3 5 5 31, 1 1 3 3 9 7 49, 13 1 1 1 15 21 21, 16 1 3 1 13 27 49, 19 1 1 1 15 7 5, 22 1 3 1 15 13 25, 25 1 1
5 5 19 61, 1 1 3 7 11 23 15 103, 4 1 3 7 13 13 15 69, 7 1 1 3 13 7 35 63, 8 1 3 5 9 1 25 53, 14 1 3 1 13 9 35 107, 19
1 3 1 5 27 61 31, 21 1 1 5 11 19 41 61, 28 1 3 5 3 3 13 69, 31 1 1 7 13 1 19 1, 32 1 3 7 5 13 19 59, 37 1 1 3 9 25 29
41, 41 1 3 5 13 23 1 55, 42 1 3 7 3 13 59 17, 50 1 3 1 3 5 53 69, 55 1 1 5 5 23 33 13, 56 1 1 7 7 1 61 123, 59 1 1 7 9
13 61 49, 62 1 3 3 5 3 55 33, 14 1 3 1 15 31 13 49 245, 21 1 3 5 15 31 59 63 97, 22 1 3 1 11 11 11 77 249, 38 1 3 1 11
27 43 71 9, 47 1 1 7 15 21 11 81 45, 49 1 3 7 3 25 31 65 79, 50 1 3 1 1 19 11 3 205, 52 1 1 5 9 19 21 29 157, 56 1 3 7
11 1 33 89 185, 67 1 3 3 3 15 9 79 71, 70 1 3 7 11 15 39 119 27, 84 1 1 3 1 11 31 97 225, 97 1 1 1 3 23 43 57 177, 103
1 3 7 7 17 17 37 71, 115 1 3 1 5 27 63 123 213, 122 1 1 3 5 11 43 53 133, 8 1 3 5 5 29 17 47 173 479, 13 1 3 3 11 3 1
109 9 69, 16 1 1 1 5 17 39 23 5 343, 22 1 3 1 5 25 15 31 103 499, 25 1 1 1 11 11 17 63 105 183, 44 1 1 5 11 9 29 97
231 363, 47 1 1 5 15 19 45 41 7 383, 52 1 3 7 7 31 19 83 137 221, 55 1 1 1 3 23 15 111 223 83, 59 1 1 5 13 31 15 55 25
161
]]
local BITS = 32

-- 32 direction numbers of each dimension.
local function directions()
  local all = { {} }
  for bit = 1, BITS do
    all[1][bit] = 1 << BITS - bit
  end
  for row in string.gmatch(JOE_KUO, "[^,]+") do
    local numbers = {}
    for word in string.gmatch(row, "%d+") do
      numbers[#numbers + 1] = math.tointeger(word)
    end
    local polynomial, degree, v = numbers[1], #numbers - 1, {}
    for bit = 1, BITS do
      if bit <= degree then
        v[bit] = numbers[bit + 1] << BITS - bit
      else
        v[bit] = v[bit - degree] ~ v[bit - degree] >> degree
        for k = 1, degree - 1 do
          if polynomial >> degree - 1 - k & 1 == 1 then v[bit] = v[bit] ~ v[bit - k] end
        end
      end
    end
    all[#all + 1] = v
  end
  return all
end

--- Sobol's sequence, shifted at random (by digits, so that it stays one). Dimensions beyond the table are random.
function M.sobol(_, context)
  local space, random = context.space, context.random
  needs_dimensions("sobol", space)
  local v = directions()
  local now, count = {}, 0
  for d = 1, #space.counts do
    now[d] = random:integer(0, (1 << BITS) - 1)
  end
  local function ask()
    local fractions = {}
    for d = 1, #space.counts do
      fractions[d] = v[d] and now[d] / (1 << BITS) or random:float()
    end
    local bit, rest = 1, count -- Antonov and Saleev: one bit of a Gray code changes
    while rest & 1 == 1 do
      bit, rest = bit + 1, rest >> 1
    end
    for d = 1, #space.counts do
      if v[d] then now[d] = now[d] ~ v[d][bit] end
    end
    count = count + 1
    return space:at_fractions(fractions)
  end
  return { ask = ask, tell = forget }
end

return M
