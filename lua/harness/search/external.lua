-- `search.external`: a program decides which point is next. `search.optuna` is one that harness brings.
--
-- The words of the protocol, which docs/search.md tells authors of such programs: what a space, a question and a trial are
-- there, and what an answer may be. How lines come to a program and back is the dialogue's business.
local _, lib = ...
local failure = lib.failure

local M = {}

local PROTOCOL = 1
-- A program that proposes so many known points in a row has nothing new.
local MOST_KNOWN = 200

-- What is wrong with the fields of an answer, if anything is.
local function misfit(answer, known)
  for _, name in ipairs(failure.sorted_keys(answer)) do
    local found = false
    for _, each in ipairs(known) do
      found = found or each == name
    end
    if not found then return failure.unknown("field", tostring(name), known) .. "; there are " .. table.concat(known, ", ") end
  end
end

local function check_hello(answer)
  if answer.protocol ~= PROTOCOL then
    return string.format('it is greeted in protocol %d, and has to answer {"protocol": %d}', PROTOCOL, PROTOCOL)
  end
  if answer.deterministic ~= nil and type(answer.deterministic) ~= "boolean" then return "'deterministic' is true or false" end
  return misfit(answer, { "protocol", "deterministic", "error" })
end

local function check_nothing(answer) return misfit(answer, { "error" }) end

-- Which of its three answers it is; nil, and what is wrong.
local function kind_of(answer)
  local problem = misfit(answer, { "params", "wait", "end", "error" })
  if problem then return nil, problem end
  local found = {}
  for _, name in ipairs { "params", "wait", "end" } do
    if answer[name] ~= nil then found[#found + 1] = name end
  end
  local name = #found == 1 and found[1]
  if name == "params" or name and answer[name] == true then return name end
  return nil, 'to "ask" it answers with one of {"params": {...}}, {"wait": true}, {"end": true}'
end

-- The place of what it proposes; nil, and what is wrong with it.
local function place(space, names, params)
  if type(params) ~= "table" or #params > 0 then return nil, "'params' is no object" end
  for _, name in ipairs(failure.sorted_keys(params)) do
    if not names[name] then return nil, failure.unknown("parameter", tostring(name), failure.sorted_keys(names)) .. " in 'params'" end
  end
  for _, name in ipairs(failure.sorted_keys(names)) do
    if params[name] == nil then return nil, string.format("'params' has no %s", failure.quoted(name)) end
  end
  local genome, missing = space:genome(params)
  if genome then return genome end
  local values = names[missing]
  local among = type(values) == "table" and ", which has " .. failure.compact(values) or ""
  return nil, string.format("%s = %s is not in the space%s", missing, failure.compact(params[missing]), among)
end

-- { [parameter] = its values, or true where they depend on others }
local function names_of(described)
  local names = {}
  for _, dimension in ipairs(described) do
    if dimension.name then names[dimension.name] = dimension.values or true end
    for name in next, dimension.points and dimension.points[1] or {} do
      names[name] = true
    end
  end
  return names
end

local function figures_of(study)
  local names = {}
  for i, objective in ipairs(study.objectives) do
    names[i] = objective.name
  end
  return #names > 0 and names or { "value" }
end

-- What became of a point, as it is told. Without a trial it was none: `where` leaves it out.
local function told(space, genome, score, note, entry)
  local trial = entry.trial
  local line = {
    ["do"] = "tell",
    id = note and note.id,
    params = space:point(genome),
    state = trial and trial.status or "failed",
  }
  if line.state == "ok" or line.state == "infeasible" then line.values = entry.values end
  if line.state == "infeasible" then line.violation = entry.violation end
  if line.state == "censored" and score < math.huge then line.values = { score } end
  return line
end

local function strategy_of(who, program, context, settings)
  local space, study = context.space, context.study
  local described = space:described()
  local names = names_of(described)
  local dialogue = lib["search/dialogue"].new(who, context.name, program)
  local asked, told_of, is_greeted, is_over = 0, 0, false, false
  local open = 0 -- points it has proposed and was not told of, as far as it was spoken to

  local function check_answer(answer)
    local what, problem = kind_of(answer)
    if what == "wait" and open == 0 then return "it waits for the end of a trial, and none is under way" end
    if what ~= "params" then return problem end
    open = open + 1
    local genome, why = place(space, names, answer.params)
    return not genome and why or nil
  end
  local function check_told(answer)
    open = open - 1
    return check_nothing(answer)
  end
  local function greet()
    if is_greeted then return end
    is_greeted = true
    dialogue:tell({
      ["do"] = "hello",
      protocol = PROTOCOL,
      name = context.name,
      seed = context.random:integer(0, 2 ^ 31 - 1),
      trials = context.trials,
      space = described,
      objectives = figures_of(study),
      constrained = next(study.at_most) ~= nil or next(study.at_least) ~= nil,
      options = settings or {},
    }, check_hello)
  end

  local strategy = { repeats = MOST_KNOWN }
  function strategy.ask()
    if lib.dry then return space:random(context.random) end
    greet()
    while not is_over and #study.list < space.size do
      asked = asked + 1
      local note, told_before = { id = asked }, told_of
      local answer = dialogue:ask({ ["do"] = "ask", id = note.id }, check_answer)
      if not answer then return nil end
      if answer.params then return (assert(space:genome(answer.params))), note end
      if answer["end"] then
        is_over = true
        dialogue:finish()
      end
      if told_of == told_before then return nil end -- else it can be asked again: what it waits for has come meanwhile
    end
  end
  function strategy:tell(genome, score, note, entry)
    if lib.dry then return end
    greet() -- before a point to begin with
    told_of = told_of + 1
    dialogue:tell(told(space, genome, score, note, entry), note and check_told or check_nothing)
  end
  function strategy.close(is_well) dialogue:close(is_well, { ["do"] = "end" }, check_nothing) end
  return strategy
end

--- A program of the author's: { cmd =, env =, cwd =, timeout =, stderr =, options = }.
function M.external(o, context)
  if not o.cmd or #o.cmd == 0 then
    failure.raise 'search.external: \'cmd\' is missing: the program and its arguments, cmd = { "python3", "tuner.py" }'
  end
  local program = { cmd = o.cmd, env = o.env, cwd = o.cwd, timeout = o.timeout, stderr = o.stderr }
  return strategy_of("search.external", program, context, o.options)
end

--- Optuna, which is no part of harness: { sampler =, settings =, python =, timeout =, stderr = }.
function M.optuna(o, context)
  if context.space.sequences then
    failure.raise "search.optuna: the space is one of sequences, for which Optuna has no parameters; genetic, mcts, hill_climb and annealing take them"
  end
  local program = { cmd = { o.python or "python3", "-m", "harness.optuna" }, timeout = o.timeout, stderr = o.stderr }
  local sampler = o.sampler or context.study.several and "nsga2" or "tpe"
  return strategy_of("search.optuna", program, context, { sampler = sampler, settings = o.settings or {} })
end

return M
