-- `harness.results`: the measurements of this run, to choose from and to write down.
local host, lib = ...
local failure = lib.failure

local M = {}
local all = {}

function M.add(record)
  all[#all + 1] = record
end

local Results = { __name = "results" }
Results.__index = Results

--- The measurements that ended so far: { name =, status =, where = function(record) }.
function M.results(given)
  local o = lib.options.check("results", given or {})
  local list = {}
  for _, r in ipairs(all) do
    if (o.name == nil or r.name == o.name) and (o.status == nil or r.status == o.status) and (not o.where or o.where(r)) then
      list[#list + 1] = r
    end
  end
  return setmetatable(list, Results)
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

local function extreme(list, name, better)
  local best, best_value
  for _, record in ipairs(list) do
    local value = figure(record, name)
    if value and (not best or better(value, best_value)) then best, best_value = record, value end
  end
  return best, best_value
end

--- The record whose median of `name` is least, and that median; nil if no valid record has it.
function Results:min(name)
  return extreme(self, name or "wall_s", function(a, b) return a < b end)
end

--- The record whose median of `name` is largest, and that median.
function Results:max(name)
  return extreme(self, name or "wall_s", function(a, b) return a > b end)
end

--- The records by their value of a parameter: { [value] = results }.
function Results:group(param)
  local groups = {}
  for _, record in ipairs(self) do
    local value = record.params and record.params[param]
    if value ~= nil then
      groups[value] = groups[value] or setmetatable({}, Results)
      table.insert(groups[value], record)
    end
  end
  return groups
end

-- The names that occur in one table of the records (`params`, `samples`), sorted.
local function names_in(list, field)
  local names, seen = {}, {}
  for _, record in ipairs(list) do
    for name in pairs(record[field] or {}) do
      name = tostring(name)
      if not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  table.sort(names)
  return names
end

local function text(value)
  if value == nil then return "" end
  if math.type(value) == "float" then return string.format("%.6g", value) end
  return tostring(value)
end

--- A table for people: a line for each record, figures of the objective.
function Results:table()
  local params = names_in(self, "params")
  local rows = { { "name", table.unpack(params) } }
  for _, title in ipairs { "status", "median", "ci low", "ci high", "n", "stop" } do table.insert(rows[1], title) end
  for _, r in ipairs(self) do
    local row = { text(r.name) }
    for _, name in ipairs(params) do row[#row + 1] = text(r.params and r.params[name]) end
    local stats, ci = r.stats or {}, r.stats and r.stats.ci or {}
    for _, value in ipairs { r.status, text(stats.median), text(ci.lo), text(ci.hi), text(stats.n), text(r.stop_reason) } do
      row[#row + 1] = value
    end
    rows[#rows + 1] = row
  end
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, utf8.len(cell) or #cell) end
  end
  local lines = {}
  for n, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do cells[i] = cell .. string.rep(" ", widths[i] - (utf8.len(cell) or #cell)) end
    lines[n] = (string.gsub(table.concat(cells, "  "), "%s+$", ""))
  end
  return table.concat(lines, "\n")
end
Results.__tostring = Results.table

local function quoted(value)
  local cell = value == nil and "" or math.type(value) == "float" and string.format("%.17g", value) or tostring(value)
  if string.find(cell, '[",\n\r]') then return '"' .. string.gsub(cell, '"', '""') .. '"' end
  return cell
end

local STATS = { "n", "min", "q1", "median", "q3", "max", "mean", "sd", "mad" }

local function measurement_rows(list, params)
  local head = { "name", table.unpack(params) }
  for _, title in ipairs { "status", "host", "objective" } do head[#head + 1] = title end
  for _, title in ipairs(STATS) do head[#head + 1] = title end
  for _, title in ipairs { "ci_lo", "ci_hi", "ci_level", "stop_reason", "reason" } do head[#head + 1] = title end
  local rows = { head }
  for _, r in ipairs(list) do
    local row, n = { quoted(r.name) }, 1
    local function add(value)
      n = n + 1
      row[n] = quoted(value)
    end
    for _, name in ipairs(params) do add(r.params and r.params[name]) end
    add(r.status) add(r.host) add(r.objective)
    for _, title in ipairs(STATS) do add(r.stats and r.stats[title]) end
    local ci = r.stats and r.stats.ci or {}
    add(ci.lo) add(ci.hi) add(ci.level) add(r.stop_reason) add(r.reason)
    rows[#rows + 1] = row
  end
  return rows
end

local function sample_rows(list, params)
  local metrics = names_in(list, "samples")
  local head = { "name", table.unpack(params) }
  head[#head + 1] = "host"
  head[#head + 1] = "sample"
  for _, name in ipairs(metrics) do head[#head + 1] = name end
  local rows = { head }
  for _, r in ipairs(list) do
    for i = 1, #(r.samples and r.samples.wall_s or {}) do
      local row = { quoted(r.name) }
      for _, name in ipairs(params) do row[#row + 1] = quoted(r.params and r.params[name]) end
      row[#row + 1] = quoted(r.host)
      row[#row + 1] = quoted(i)
      for _, name in ipairs(metrics) do row[#row + 1] = quoted(r.samples[name] and r.samples[name][i]) end
      rows[#rows + 1] = row
    end
  end
  return rows
end

--- Writes a CSV file, a row for each measurement or for each of their samples; gives the number of rows.
function Results:csv(path, given)
  if type(path) ~= "string" then failure.raise("csv: expected the path of a file, got a " .. type(path)) end
  local o = lib.options.check("csv", given or {})
  local params = names_in(self, "params")
  local rows = o.rows == "samples" and sample_rows(self, params) or measurement_rows(self, params)
  local file, problem = io.open(path, "w")
  if not file then failure.raise("csv: cannot write " .. problem) end
  for _, row in ipairs(rows) do file:write(table.concat(row, ","), "\n") end
  file:close()
  return #rows - 1
end

M.Results = Results
return M
