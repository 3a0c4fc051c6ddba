-- The end of `search.run`: the best of many noisy figures looks better than it is. The finalists are measured afresh, in
-- turns with one another and with a baseline, and what the search itself says is shrunk.
local host, lib = ...
local failure, flow, options, tasks = lib.failure, lib.flow, lib.options, lib.tasks
local studies = lib["search/study"]

local M = {}

-- Of so many trials it can be told how much of their spread is noise.
local LEAST_TRIALS = 5

local Result = { __name = "result of a search" }
M.Result = Result
local FIELDS = {}
for name in
  string.gmatch(
    "baseline best confirmed failures fresh front name over_baseline over_runner_up ranking runner_up search shrunk trials winner worth",
    "%S+"
  )
do
  FIELDS[name] = true
end
function Result.__index(_, key)
  if FIELDS[key] then return nil end
  failure.raise(failure.unknown("field", tostring(key), failure.sorted_keys(FIELDS)) .. " of the result of a search")
end

-- The standard error of the logarithm of a trial's median, from its own samples: that of the mean, times sqrt(pi / 2).
local function noise(trial)
  local stats = trial.record and trial.record.stats
  if not stats or stats.n < 2 or not (stats.mean > 0) then return nil end
  return math.sqrt(math.pi / 2) * stats.sd / stats.mean / math.sqrt(stats.n)
end

local function mean(list)
  local sum = 0
  for _, value in ipairs(list) do
    sum = sum + value
  end
  return sum / #list
end

--- What the best is on the whole, by the spread of the better half of the trials and by their noise: the figure of the
-- best, drawn towards their mean by as much of the spread as is noise (James and Stein; Efron and Morris, JASA 70
-- (1975), p. 311, on logarithms). nil where trials have no samples or no positive figures.
local function shrunk(ranking)
  local logs, variances = {}, {}
  for i = 1, math.max((#ranking + 1) // 2, math.min(#ranking, LEAST_TRIALS)) do
    local trial = ranking[i]
    local error = noise(trial)
    if not error or not trial.value or trial.value <= 0 then return nil end
    logs[i], variances[i] = math.log(trial.value), error ^ 2
  end
  if #logs < LEAST_TRIALS then return nil end
  local middle, squares = mean(logs), 0
  for _, value in ipairs(logs) do
    squares = squares + (value - middle) ^ 2
  end
  local of_points = math.max(squares / (#logs - 1) - mean(variances), 0)
  local part = of_points > 0 and of_points / (of_points + variances[1]) or 0
  return math.exp(middle + part * (logs[1] - middle))
end

-- What a comparison takes as well, and would take otherwise.
local NOT_FOR_ALL = { params = true, key = true, timeout = true, max_time = true, counters = true }

-- The options of a measurement as those of a variant, and those that are said of all.
local function split(given)
  local variant, common = {}, {}
  for key, value in pairs(given) do
    if options.VARIANT[key] then
      variant[key] = value
    elseif options.has("compare", key) and not NOT_FOR_ALL[key] then
      common[key] = value
    end
  end
  return variant, common
end

--- Was it asked for that finalists are measured afresh? `baseline` or `confirm`.
function M.asked_by(o)
  if o.confirm == false then return nil end
  return o.baseline and "baseline" or o.confirm and "confirm" or nil
end

--- Is it a measurement that was described, and not submitted?
function M.is_measure(value) return getmetatable(value) == lib.Task and value.kind == "measure" end

--- `evaluate` gave something that cannot be measured afresh.
function M.refuse(run, given)
  failure.raise(
    string.format(
      "search.run: option '%s': 'evaluate' gave %s, and only what it gives as measure{ ... }, not submitted, is measured afresh at the end",
      M.asked_by(run.o) or "confirm",
      failure.a(given)
    )
  )
end

-- How long a side of the comparison may take, by what its measurement may: that was for so many runs, and there are as many rounds at
-- the most. nil: it may take for ever.
local function time_for(measurement, o)
  local runs = measurement.runs or measurement.max_runs or options.UNSAID.max_runs
  return measurement.timeout and measurement.timeout * math.max(1, (o and o.max_rounds or options.UNSAID.max_rounds) / runs)
end

-- What `evaluate` would measure of a point, as options of a measurement; and how long its side may take.
local function measurement_of(run, point, trial)
  local task = run.o.evaluate(point, trial)
  if not M.is_measure(task) then M.refuse(run, task) end
  failure.is_submitted(task)
  return task.given, time_for(task.options, run.o.confirm)
end

local BASELINE = "baseline"

local function name_of(trial) return "trial " .. trial.id end

-- What is said of one side alone, with the point it is known by, what is said of all, the name, and how long the side may take.
local function side_of(run, point, trial)
  local params = lib.types.params(point) -- as it is before `evaluate` adds to it
  local given, seconds = measurement_of(run, point, trial)
  local variant, common = split(given)
  variant.params = variant.params or params
  return variant, common, given.name, seconds
end

-- Compares the finalists and the baseline: the record, and the name of its base.
local function compare(run, finalists, o)
  local study, variants, common, name, seconds = run.study, {}, nil, nil, 0
  local function add(side, point, trial)
    local variant, of_all, called, time = side_of(run, point, trial)
    variants[side], common, name = variant, common or of_all, name or called
    seconds = seconds and time and seconds + time -- one that may take for ever does so beside the others, too
  end
  for _, trial in ipairs(finalists) do
    add(name_of(trial), studies.point_for(trial), trial)
  end
  if run.o.baseline then add(BASELINE, run.o.baseline, finalists[1]) end
  local base = run.o.baseline and BASELINE or name_of(finalists[1])
  local asked = common
  for key, value in pairs(variants) do
    asked[key] = value
  end
  asked.base, asked[base] = variants[base], nil
  asked.timeout = seconds
  for key, value in pairs(o) do
    if key ~= "top" then asked[key] = value end
  end
  asked.name = (name and tostring(name) .. " " or "") .. "confirm"
  local objective = study.objectives[1]
  asked.objective = objective.name or asked.objective
  asked.better = objective.sign == -1 and "more" or nil
  local task = tasks.compare(asked)
  if run.o.baseline then task.options.search = { name = study.name } end
  return flow.await(lib.tasks.submit_to(run.pool, task)), base
end

-- What one variant is beside another, by the rounds that both ran in; nil where one failed.
local function beside(record, base, name, than)
  local function runs(which) return record.variants[which == base and "base" or which] end
  local mine, theirs = runs(name), runs(than)
  if not mine.ok or not theirs.ok then return nil end
  local objective, sides = mine.objective, 0
  for _ in pairs(record.variants) do
    sides = sides + 1
  end
  local found = host.across(
    { theirs.samples[objective] },
    { mine.samples[objective] },
    mine.better,
    sides,
    record.rounds,
    record.min_effect
  )
  return found.ratio and found or nil
end

-- The finalists that may win: those that are faster than the baseline beyond doubt, or else all that ran well. The
-- intervals hold for all of them together, so that to pick by these verdicts is no luck.
local function candidates(record, base, finalists, side)
  local ran, proven = {}, {}
  for _, trial in ipairs(finalists) do
    if side(trial).ok then ran[#ran + 1] = trial end
    local pair = base == BASELINE and beside(record, base, name_of(trial), base)
    if pair and pair.verdict == "faster" then proven[#proven + 1] = trial end
  end
  return #proven > 0 and proven or ran
end

-- Of those that may win the first in the search, unless another beats it beyond doubt: the one that does so by most. And
-- who came next, by the fresh medians.
local function winner_of(record, base, finalists)
  local function side(trial) return record.variants[name_of(trial) == base and "base" or name_of(trial)] end
  local able, most = candidates(record, base, finalists, side), nil
  local winner = able[1]
  for i = 2, #able do
    local pair = beside(record, base, name_of(able[i]), name_of(able[1]))
    if pair and pair.verdict == "faster" and (not most or pair.ratio > most) then
      winner, most = able[i], pair.ratio
    end
  end
  local function median(trial)
    local runs = side(trial)
    return runs.ok and runs.stats.median, runs.better
  end
  local second
  for _, trial in ipairs(finalists) do
    local own, better = median(trial)
    local than = second and median(second)
    if own and trial ~= winner and (not second or better == "more" and own > than or better ~= "more" and own < than) then
      second = trial
    end
  end
  return winner, second, winner and side(winner)
end

local function confirm(run, result)
  local o = run.o.confirm or {}
  local finalists = table.move(result.ranking, 1, math.min(o.top or 3, #result.ranking), 1, {})
  if #finalists + (run.o.baseline and 1 or 0) < 2 then return end
  local record, base = compare(run, finalists, o)
  result.confirmed = record
  if not record.ok then return end
  local winner, second, side = winner_of(record, base, finalists)
  if not winner then return end
  result.winner, result.fresh, result.worth = winner, side.stats.median, side.summary
  if run.o.baseline then
    result.over_baseline = beside(record, base, name_of(winner), BASELINE)
    result.baseline = record.variants.base.ok and record.variants.base.stats.median or nil
  end
  if second then
    result.runner_up = second
    result.over_runner_up = beside(record, base, name_of(winner), name_of(second))
  end
end

local function interval(pair)
  local text = string.format("%.3fx", pair.ratio)
  if pair.lo then text = text .. string.format(", 95 %% CI [%.3f, %.3f]", pair.lo, pair.hi) end
  return text .. ": " .. pair.verdict
end

local function point_text(trial) return failure.compact(trial.point) end

--- `3 verify_failed, 1 timeout`: the most frequent first.
function M.by_kind(failures)
  local kinds, parts = failure.sorted_keys(failures), {}
  table.sort(kinds, function(a, b)
    if failures[a] ~= failures[b] then return failures[a] > failures[b] end
    return a < b
  end)
  for i, kind in ipairs(kinds) do
    parts[i] = string.format("%d %s", failures[kind], kind)
  end
  return table.concat(parts, ", ")
end

function Result:__tostring()
  local lines = { tostring(self.search) }
  local function say(...) lines[#lines + 1] = string.format(...) end
  if next(self.failures) then say("without a figure: %s", M.by_kind(self.failures)) end
  if self.front then
    say("%d that no other is better than in all objectives:", #self.front)
    for _, trial in ipairs(self.front) do
      say("  %s", tostring(trial))
    end
    return table.concat(lines, "\n")
  end
  if not self.best then return table.concat(lines, "\n") .. "\nno trial is ok: " .. (studies.why(self.search) or "nothing was tried") end
  say(
    "best: %s, trial %d: %.6g%s",
    point_text(self.best),
    self.best.id,
    self.best.value,
    self.shrunk and string.format(", shrunk %.6g", self.shrunk) or ""
  )
  local record = self.confirmed
  if not record then
    local advice = self.best.record and "" or "; where `evaluate` gives tasks of `measure`, and no figures, the best are measured afresh"
    say("not confirmed: the best of many figures looks better than it is%s", advice)
  elseif not self.fresh then
    say("not confirmed: %s", record.ok and "no finalist ran well again" or record.summary)
  else
    local who = self.winner ~= self.best and string.format("%s, trial %d: ", point_text(self.winner), self.winner.id) or ""
    say("measured afresh: %s%s", who, self.worth)
    if self.over_baseline then say("  beside the baseline: %s", interval(self.over_baseline)) end
    local passed_over = self.over_baseline and self.winner ~= self.best and record.verdicts[name_of(self.best)]
    if passed_over and passed_over.ratio then say("  trial %d beside the baseline: %s", self.best.id, interval(passed_over)) end
    if self.over_runner_up then say("  beside the runner-up, %s: %s", point_text(self.runner_up), interval(self.over_runner_up)) end
  end
  return table.concat(lines, "\n")
end

--- The result of a search that is over.
function M.conclude(run)
  local study, o = run.study, run.o
  local result = setmetatable({ name = o.name, search = study, trials = study:trials(), failures = studies.failures(study) }, Result)
  if study.several then
    result.front = study:front()
    return result
  end
  result.ranking = studies.ranking(study)
  result.best = result.ranking[1]
  result.winner = result.best
  result.shrunk = shrunk(result.ranking)
  if o.confirm ~= false and result.best and (run.measured or o.confirm) then confirm(run, result) end
  return result
end

return M
