-- The campaign of `harness bench`: one command is measured, several are compared with the first. Reads the plan, says a
-- line for each command, writes what is to be exported.
local harness = require "harness"
local json, fs = harness.json, harness.fs
local plan = assert(json.decode(assert(fs.read(assert(arg[1])))))
local commands, null = plan.commands, json.null

-- What is not there is null in the plan.
local function given(value)
  if value ~= null then return value end
end

local codes
if plan.ignore_failure then
  codes = {}
  for code = 0, 255 do codes[#codes + 1] = code end
end
local common = { warmup = plan.warmup, ok_codes = codes, cwd = plan.cwd, max_time = given(plan.max_time) }

-- The runs of each command, its record or what is like one, and the line that is said of it.
local runs, lines = {}, {}
local ok, failed

local function measure_one()
  common.cmd, common.name, common.runs, common.max_runs = commands[1].argv, commands[1].name, given(plan.runs), given(plan.max_runs)
  if common.max_runs then common.min_runs = math.min(10, common.max_runs) end
  local record = await(submit(measure(common)))
  ok, runs[1], lines[1] = record.ok, record, record.summary
  failed = record.status
end

local function compare_all()
  common.max_rounds, common.name = given(plan.runs) or given(plan.max_runs), "x"
  ---@type any
  local variants = common
  local keys, names = {}, {}
  for i, command in ipairs(commands) do
    keys[i] = i == 1 and "base" or ("c%04d"):format(i) -- in their order by name, and no option's name
    variants[keys[i]], names[keys[i]] = { cmd = command.argv }, command.name .. ": "
  end
  local record = await(submit(compare(variants)))
  ok = record.ok
  if not ok then
    lines[1] = record.summary:gsub("^x: ", ""):gsub("(%w+): ", names)
    failed = record.status
    return
  end
  local i = 0
  for line in record.summary:gmatch "[^\n]+" do
    i = i + 1
    ---@type any
    local variant = record.variants[keys[i]]
    runs[i] = variant
    lines[i] = line:gsub("^x %w+", function() return commands[i].name end, 1)
    if not variant.ok then
      ok, failed = false, variant.status
    end
  end
end

if #commands == 1 then measure_one() else compare_all() end
print(table.concat(lines, "\n"))
if not ok and failed == "nonzero_exit" then
  io.stderr:write "harness bench: with --ignore-failure (-i) any exit code will do\n"
end

local function mean(list)
  local sum = 0.0
  for _, value in ipairs(list) do sum = sum + value end
  return sum / #list
end

-- As hyperfine has it: seconds and bytes. Exit codes are known where only 0 was let through.
local function result(i)
  local command, record = commands[i], runs[i]
  local samples, stats = record.samples, record.stats
  local exit_codes = {}
  for k = 1, stats.n do exit_codes[k] = codes and null or 0 end
  local of = {
    command = command.name,
    mean = stats.mean,
    stddev = stats.n > 1 and stats.sd or null,
    median = stats.median,
    user = mean(samples.user_s),
    system = mean(samples.sys_s),
    min = stats.min,
    max = stats.max,
    times = json.list(samples.wall_s),
    memory_usage_byte = json.list(samples.maxrss_bytes),
    exit_codes = json.list(exit_codes),
  }
  if #command.parameters > 0 then
    of.parameters = {}
    for _, pair in ipairs(command.parameters) do of.parameters[pair[1]] = pair[2] end
  end
  return of
end

local results = json.list {}
for i = 1, #commands do
  if runs[i] and runs[i].ok then results[#results + 1] = result(i) end
end

local function write(path, text)
  local written, why = fs.write(path, text)
  if not written then
    io.stderr:write("harness bench: ", tostring(why), "\n")
    ok = false
  end
end

local function quoted(value)
  local cell = value == null and "" or tostring(value)
  return cell:find '[",\n\r]' and '"' .. cell:gsub('"', '""') .. '"' or cell
end

if given(plan.export_json) then write(plan.export_json, json.encode({ results = results }, true) .. "\n") end
if given(plan.export_csv) then
  local columns = { "command", "mean", "stddev", "median", "user", "system", "min", "max" }
  local parameters = {}
  for i, pair in ipairs(commands[1].parameters) do parameters[i] = pair[1] end
  local head = table.move(columns, 1, #columns, 1, {})
  for _, name in ipairs(parameters) do head[#head + 1] = quoted("parameter_" .. name) end
  local rows = { table.concat(head, ",") }
  for _, of in ipairs(results) do
    local cells = {}
    for _, column in ipairs(columns) do cells[#cells + 1] = quoted(of[column]) end
    for _, name in ipairs(parameters) do cells[#cells + 1] = quoted(of.parameters[name]) end
    rows[#rows + 1] = table.concat(cells, ",")
  end
  write(plan.export_csv, table.concat(rows, "\n") .. "\n")
end
os.exit(ok and 0 or 1)
