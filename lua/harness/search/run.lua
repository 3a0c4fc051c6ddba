-- `search.run`: a search that evaluates by itself. So many flows ask, evaluate and tell, each on its own: no barrier, and
-- since flows go on in the order in which tasks ended, a second run from the journal asks for the same points.
local host, lib = ...
local failure, flow, ends, options = lib.failure, lib.flow, lib.ends, lib.options
local studies, confirm = lib["search/study"], lib["search/confirm"]

local M = {}

local function complain(...) failure.raise("search.run: " .. string.format(...)) end

-- The trials it is limited to, and what else.
local function budget_of(given)
  if given == nil or getmetatable(given) == lib.budget.Budget then return nil, given end
  if type(given) == "number" then given = { trials = given } end
  if type(given) ~= "table" then complain("option 'budget': expected a number of trials or a table of limits, got %s", failure.a(given)) end
  local limits = options.check("search.run: budget", given, false, "budget")
  local trials = limits.trials
  limits.trials = nil
  return trials, next(limits) and lib.budget.budget(limits) or nil
end

-- Two for each node: while one point is measured the next is built.
local function width_of(o)
  if o.in_flight then return o.in_flight end
  local pool = o.pool and o.pool.id or lib.pools.newest "search.run"
  return 2 * #lib.pools.hosts(pool)
end

local Run = {}
Run.__index = Run

-- What a task or a call came to that went wrong by itself, as the trial's end.
local function fail(study, trial, kind, reason)
  study:tell(trial, nil, kind == "pruned" and "pruned" or "failed", kind .. (reason and ": " .. reason or ""))
end

-- The bound that a cutoff gives: so many times the best figure, where less is better.
local function bound_of(study)
  local best = study.incumbent
  local figure = best and best.value
  return figure and figure > 0 and study.objectives[1].sign == 1 and study.cutoff * figure or nil
end

local function tell_record(study, trial, record, limited)
  trial.record = record
  if record.ok then return study:tell(trial, record) end
  if record.status == "timeout" and limited then
    return study:tell(trial, bound_of(study), "censored", string.format("more than %.3g s, the cutoff", trial.limit))
  end
  local culprit = record.cause or record
  fail(study, trial, culprit.status or record.status, culprit.reason and string.match(culprit.reason, "[^\n]*"))
end

-- A metric that is searched by is better in the direction of the search: so its records say, which all are judged by.
local function direct(run, o)
  for _, objective in ipairs(run.study.objectives) do
    local metric = objective.name and o.metrics and o.metrics[objective.name]
    if metric then
      studies.check_direction(objective, o.objective == objective.name and o.better or metric.better)
      metric.better = metric.better or objective.sign == -1 and "more" or nil
    end
  end
end

-- Sends a task that `evaluate` described; is the time it has that of the cutoff?
local function send(run, task, trial)
  local o, limited = task.options, false
  if task.kind == "measure" then direct(run, o) end
  if trial.limit and (not o.timeout or o.timeout > trial.limit) then
    o.timeout, limited = trial.limit, true
  end
  if task.kind == "measure" then run.measured = true end
  o.search = { name = run.study.name, trial = trial.id }
  return lib.tasks.submit_to(run.pool, task), limited
end

-- What `evaluate` gave, awaited if it is to be; before it: was its time that of the cutoff?
local function outcome(run, trial, value, ...)
  local limited = false
  local has_failed = getmetatable(value) == failure.Record and not value.ok
  local has_figure = value ~= nil and not has_failed and (... == nil or ... == "ok")
  if has_figure and confirm.asked_by(run.o) and not confirm.is_measure(value) then confirm.refuse(run, value) end
  if getmetatable(value) == lib.Task then
    value, limited = send(run, value, trial)
  end
  if getmetatable(value) ~= ends.Future then return limited, value, ... end
  local future <close> = value -- whoever cancels the search cancels its tasks
  return limited, flow.await(future)
end

local NOTHING = "'evaluate' gave nil: is a `return` missing?"

local function hear(run, trial, ok, limited, value, ...)
  if ok and value == nil and select("#", ...) == 0 then return run.study:tell(trial, nil, "failed", NOTHING) end
  if ok and getmetatable(value) == failure.Record then return tell_record(run.study, trial, value, limited) end
  if ok then return run.study:tell(trial, value, ...) end
  local problem = limited
  if type(problem) == "string" then problem = string.format("%s (of the point %s)", problem, failure.compact(trial.point)) end
  if getmetatable(problem) ~= failure.Error then error(problem, 0) end
  fail(run.study, trial, problem.kind, string.match(problem.message, "[^\n]*"))
end

local function evaluate(run, trial)
  hear(run, trial, pcall(function() return outcome(run, trial, run.o.evaluate(studies.point_for(trial), trial)) end))
end

function Run:may_ask()
  if self.trials and #self.study.list + self.asking >= self.trials then return false end
  return not self.budget or not self.budget:done()
end

-- One of those that ask: until nothing is left.
function Run:lane()
  local study = self.study
  while self:may_ask() and not self.raised do
    self.asking = self.asking + 1
    local trial = study:ask()
    self.asking = self.asking - 1
    if trial then
      evaluate(self, trial)
      local bell = self.bell
      self.bell = ends.condition()
      ends.finish(bell, true)
    elseif study.running == 0 then
      break
    else
      flow.await(self.bell)
    end
  end
end

-- What it raises is raised by `search.run`, at the author's line: the first of them, and the others stop.
function Run:try_lane()
  local ok, problem = pcall(self.lane, self)
  self.left = self.left - 1
  if not ok and not self.raised then self.raised = { problem } end
  if (not ok or self.left == 0) and not self.over.ended then ends.finish(self.over, true) end
end

-- What the library itself says in a lane has no line of the author's.
local function raise(problem)
  if type(problem) ~= "string" or string.find(problem, "^[^\n]-:%d+: ") then error(problem, 0) end
  failure.raise(problem)
end

-- However it ends, nothing of it goes on; a program that decides has heard all there was, or ends as it is.
local Lanes = {
  __close = function(lanes)
    for _, lane in ipairs(lanes) do
      lane:cancel()
    end
    host.searches(-1)
    lanes.study:__close(true)
  end,
}

-- Lets all of its lanes go on until nothing is left to ask for.
local function search(run)
  local lanes <close> = setmetatable({ study = run.study }, Lanes)
  host.searches(1) -- how much is left nobody knows meanwhile
  for i = 1, run.left do
    lanes[i] = flow.go(run.try_lane, run)
  end
  flow.await(run.over)
  if run.raised then raise(run.raised[1]) end
  run.study:close()
end

--- See docs/search.md.
function M.run(begin, o)
  if not o.evaluate then complain "'evaluate' is missing: a function of a point that gives a task, a future or a figure" end
  if o.pool and getmetatable(o.pool) ~= lib.pools.Pool then complain("option 'pool': expected a pool, got %s", failure.a(o.pool)) end
  local trials, budget = budget_of(o.budget)
  local study, strategy = begin(o, trials)
  if not trials and not budget and not strategy.ends then
    complain "'budget' is missing: a number of trials, or such as { trials = 100, seconds = \"1 h\" }"
  end
  if study.several and confirm.asked_by(o) then
    complain("option '%s': with several objectives nothing is measured afresh: choose from the front", confirm.asked_by(o))
  end
  study.cutoff = o.cutoff
  local run = setmetatable({ study = study, o = o, trials = trials, budget = budget, asking = 0, bell = ends.condition() }, Run)
  run.pool = o.pool and o.pool.id or nil
  run.left, run.over = width_of(o), ends.condition()
  search(run)
  return confirm.conclude(run)
end

return M
