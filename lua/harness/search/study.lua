-- A search by ask and tell: which point next, and what came of it.
--
-- It keeps the trials, knows which is best, gives no point out twice, and hands results to the strategy as scores of which
-- lower is better. It runs nothing: who asks decides how many points are under way at once. It waits only where the space does.
local _, lib = ...
local failure, results, ends, flow = lib.failure, lib.results, lib.ends, lib.flow
local front = lib["search/front"]

local M = {}

-- So often a strategy may say what is known already before any point nobody has seen is taken.
local MOST_REPEATS, SINGLE_REPEATS = 50, 1000
-- Spaces of no more points are looked through for one that nobody has seen.
local FEW = 1000000
-- Trials that came so far before one is pruned.
local PRUNED_AFTER = 5

local Trial = { __name = "trial" }
local OPTIONAL = {}
for name in string.gmatch("value values reason budget block limit record", "%S+") do
  OPTIONAL[name] = true
end
-- Under this key lies what its author does not see: `genome`, `key`, `note` of the strategy, `study`, `score`.
local HIDDEN = {}

local function following(self, name)
  local value
  repeat
    name, value = next(self, name)
  until name ~= HIDDEN
  return name, value
end
function Trial:__pairs() return following, self, nil end
local function same(fields) return fields end

--- To a worker it travels as the plain table of its fields.
function Trial:__ship()
  local fields = {}
  for name, value in following, self do
    fields[name] = value
  end
  return same, fields
end

function Trial:__index(key)
  if Trial[key] ~= nil then return Trial[key] end
  if OPTIONAL[key] then return nil end
  failure.raise(
    failure.unknown("field", tostring(key), { "block", "budget", "id", "limit", "point", "record", "reason", "status", "value", "values" })
      .. " of a trial"
  )
end

local function number_text(value) return string.format("%.6g", value) end

function Trial:__tostring()
  local text = string.format("trial %d %s: %s", self.id, failure.compact(self.point), self.status)
  if self.value then return text .. " " .. number_text(self.value) end
  if self.values then return text .. " " .. failure.compact(self.values) end
  return text .. (self.reason and ": " .. self.reason or "")
end

local Study = { __name = "search" }
Study.__index = Study
M.Study, M.Trial = Study, Trial

local function complain(...) failure.raise("search: " .. string.format(...)) end

-- { { name =, sign = 1 or -1 }, ... }: minimised first. None: what is told is one number, or a record's own objective.
local function objectives(o)
  local list, seen = {}, {}
  for _, part in ipairs { { o.minimise, 1 }, { o.maximise, -1 } } do
    for _, name in ipairs(type(part[1]) == "table" and part[1] or { part[1] }) do
      if seen[name] then complain("'%s' is an objective twice", name) end
      seen[name] = true
      list[#list + 1] = { name = name, sign = part[2] }
    end
  end
  return list
end

-- The place of a point to begin with: one that a strategy could ask for as well.
local function start_at(space, i, point)
  local function refuse(...) complain("option 'start[%d]': %s: %s", i, failure.compact(point), string.format(...)) end
  for _, name in ipairs(failure.sorted_keys(point)) do
    if not space.parameters[name] then refuse("%s", failure.unknown("parameter", tostring(name), failure.sorted_keys(space.parameters))) end
  end
  local genome, missing = space:genome(point)
  if not genome and point[missing] == nil then refuse("it has no '%s'", missing) end
  if not genome then refuse("the space has no such value of '%s'", missing) end
  if not space:valid(genome) then refuse "`where` or `exclude` leaves it out of the space" end
  return genome
end

--- A search in `space` by `strategy`, a description (init.lua): options in normal form. `trials`: how many there will be;
-- `name`: what no other search of the script is called.
function M.new(o, space, strategy, random, trials, name)
  local study = setmetatable({
    space = space,
    single = strategy.single,
    random = random,
    objectives = objectives(o),
    at_most = o.at_most or {},
    at_least = o.at_least or {},
    list = {},
    seen = {},
    queue = {}, -- points to begin with; `queued`: the last of them that was taken
    queued = 0,
    running = 0,
    reports = {},
    first = {},
  }, Study)
  study.several = #study.objectives > 1
  if study.several and not strategy.several then
    complain(
      "strategy '%s' looks for one objective, and %d are given; genetic, random, grid, lhs and sobol take several",
      strategy.name,
      #study.objectives
    )
  end
  for i, point in ipairs(o.start or {}) do
    study.queue[i] = start_at(space, i, point)
  end
  study.strategy = strategy.new(strategy.options, { space = space, random = random, study = study, trials = trials, name = name })
  return study
end

-- What is known under this key takes the place of a trial: the strategy hears it at once, or when it is known.
local function repeated(study, known, genome, note)
  local of = known[HIDDEN]
  if known.status == "running" then
    of.also = of.also or {}
    table.insert(of.also, { genome, note })
  else
    study.strategy:tell(genome, of.score, note, of.entry, true)
  end
end

local function key_of(study, genome, note)
  local key = study.space:key(genome)
  if note and (note.budget or note.block) then key = string.format("%s@%s/%s", key, note.budget or "", note.block or "") end
  return key
end

-- How long a trial may take, by what the best one took; nil while that is not known.
local function time_limit(study)
  local record = study.incumbent and study.incumbent.record
  return record and record.elapsed_s and math.ceil(study.cutoff * record.elapsed_s * 1000) / 1000
end

local function begin(study, genome, note, key)
  local trial = setmetatable({
    id = #study.list + 1,
    point = study.space:point(genome),
    status = "running",
    budget = note and note.budget,
    block = note and note.block,
    limit = study.cutoff and time_limit(study) or nil,
  }, Trial)
  trial[HIDDEN] = { study = study, genome = genome, note = note, key = key, budget = note and note.budget or 0 }
  study.list[trial.id], study.seen[key] = trial, trial
  study.running = study.running + 1
  return trial
end

--- The point of a trial for `evaluate`, which may change it: the trial keeps the one that was asked for.
function M.point_for(trial)
  local of = trial[HIDDEN]
  return of.study.space:point(of.genome)
end

-- Any point that was not asked for yet, or nil.
local function unseen(study)
  local space = study.space
  for _ = 1, MOST_REPEATS do
    local genome = space:random(study.random)
    local key = space:key(genome)
    if not study.seen[key] then return genome, key end
  end
  if space.size > FEW then return nil end
  local genome = space:first()
  repeat
    local key = space:key(genome)
    if not study.seen[key] and space:valid(genome) then return genome, key end
  until not space:advance(genome)
end

local Turn = {
  __close = function(turn)
    turn.study.turn = nil
    ends.finish(turn.over, true)
  end,
}

-- Where the space waits, a strategy has one flow in it at a time; nil where it does not.
local function turn_in(study)
  if not study.space.waits then return nil end
  while study.turn do
    flow.await(study.turn.over)
  end
  study.turn = setmetatable({ study = study, over = ends.condition() }, Turn)
  return study.turn
end

--- The next trial, or nil: nothing is left, or (`self.running` is not 0) nothing before more is told.
function Study:ask()
  failure.own(self, Study, "ask")
  local turn <close> = turn_in(self)
  while self.queue[self.queued + 1] do
    self.queued = self.queued + 1
    local genome = self.queue[self.queued]
    local key = key_of(self, genome, nil)
    if not self.seen[key] then return begin(self, genome, nil, key) end
  end
  if self.exhausted then return nil end
  local repeats = self.strategy.repeats or self.single and SINGLE_REPEATS or MOST_REPEATS
  for _ = 1, repeats do
    local genome, note = self.strategy:ask()
    if not genome then return nil end
    local key = key_of(self, genome, note)
    local known = self.seen[key]
    if known then
      repeated(self, known, genome, note)
    elseif self.space:valid(genome) then
      return begin(self, genome, note, key)
    else
      self.strategy:tell(genome, math.huge, note, { violation = math.huge })
    end
  end
  local genome, key
  if not self.single then
    genome, key = unseen(self)
  end
  if genome then return begin(self, genome, nil, key) end
  self.exhausted = self.running == 0 and repeats
end

-- The direction of a single objective without a name is that of the first record.
local function only_objective(study, better)
  local only = study.objectives[1]
  if not only then
    only = { sign = better == "more" and -1 or 1 }
    study.objectives[1] = only
  end
  return only
end

local function in_record(record, name)
  local value
  if record.metrics then
    value = results.figure(record, name)
  else
    value = record[name]
  end
  if type(value) ~= "number" then complain("the record of %s has no figure %s", record.name or "the task", failure.quoted(name)) end
  return value
end

local VERB = { [1] = "minimise", [-1] = "maximise" }

--- What says in which direction a metric is better says the same as the search: `better` may be nil.
function M.check_direction(objective, better)
  if not better or (better == "more") == (objective.sign == -1) then return end
  local verb, name = VERB[objective.sign], objective.name
  complain(
    '%s = "%s", and of this metric %s is better: say %s = "%s" or, in its metric, better = "%s"',
    verb,
    name,
    better,
    VERB[-objective.sign],
    name,
    objective.sign == -1 and "more" or "less"
  )
end

-- The figures that count, by name: of a number, of a table of numbers, of a record of a measurement.
local function figures(study, told)
  local named = study.objectives[1] and study.objectives[1].name
  if type(told) == "number" then
    if study.several or next(study.at_most) or next(study.at_least) then
      complain "several figures count: tell a table of numbers by their names"
    end
    only_objective(study)
    return { [named or "value"] = told }
  end
  local is_record = getmetatable(told) == failure.Record
  if type(told) ~= "table" or not is_record and failure.is_object(told) then
    complain("tell: expected a number, numbers by name or the record of a measurement, got %s", failure.a(told))
  end
  local found = {}
  local function look(name)
    if is_record then
      found[name] = in_record(told, name)
    elseif type(told[name]) ~= "number" then
      complain("tell: '%s' is missing, or no number", name)
    else
      found[name] = told[name]
    end
  end
  if not named then
    if not is_record or not told.stats then complain 'tell: which figure counts? Give the search minimise = "NAME" or maximise = "NAME"' end
    only_objective(study, told.better)
    found.value = told.stats.median
  end
  for _, objective in ipairs(named and study.objectives or {}) do
    look(objective.name)
    local metric = is_record and told.metrics and told.metrics[objective.name]
    -- Of a record nobody can tell whether "less" was said or not.
    if metric and metric.better == "more" then M.check_direction(objective, "more") end
  end
  for _, limits in ipairs { study.at_most, study.at_least } do
    for name in next, limits do
      look(name)
    end
  end
  return found
end

-- How far beyond its limits, each as a part of the limit; 0 is within.
local function violation(study, values)
  local sum = 0
  for name, limit in next, study.at_most do
    sum = sum + math.max(0, values[name] - limit) / math.max(math.abs(limit), 1e-12)
  end
  for name, limit in next, study.at_least do
    sum = sum + math.max(0, limit - values[name]) / math.max(math.abs(limit), 1e-12)
  end
  return sum
end

local function is_better(study, trial, than)
  if not than then return true end
  local mine, theirs = trial[HIDDEN], than[HIDDEN]
  if mine.budget ~= theirs.budget then return mine.budget > theirs.budget end
  return mine.score < theirs.score
end

-- What strategies hear: `values`, lower is better in each, and `violation`.
local function judge(study, trial, told)
  local of, values = trial[HIDDEN], figures(study, told)
  for _, value in next, values do
    if value ~= value or math.abs(value) == math.huge then return "a figure is not a finite number" end
  end
  local entry = { values = {}, violation = violation(study, values), key = of.key }
  for i, objective in ipairs(study.objectives) do
    entry.values[i] = objective.sign * values[objective.name or "value"]
  end
  if #study.objectives == 1 then trial.value = values[study.objectives[1].name or "value"] end
  if study.several or next(values) ~= "value" then trial.values = values end
  of.entry, of.score = entry, entry.violation > 0 and math.huge or entry.values[1]
  trial.status = entry.violation > 0 and "infeasible" or "ok"
end

local ENDS = { ok = true, failed = true, pruned = true, censored = true }

-- A bound, "at least this", where a run was ended before it had a figure.
local function censor(study, trial, bound)
  local of = trial[HIDDEN]
  if bound == nil then return end
  if type(bound) ~= "number" or study.several then complain "tell: what is censored has one number: the figure is beyond it" end
  local only = only_objective(study)
  of.score, trial.value = only.sign * bound, bound
end

-- The best, the front and what later trials are pruned by.
local function keep(study, trial, of)
  if trial.status ~= "ok" then return end
  if study.several then
    front.add(study.first, trial, of.entry.values)
  elseif is_better(study, trial, study.incumbent) then
    study.incumbent = trial
  end
  for step, value in next, of.reported or {} do
    study.reports[step] = study.reports[step] or {}
    table.insert(study.reports[step], value)
  end
end

-- The strategy learns what came of a trial, and of those that were asked for while it was under way.
local function hear(study, of)
  local turn <close> = turn_in(study)
  study.strategy:tell(of.genome, of.score, of.note, of.entry)
  for _, other in ipairs(of.also or {}) do
    study.strategy:tell(other[1], of.score, other[2], of.entry, true)
  end
  of.also = nil
end

--- What came of a trial: a number, numbers by name or a record; or why there is none: "failed", "pruned", "censored".
function Study:tell(which, told, status, reason)
  failure.own(self, Study, "tell")
  local trial = type(which) == "number" and self.list[which] or which
  if getmetatable(trial) ~= Trial or trial[HIDDEN].study ~= self then
    complain("tell: expected a trial that ask gave, or its id, got %s", failure.a(which))
  end
  if trial.status ~= "running" then complain("tell: trial %d has been told: %s", trial.id, trial.status) end
  status = status or told == nil and "failed" or "ok"
  if not ENDS[status] then complain('tell: expected "ok", "failed", "pruned" or "censored", got %s', failure.a(status)) end
  local of = trial[HIDDEN]
  of.score, of.entry = math.huge, nil
  if status == "ok" then
    local why = judge(self, trial, told)
    if why then
      trial.status, reason, of.score = "failed", why, math.huge
    end
  else
    trial.status = status
    if status == "censored" then censor(self, trial, told) end
  end
  trial.reason = reason
  keep(self, trial, of)
  of.entry = of.entry or { violation = math.huge, key = of.key }
  of.entry.trial = trial
  local ok, problem = pcall(hear, self, of)
  self.running = self.running - 1
  if not ok then error(problem, 0) end
  return trial
end

-- The newest trial of a genome that is ok.
local function last_of(study, genome)
  local key = study.space:key(genome)
  for i = #study.list, 1, -1 do
    local trial = study.list[i]
    if trial.status == "ok" and study.space:key(trial[HIDDEN].genome) == key then return trial end
  end
end

--- The best trial, nil while none is ok; of a race the last one of who leads.
function Study:best()
  failure.own(self, Study, "best")
  if self.several then complain "several objectives have no best trial: front() gives those that no other is better than in all" end
  local standing = self.strategy.standing and self.strategy:standing() or {}
  return standing[1] and last_of(self, standing[1]) or self.incumbent
end

--- The trials that no other is better than in all objectives, in the order they were asked for.
function Study:front()
  failure.own(self, Study, "front")
  if not self.several then return { self:best() } end
  return front.trials(self.first)
end

--- All trials, in the order they were asked for.
function Study:trials()
  failure.own(self, Study, "trials")
  return table.move(self.list, 1, #self.list, 1, {})
end

-- After an error there is nothing more to say to a program that decides.
function Study:__close(problem)
  if self.strategy.close then self.strategy.close(problem == nil) end
end

--- Ends the program that decides, if one does, once it has heard everything. The end of the script does so too.
function Study:close()
  failure.own(self, Study, "close")
  self:__close()
end

--- The trials that are ok with the most budget, best first, one of each point; of a race those who are left, by their places.
function M.ranking(study)
  local list = {}
  for i, genome in ipairs(study.strategy.standing and study.strategy:standing() or {}) do
    list[i] = last_of(study, genome)
  end
  if #list > 0 then return list end
  local budget, places = study.incumbent and study.incumbent.budget, {}
  for _, trial in ipairs(study.list) do
    if trial.status == "ok" and trial.budget == budget then
      local key = study.space:key(trial[HIDDEN].genome)
      if not places[key] then
        places[key] = #list + 1
        list[#list + 1] = trial
      elseif trial[HIDDEN].score < list[places[key]][HIDDEN].score then
        list[places[key]] = trial
      end
    end
  end
  table.sort(list, function(a, b)
    if a[HIDDEN].score ~= b[HIDDEN].score then return a[HIDDEN].score < b[HIDDEN].score end
    return a.id < b.id
  end)
  return list
end

--- A figure on the way, of this step (the next unless said). True: it is worse than the median of those that ended well
-- had at this step, so that the trial may be given up (the median rule of Vizier: Golovin et al., KDD 2017).
function Trial:report(value, step)
  failure.own(self, Trial, "report")
  local of = self[HIDDEN]
  local study = of.study
  if study.several then complain "report: with several objectives nothing is pruned" end
  if type(value) ~= "number" or value ~= value then complain("report: expected a number, got %s", failure.a(value)) end
  of.steps = step or (of.steps or 0) + 1
  of.reported = of.reported or {}
  local signed = only_objective(study).sign * value
  of.reported[of.steps] = signed
  local others = study.reports[of.steps]
  return others ~= nil and #others >= PRUNED_AFTER and signed > results.median(others)
end

--- How many trials have no figure that counts, by kind: of those that failed what their reason begins with, a task's status or
-- a word before a colon.
function M.failures(study)
  local counts = {}
  for _, trial in ipairs(study.list) do
    if trial.status ~= "ok" and trial.status ~= "running" then
      local told = trial.status == "failed" and string.match((trial.reason or "") .. ":", "^([%a_][%w_]*):")
      local kind = told or trial.status
      counts[kind] = (counts[kind] or 0) + 1
    end
  end
  return counts
end

--- Why the first trial that failed did, or nil.
function M.why(study)
  for _, trial in ipairs(study.list) do
    if trial.status ~= "ok" then return trial.reason or trial.status end
  end
end

function Study:__tostring()
  local counts = {}
  for _, trial in ipairs(self.list) do
    counts[trial.status] = (counts[trial.status] or 0) + 1
  end
  local parts = {}
  for _, status in ipairs(failure.sorted_keys(counts)) do
    parts[#parts + 1] = counts[status] .. " " .. status
  end
  local text = string.format("search of %d trials (%s)", #self.list, table.concat(parts, ", "))
  if not self.strategy.repeats or not self.exhausted then return text end
  return string.format("%s; over, as the last %d points proposed were known", text, self.exhausted)
end

return M
