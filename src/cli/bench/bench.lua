-- The campaign of `harness bench`: one command is measured, several are compared with the first. Reads the plan, says a
-- line for each command, and whose runs are in the journal.
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

-- The line that is said of each command, and the commands of each record of the journal.
local lines, recorded = {}, {}
local ok, failed = true, nil

local function fails(status) ok, failed = false, status end

local function measure_one(i)
  local o = common()
  o.cmd, o.name, o.runs, o.max_runs = commands[i].argv, commands[i].name, given(plan.runs), given(plan.max_runs)
  if o.max_runs then o.min_runs = math.min(10, o.max_runs) end
  if o.runs then o.max_time = nil end -- the others of a comparison had it
  local record = await(submit(measure(o)))
  recorded[#recorded + 1], lines[i] = json.list { i }, record.summary
  if not record.ok then fails(record.status) end
end

-- What a command is called in the journal: in their order by name, and no option's name.
local KEY = ("#%%0%dd %%s"):format(#tostring(#commands))
local function key_of(i) return KEY:format(i, (commands[i].name:gsub("%c", " "))) end

-- The rest of a line that begins with a name.
local function after(line, name)
  local _, at = line:find(name .. ": ", 1, true)
  return at and line:sub(at + 1) or line
end

-- Commands in turns, by their places: their record, and under which names they are in it. It is called as its base.
local function compared(places)
  ---@type any
  local o = common()
  o.max_rounds, o.name = given(plan.runs) or given(plan.max_runs), commands[places[1]].name
  local keys = {}
  for n, i in ipairs(places) do
    keys[n] = n == 1 and "base" or key_of(i)
    o[keys[n]] = { cmd = commands[i].argv }
  end
  recorded[#recorded + 1] = json.list(places)
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
        lines[1] = after(record.summary, commands[left[1]].name)
        return fails(record.status)
      end
      if line then lines[i] = commands[i].name .. ": " .. after(line, " " .. keys[n]) end
      if variant.ok or variant.status == "skipped" then
        good[#good + 1] = i
      else
        fails(variant.status)
        local reason = variant.reason:gsub("%s*\n%s*", " ")
        lines[i] = lines[i] or ("%s: %s: %s"):format(commands[i].name, variant.status, reason)
      end
    end
    if record.ok or #good == #left then
      lines[1] = lines[1] or after(record.summary, commands[left[1]].name)
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

-- Whose runs the records of the journal are, in their order.
assert(fs.write(plan.places, json.encode(json.list(recorded))))
os.exit(ok and 0 or 1)
