-- `harness.search`: adaptive search. What an author sees of it: strategies by name, a search by ask and tell, and
-- `run`, which does all of it.
local _, lib = ...
local failure, options = lib.failure, lib.options
local samplers, climbing, evolution = lib["search/samplers"], lib["search/climbing"], lib["search/evolution"]
local external, racing = lib["search/external"], lib["search/racing"]

local M = {}

-- `new` makes one, `kind` is that of its options, `several`: it takes several objectives, `single`: a trial of it is not all that
-- is to know of a point, so that it is none for an ensemble, `ends`: it comes to an end by itself.
local STRATEGIES = {
  annealing = { new = climbing.annealing, kind = "annealing" },
  bandit = { new = lib["search/bandit"].bandit, kind = "bandit" },
  evolution = { new = evolution.evolution, kind = "evolution" },
  external = { new = external.external, kind = "external", several = true, single = true },
  genetic = { new = evolution.genetic, kind = "genetic", several = true },
  grid = { new = samplers.grid, several = true, ends = true },
  halving = { new = racing.halving, kind = "halving", single = true },
  hill_climb = { new = climbing.hill_climb, kind = "climb" },
  lhs = { new = samplers.lhs, kind = "lhs", several = true },
  mcts = { new = lib["search/tree"].mcts, kind = "mcts", ends = true },
  optuna = { new = external.optuna, kind = "optuna", several = true, single = true },
  race = { new = racing.race, kind = "race", single = true, ends = true },
  random = { new = samplers.random, several = true },
  sobol = { new = samplers.sobol, several = true },
}

local Strategy = { __name = "strategy" }
Strategy.__index = Strategy
function Strategy:__tostring() return self.name end

local function describe(name, o)
  local known = STRATEGIES[name]
  return setmetatable(
    { name = name, options = o, new = known.new, several = known.several, single = known.single, ends = known.ends },
    Strategy
  )
end

local names = failure.sorted_keys(STRATEGIES)
for name, known in pairs(STRATEGIES) do
  M[name] = function(given)
    local who = "search." .. name
    if known.kind then return describe(name, options.check(who, given or {}, false, known.kind)) end
    if given ~= nil then failure.raise(who .. ": it takes no options") end
    return describe(name, {})
  end
end

-- A strategy by its name, or as one of the functions made it.
local function strategy_of(given)
  if getmetatable(given) == Strategy then return given end
  if type(given) == "string" and STRATEGIES[given] then return describe(given, {}) end
  local expected = "there are " .. table.concat(names, ", ") .. ", and search.NAME{ options }"
  if type(given) == "string" then failure.raise(string.format("search: %s; %s", failure.unknown("strategy", given, names), expected)) end
  failure.raise(string.format("search: option 'strategy': expected a name, got %s; %s", failure.a(given), expected))
end

-- Those of an ensemble are made from their names, with the options they have by default.
local function with_ensemble(strategy)
  if strategy.name ~= "bandit" then return strategy end
  for _, name in ipairs(strategy.options.strategies or {}) do
    local known = STRATEGIES[name]
    if not known or known.single or name == "bandit" then
      local why = known and failure.quoted(name) .. " cannot be one of several" or failure.unknown("strategy", name, names)
      failure.raise("search.bandit: option 'strategies': " .. why)
    end
  end
  local function new(o, context)
    return lib["search/bandit"].bandit(o, context, function(name) return STRATEGIES[name].new({}, context) end)
  end
  return setmetatable({ name = "bandit", options = strategy.options, new = new }, Strategy)
end

-- By name of a search, how many there were: each has random numbers of its own.
local begun = {}

-- A search whose options are in normal form; `trials`: how many there will be, if that is known.
local function begin(o, trials)
  if o.space == nil then failure.raise "search: 'space' is missing: lists by name, a sweep or search.sequences" end
  local space = getmetatable(o.space) == lib["search/sequences"].Sequences and o.space or lib["search/space"].new(o.space)
  local several = type(o.minimise) == "table" or type(o.maximise) == "table" or o.minimise and o.maximise
  local strategy = strategy_of(o.strategy or several and "genetic" or "bandit")
  local name = o.name or "search"
  begun[name] = (begun[name] or 0) + 1
  local own_name = string.format("search %s %d", name, begun[name])
  local study = lib["search/study"].new(o, space, with_ensemble(strategy), lib.random.random(own_name), trials, own_name)
  -- What its records call it.
  study.name = begun[name] == 1 and name or string.format("%s %d", name, begun[name])
  return study, strategy
end

--- A search by ask and tell.
function M.new(given) return (begin(options.check("search.new", given, false, "search"))) end

--- Asks, evaluates with every worker busy, tells, until the budget is spent; then confirms what it found.
function M.run(given) return lib["search/run"].run(begin, options.check("search.run", given, false, "searchRun")) end

--- What several searches came to, as text: a row for each.
function M.table(results) return lib["search/table"].text(results) end

--- The space of sequences of actions.
function M.sequences(given) return lib["search/sequences"].new(given) end

package.loaded["harness.search"] = M
return M
