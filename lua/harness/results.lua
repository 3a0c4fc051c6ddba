-- `harness.results`: the measurements of this run, to choose from and to write down.
local _, lib = ...
local failure, options = lib.failure, lib.options

local M = {}
local all = {}

-- Figures that every run has, and those that some measurement of this run was asked for. The same for the
-- names of parameters. What is in neither was misspelt.
local figures, params_asked = {}, {}
for _, name in ipairs {
  "wall_s",
  "user_s",
  "sys_s",
  "maxrss_bytes",
  "minflt",
  "majflt",
  "nvcsw",
  "nivcsw",
  "inblock",
  "oublock",
  "t_start_s",
} do
  figures[name] = true
end

--- A measurement with these options was asked for.
function M.asked(o)
  for name in pairs(o.metrics or {}) do
    figures[name] = true
  end
  for name in pairs(o.params or {}) do
    params_asked[name] = true
  end
end

--- A measurement ended.
function M.add(record) all[#all + 1] = record end

local Results = { __name = "list of results" }
Results.__index = Results

function Results.__newindex() failure.raise("results are read-only: collect what you choose in a table of your own") end

local function of_records(list) return setmetatable(list, Results) end

--- The measurements that ended so far: { name =, status =, where = function(record) }.
function M.results(given)
  local o = options.check("results", given or {})
  local list = {}
  for _, r in ipairs(all) do
    if (o.name == nil or r.name == o.name) and (o.status == nil or r.status == o.status) and (not o.where or o.where(r)) then
      list[#list + 1] = r
    end
  end
  return of_records(list)
end

-- `name` if it is one of the known; a misspelt one is an error.
local function known(who, what, name, names)
  if type(name) ~= "string" and not names[name] then
    failure.raise(string.format("results:%s: expected the name of a %s, got %s", who, what, failure.a(name)))
  end
  if #all > 0 and not names[name] then
    local there = failure.sorted_keys(names)
    local are = #there > 0 and "there are " .. table.concat(there, ", ") or "no measurement has any"
    failure.raise(string.format("results:%s: %s; %s", who, failure.unknown(what, name, there), are))
  end
  return name
end

local function median(values)
  local copy = table.move(values, 1, #values, 1, {})
  table.sort(copy)
  local n = #copy
  if n == 0 then return nil end
  return n % 2 == 1 and copy[n // 2 + 1] or (copy[n // 2] + copy[n // 2 + 1]) / 2
end

-- The median of a figure in a record; none where there is no valid figure.
local function figure(record, name)
  if not record.ok then return nil end
  local metric = record.metrics[name]
  if metric then return metric.stats.median end
  if name == record.objective then return record.stats.median end
  return record.samples[name] and median(record.samples[name])
end
M.figure, M.median = figure, median

local function extreme(list, name, better)
  local best, best_value
  for _, record in ipairs(list) do
    local value = figure(record, name)
    if value and (not best or better(value, best_value)) then
      best, best_value = record, value
    end
  end
  return best, best_value
end

--- The record whose median of `name` is least, and that median; nil if no valid record has it.
function Results:min(name)
  failure.own(self, Results, "min")
  name = known("min", "figure", name or "wall_s", figures)
  return extreme(self, name, function(a, b) return a < b end)
end

--- The record whose median of `name` is largest, and that median.
function Results:max(name)
  failure.own(self, Results, "max")
  name = known("max", "figure", name or "wall_s", figures)
  return extreme(self, name, function(a, b) return a > b end)
end

--- The record whose median of its objective is best, and that median: what the measurement says which direction that is.
function Results:best()
  failure.own(self, Results, "best")
  local objective, better
  for _, record in ipairs(self) do
    if record.ok then
      objective, better = objective or record.objective, better or record.better
      if record.objective ~= objective or record.better ~= better then
        local text = "results:best: these have different objectives, %s (%s) and %s (%s): harness.results { name = ... }, or :min and :max"
        failure.raise(string.format(text, objective, better, record.objective, record.better))
      end
    end
  end
  return extreme(self, objective, function(a, b)
    if better == "more" then return a > b end
    return a < b
  end)
end

--- The records by their value of a parameter: { [value] = results }. Tables that say the same are one value.
function Results:group(param)
  failure.own(self, Results, "group")
  known("group", "parameter", param, params_asked)
  local groups = {}
  for _, record in ipairs(self) do
    local value = record.params and record.params[param]
    if value ~= nil then
      if type(value) == "table" then
        for other in pairs(groups) do
          if lib["sweep/values"].equal(other, value) then value = other end
        end
      end
      local group = groups[value] or of_records {}
      groups[value] = group
      rawset(group, #group + 1, record)
    end
  end
  return groups
end

-- The names that occur in one table of the records (`params`, `samples`, `metrics`), sorted.
local function names_in(list, field)
  local names = {}
  for _, record in ipairs(list) do
    for name in pairs(record[field] or {}) do
      names[name] = true
    end
  end
  return failure.sorted_keys(names)
end

local function text(value)
  if value == nil then return "" end
  if type(value) == "number" then return options.number_text(value) end
  return type(value) == "table" and failure.compact(value) or tostring(value)
end

-- Numbers before text before everything else, nothing last.
local RANK = { number = 1, string = 2, ["nil"] = 4 }
local function before(a, b)
  local rank_a, rank_b = RANK[type(a)] or 3, RANK[type(b)] or 3
  if rank_a ~= rank_b then return rank_a < rank_b end
  if rank_a == 3 then
    a, b = text(a), text(b)
  end
  return a ~= nil and a < b
end

-- The records by name and parameters; those that are alike in the order they ended.
local function in_order(list, params)
  local rows = {}
  for i, r in ipairs(list) do
    local row = { r.name, record = r, n = i }
    for at, name in ipairs(params) do
      row[at + 1] = r.params and r.params[name]
    end
    rows[i] = row
  end
  table.sort(rows, function(a, b)
    for at = 1, #params + 1 do
      if before(a[at], b[at]) then return true end
      if before(b[at], a[at]) then return false end
    end
    return a.n < b.n
  end)
  return rows
end

local function shortened(value) return value and string.format("%.6g", value) or "" end

local function objective(r)
  local unit = r.metrics[r.objective] and r.metrics[r.objective].unit
  return (r.objective or "") .. (unit and " " .. unit or "")
end

-- On one line and in one order: a newline is not a line of the table, and a mark of direction turns no name round.
local function visible(cell)
  local shown = string.gsub(cell, "%c", function(c) return string.format("\\x%02x", string.byte(c)) end)
  if not utf8.len(shown) then return shown end
  return (
    string.gsub(shown, utf8.charpattern, function(c)
      local code = utf8.codepoint(c)
      local turns = code == 0x61c or code == 0x200e or code == 0x200f
      turns = turns or code >= 0x2028 and code <= 0x202e or code >= 0x2066 and code <= 0x2069
      return turns and string.format("\\u{%x}", code) or nil
    end)
  )
end

local TITLES = { "status", "objective", "median", "ci low", "ci high", "n", "stop", "flags" }

--- A table for people: a line for each record, by name and parameters; figures of the objective.
function Results:table()
  failure.own(self, Results, "table")
  if #self == 0 then return "no measurements" end
  local params = names_in(self, "params")
  local lines = { { "name" } }
  for _, list in ipairs { params, TITLES } do
    for _, title in ipairs(list) do
      table.insert(lines[1], tostring(title))
    end
  end
  local numbers = {} -- columns in which everything is a number are aligned to the right
  for _, row in ipairs(in_order(self, params)) do
    local r = row.record
    local line = {}
    for at = 1, #params + 1 do
      line[at] = text(at == 1 and (r.name or r.kind) or row[at])
      if at > 1 and row[at] ~= nil then numbers[at] = type(row[at]) == "number" and numbers[at] ~= false end
    end
    local stats, ci = r.stats or {}, r.stats and r.stats.ci or {}
    for _, cell in ipairs {
      r.status,
      objective(r),
      shortened(stats.median),
      shortened(ci.lo),
      shortened(ci.hi),
      text(stats.n),
      text(r.stop_reason),
      table.concat(r.flags, " "),
    } do
      line[#line + 1] = cell
    end
    for at, cell in ipairs(line) do
      line[at] = visible(cell)
    end
    lines[#lines + 1] = line
  end
  for at = #params + 4, #params + 7 do
    numbers[at] = true
  end
  return M.aligned(lines, numbers)
end
Results.__tostring = Results.table

--- Lines of cells as text in columns, those of `numbers` aligned to the right.
function M.aligned(lines, numbers)
  local widths = {}
  for _, line in ipairs(lines) do
    for at, cell in ipairs(line) do
      widths[at] = math.max(widths[at] or 0, utf8.len(cell) or #cell)
    end
  end
  local out = {}
  for n, line in ipairs(lines) do
    local cells = {}
    for at, cell in ipairs(line) do
      local space = string.rep(" ", widths[at] - (utf8.len(cell) or #cell))
      cells[at] = numbers[at] and space .. cell or cell .. space
    end
    out[n] = string.gsub(table.concat(cells, "  "), "%s+$", "")
  end
  return table.concat(out, "\n")
end

local STATS = { "n", "min", "q1", "median", "q3", "max", "mean", "sd", "mad" }

-- Columns of a CSV file: { title, function(row, i) -> value }. A title that is there already gets its origin in
-- front: a parameter called `host` is the column `param.host`.
local function columns_of(params, own, metrics, of_metric)
  local taken, columns = { name = true }, { {
    "name",
    function(row) return row[1] end,
  } }
  for _, column in ipairs(own) do
    taken[column[1]] = true
  end
  local function title(origin, name)
    local given = tostring(name)
    if taken[given] then given = origin .. "." .. given end
    taken[given] = true
    return given
  end
  for at, name in ipairs(params) do
    columns[#columns + 1] = {
      title("param", name),
      function(row) return row[at + 1] end,
    }
  end
  for _, column in ipairs(own) do
    columns[#columns + 1] = column
  end
  for _, name in ipairs(metrics) do
    columns[#columns + 1] = {
      title("metric", name),
      function(row, i) return of_metric(row.record, name, i) end,
    }
  end
  return columns
end

local function field(name)
  return {
    name,
    function(row) return row.record[name] end,
  }
end

local function measurement_columns(list, params)
  local own = { field "status", field "host", field "objective", field "unit" }
  for _, name in ipairs(STATS) do
    own[#own + 1] = {
      name,
      function(row) return row.record.stats and row.record.stats[name] end,
    }
  end
  for _, name in ipairs { "lo", "hi", "level" } do
    own[#own + 1] = {
      "ci_" .. name,
      function(row)
        local stats = row.record.stats
        return stats and stats.ci and stats.ci[name]
      end,
    }
  end
  own[#own + 1] = field "stop_reason"
  own[#own + 1] = {
    "flags",
    function(row) return table.concat(row.record.flags, " ") end,
  }
  own[#own + 1] = {
    "same_as",
    function(row) return row.record.same_as and row.record.same_as.what end,
  }
  own[#own + 1] = field "reason"
  return columns_of(params, own, names_in(list, "metrics"), figure)
end

local function sample_columns(list, params)
  local own = { field "host", {
    "sample",
    function(_, i) return i end,
  } }
  return columns_of(
    params,
    own,
    names_in(list, "samples"),
    function(record, name, i) return record.samples[name] and record.samples[name][i] end
  )
end

local function quoted(value)
  local cell = text(value)
  if string.find(cell, '[",\n\r]') then return '"' .. string.gsub(cell, '"', '""') .. '"' end
  return cell
end

-- Those that were run themselves.
local function without_twins(list)
  local own = {}
  for _, r in ipairs(list) do
    if not r.same_as then own[#own + 1] = r end
  end
  return own
end

--- Writes a CSV file, a row for each measurement or for each of their samples; gives the number of rows. The samples of
--- measurements that share them stand there once.
function Results:csv(path, given)
  failure.own(self, Results, "csv")
  if type(path) ~= "string" then failure.raise("results:csv: expected the path of a file, got " .. failure.a(path)) end
  local o = options.check("csv", given or {})
  local params = names_in(self, "params")
  local samples = o.rows == "samples"
  local list = samples and without_twins(self) or self
  local columns = samples and sample_columns(list, params) or measurement_columns(list, params)
  local head, lines = {}, {}
  for at, column in ipairs(columns) do
    head[at] = quoted(column[1])
  end
  for _, row in ipairs(in_order(list, params)) do
    for i = 1, samples and #(row.record.samples.wall_s or {}) or 1 do
      local cells = {}
      for at, column in ipairs(columns) do
        cells[at] = quoted(column[2](row, i))
      end
      lines[#lines + 1] = table.concat(cells, ",")
    end
  end
  local file, problem = io.open(path, "w")
  local good = file and file:write(table.concat(head, ","), "\n", table.concat(lines, "\n"), #lines > 0 and "\n" or "")
  if file then
    local closed, why = file:close()
    if not (good and closed) then problem = string.format("%s: %s", path, why or "the disk may be full") end
  end
  if problem then failure.raise("results:csv: cannot write " .. problem) end
  return #lines
end

M.Results = Results
return M
