-- Reads inputs of the fuzzer, a length of four bytes before each, makes tables of options of them, and gives those to
-- what takes some. Answers with a byte: 1, it was all right, 2, there was an error and it is one for an author.
-- An error of another kind is shown, and ends the process.
-- What is passed is of any type on purpose.
---@diagnostic disable: param-type-mismatch, need-check-nil, undefined-field
local harness = require "harness"
local recipes, search = harness.recipes, harness.search
local from, to, dir = arg[1], arg[2], arg[3]
local inputs, answers = assert(io.open(from, "rb")), assert(io.open(to, "wb"))
answers:setvbuf "no"

local KEYS = {}
for key in string.gmatch(arg[4], "%S+") do
  KEYS[#KEYS + 1] = key
end
-- What values are made of, beside the names of options and the bytes that came.
local WORDS = { "", ".", "auto", "all", "node", "cores", "local", "less", "more", "1 s", "2 MiB", "1e400 s", "0x10 min", "(%d+)", "%", "[a", "{ranks}",
  "a=b", "a\0b", "\xff", "é", "a b", "00000000000000000000000000000000", "compile_failed", "cycles", "tpe", "median", "random" }
local NUMBERS = { 0, 1, 2, -1, 0.5, -0.0, 1e-7, 1e308, math.huge, -math.huge, 0 / 0, math.maxinteger, math.mininteger, 2 ^ 31, 2 ^ 53, 4096, 65536, 256 }

local data, at
local function byte()
  local b = string.byte(data, at) or 0
  at = at + 1
  return b
end

local builds = compile { cmd = { "true" }, output = "a" }
local FUTURES = { submit(call { function() return 1 end }), submit(exec { cmd = { "true" } }), submit(builds) }
local hostile = setmetatable({}, { __index = function() error("asked", 0) end, __pairs = function() error("walked", 0) end,
  __len = function() error("counted", 0) end, __eq = function() error("compared", 0) end, __tostring = function() error("shown", 0) end, __name = 7 })
local named = setmetatable({ name = "n" }, { __name = "thing" })

local value
local function filled(depth, with_keys)
  local result = {}
  for i = 1, byte() % 6 do
    local key = with_keys and KEYS[byte() % #KEYS + 1] or i
    if byte() % 64 == 0 then key = value(3) end
    if key ~= nil and key == key then result[key] = value(depth + 1) end
  end
  return result
end
function value(depth)
  local b = byte()
  local sort, more = b % 16, b // 16
  if sort == 0 then return more % 2 == 0 end
  if sort <= 2 then return more end
  if sort == 3 then return NUMBERS[byte() % #NUMBERS + 1] end
  if sort <= 6 then return WORDS[byte() % #WORDS + 1] end
  if sort == 7 then return KEYS[byte() % #KEYS + 1] end
  if sort == 8 then
    local length = more
    at = at + length
    return string.sub(data, at - length, at - 1)
  end
  if sort == 9 then return string.rep(WORDS[byte() % #WORDS + 1], more * more * 8) end
  if sort == 10 then return function() return more end end
  if sort == 11 then return FUTURES[more % #FUTURES + 1] end
  if sort == 12 then
    local others = { hostile, named, builds, io.stdout, coroutine.create(print), print, harness, string }
    return others[more % #others + 1]
  end
  if depth > 6 then return nil end
  if sort == 13 then
    local whole = filled(depth, true)
    if more == 0 then whole.itself = whole end
    return whole
  end
  return filled(depth, sort == 14)
end

-- A whole folder is read where a recipe has one: this one is empty.
local function built(recipe)
  return function(options)
    if type(options) == "table" and not getmetatable(options) and options.dir then options.dir = dir end
    return submit(recipe(options))
  end
end
local function submitted(of)
  return function(options) return submit(of(options)) end
end
local function on_call(options)
  if type(options) == "table" and not getmetatable(options) then options[1] = options[1] or print end
  return submit(call(options))
end
-- Strategies are described and not begun: some would start a program, others draw all points there are.
local SEARCHES = { search.annealing, search.bandit, search.evolution, search.external, search.genetic, search.grid, search.halving,
  search.hill_climb, search.lhs, search.mcts, search.new, search.optuna, search.race, search.random, search.sequences, search.sobol }
local function searched(options, which) return SEARCHES[which % #SEARCHES + 1](options) end
local TAKERS = {
  submitted(exec), submitted(compile), submitted(measure), submitted(compare), on_call,
  submitted(exec), submitted(compile), submitted(measure), submitted(compare), on_call,
  spawn, built(recipes.make), built(recipes.cmake), built(recipes.cargo), searched, harness.budget, harness.results,
  function(options) return wait({ FUTURES[1] }, options) end,
}

answers:write "\0"
while true do
  local head = inputs:read(4)
  if not head then break end
  -- Nothing is not read: that would wait for what comes next.
  local length = string.unpack("<I4", head)
  data, at = length > 0 and inputs:read(length) or "", 1
  local which = byte()
  local taker = TAKERS[which % #TAKERS + 1]
  local given = { value(0) }
  if byte() % 4 > 0 or type(given[1]) ~= "table" then given = { filled(0, true) } end
  local ok, problem = pcall(taker, given[1], which // #TAKERS)
  local said = not ok and (type(problem) == "table" and problem.message or problem)
  local is_authors = ok or problem == "asked" or problem == "walked" or problem == "counted" or problem == "compared" or problem == "shown"
    or type(said) == "string" and utf8.len(said) and string.find(said, "^options%.lua:%d+: ") and not string.find(said, "internal", 1, true) and not string.find(said, "[harness]", 1, true)
  if not is_authors then
    io.stderr:write("no error for an author: ", tostring(said), "\n")
    os.exit(70, false)
  end
  answers:write(ok and "\1" or "\2")
end
