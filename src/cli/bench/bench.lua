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
local function common() return { warmup = plan.warmup, ok_codes = codes, cwd = plan.cwd, max_time = given(plan.max_time) } end

-- The runs of each command, its record or what is like one, and the line that is said of it.
local runs, lines = {}, {}
local ok, failed = true, nil

local function fails(status) ok, failed = false, status end

local function measure_one(i)
  local o = common()
  o.cmd, o.name, o.runs, o.max_runs = commands[i].argv, commands[i].name, given(plan.runs), given(plan.max_runs)
  if o.max_runs then o.min_runs = math.min(10, o.max_runs) end
  local record = await(submit(measure(o)))
  runs[i], lines[i] = record, record.summary
  if not record.ok then fails(record.status) end
end

-- Commands in turns, by their places: their record, and under which names they are in it.
local function compared(places)
  ---@type any
  local o = common()
  o.max_rounds, o.name = given(plan.runs) or given(plan.max_runs), "x"
  local keys = {}
  for n, i in ipairs(places) do
    keys[n] = n == 1 and "base" or ("c%04d"):format(i) -- in their order by name, and no option's name
    o[keys[n]] = { cmd = commands[i].argv }
  end
  return await(submit(compare(o))), keys
end

-- What fails leaves the comparison; where that ends it, those that are left begin anew.
local function compare_all()
  local left = {}
  for i = 1, #commands do left[i] = i end
  while #left > 1 do
    local record, keys = compared(left)
    local said, good = record.summary:gmatch "[^\n]+", {}
    for n, i in ipairs(left) do
      local line = record.ok and said() or nil
      ---@type any
      local variant = record.variants and record.variants[keys[n]]
      if not variant then -- nothing of it was begun
        lines[1] = record.summary:gsub("^x: ", "")
        return fails(record.status)
      end
      runs[i] = variant
      if record.ok then lines[i] = line:gsub("^x %w+", function() return commands[i].name end, 1) end
      if variant.ok or variant.status == "skipped" then
        good[#good + 1] = i
      else
        fails(variant.status)
        local reason = variant.reason:gsub("%s*\n%s*", " ")
        lines[i] = lines[i] or ("%s: %s: %s"):format(commands[i].name, variant.status, reason)
      end
    end
    if record.ok or #good == #left then
      lines[1] = lines[1] or record.summary:gsub("^x: ", "")
      return
    end
    left = good
  end
  if left[1] then measure_one(left[1]) end
end

if #commands == 1 then measure_one(1) else compare_all() end
for i = 1, #commands do
  if lines[i] then print(lines[i]) end
end
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
  local command = commands[i]
  ---@type any
  local record = runs[i]
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
