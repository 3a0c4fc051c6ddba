-- What the value of an option may be. A type is a function: value -> normal form, or nil and what was expected: a
-- text, or for what lies deeper a table { path, value, expected | note }.
local host, lib = ...
local failure = lib.failure

local M = {}

local shown = failure.a

local function bytes(value)
  if type(value) == "string" then return value end
  return nil, "a string"
end

-- What is shown to people and kept in the journal has to be UTF-8; what a program reads may be any bytes.
local function unicode(value)
  if type(value) ~= "string" then return nil, "a string" end
  if utf8.len(value) then return value end
  return nil, "text in UTF-8"
end

-- What the system takes as a name, an argument or a path ends at the first zero byte.
local function without_zero(of)
  return function(value)
    if type(value) == "string" and string.find(value, "\0", 1, true) then return nil, "text without a zero byte" end
    return of(value)
  end
end
local text = without_zero(unicode)

local function boolean(value)
  if type(value) == "boolean" then return value end
  return nil, "true or false"
end

local function name(value)
  if type(value) == "number" then return tostring(value) end
  return unicode(value)
end

-- Numbers beyond `high` are mistakes that would better not be tried.
local function whole(low, high)
  high = high or 2 ^ 31 - 1
  return function(value)
    local n = math.type(value) == "float" and math.tointeger(value) or value
    if math.type(n) == "integer" and n >= low and n <= high then return n end
    local too_large = type(value) == "number" and value > high
    return nil, string.format(too_large and "a whole number from %d to %d" or "a whole number from %d", low, high)
  end
end

local function integer(value)
  local n = math.tointeger(value)
  if n and type(value) == "number" and n >= -2 ^ 31 and n < 2 ^ 31 then return n end
  return nil, math.type(value) == "integer" and "a whole number from -2147483648 to 2147483647" or "a whole number"
end

-- What a process can end with.
local function exit_code(value)
  local n = integer(value)
  if n and n >= 0 and n <= 255 then return n end
  return nil, "an exit code, 0 to 255"
end

local function number(low)
  return function(value)
    if type(value) == "number" and value >= low and value < math.huge then return value + 0.0 end
    local percent = type(value) == "string" and tonumber(string.match(value, "^%s*([%d.]+)%s*%%$"))
    return nil, "a number from " .. low .. (percent and string.format(", %g for %g %%", percent / 100, percent) or "")
  end
end

-- By unit.
local SECONDS = { us = 1e-6, ms = 1e-3, s = 1, sec = 1, min = 60, h = 3600, d = 86400 }
local function duration(value)
  local seconds = type(value) == "number" and value or nil
  if type(value) == "string" then
    local figure, unit = string.match(value, "^%s*([%d.]+)%s*(%a+)%s*$")
    seconds = SECONDS[unit] and tonumber(figure) and tonumber(figure) * SECONDS[unit]
  end
  if seconds and seconds >= 0 and seconds < math.huge then return seconds + 0.0 end
  if seconds and seconds < 0 then return nil, "a time that is not negative" end
  if type(value) == "string" and tonumber(value) then
    return nil, string.format('%s without quotes for seconds, or "%s s"', value, value)
  end
  return nil, 'seconds or a duration like "500 ms", "2 s", "1 min", "2 h"'
end

-- How long something may take: no clock of ours tells less than a microsecond.
local function time_limit(value)
  local seconds, expected = duration(value)
  if seconds and seconds >= 1e-6 then return seconds end
  return nil, expected or "a time limit of at least 1 us"
end

-- The kernel counts whole seconds.
local function cpu_time(value)
  local seconds, expected = duration(value)
  if seconds and seconds >= 1 and seconds < 2 ^ 31 then return math.ceil(seconds) end
  return nil, expected or 'a time on processors from "1 s"'
end

local BYTES = { B = 1, KiB = 2 ^ 10, MiB = 2 ^ 20, GiB = 2 ^ 30, TiB = 2 ^ 40 }
local function size(low)
  local expected = 'bytes or a size like "64 MiB", "2 GiB"' .. (low > 0 and string.format(", from %d MiB", low // 2 ^ 20) or "")
  return function(value)
    local bytes = type(value) == "number" and value or nil
    if type(value) == "string" then
      local figure, unit = string.match(value, "^%s*([%d.]+)%s*(%a+)%s*$")
      if unit and not BYTES[unit] then return nil, expected .. " (in B, KiB, MiB, GiB or TiB)" end
      bytes = tonumber(figure) and BYTES[unit] and tonumber(figure) * BYTES[unit]
    end
    bytes = bytes and bytes < 2 ^ 62 and math.tointeger(bytes // 1)
    if bytes and bytes >= low then return bytes end
    return nil, expected
  end
end

local function one_of(...)
  local choices = { ... }
  local quoted = {}
  for i, choice in ipairs(choices) do
    quoted[i] = type(choice) == "string" and string.format('"%s"', choice) or tostring(choice)
  end
  local expected = table.concat(quoted, " or ")
  return function(value)
    for _, choice in ipairs(choices) do
      if value == choice then return value end
    end
    return nil, expected
  end
end

local function either(first, second)
  return function(value)
    local good, expected = first(value)
    if good ~= nil then return good end
    local also
    good, also = second(value)
    if good ~= nil then return good end
    return nil, expected .. " or " .. also
  end
end

-- A problem deeper inside: its path below the option and what was expected there.
local function inside(path, value, expected) return nil, { path = path, value = value, expected = expected } end

-- The problem of the item at `step`, as one of the whole.
local function below(step, item, problem)
  if type(problem) ~= "table" then return inside(step, item, problem) end
  problem.path = step .. problem.path
  return nil, problem
end

-- One text where several belong: what to write.
local function as_list(value)
  local words = {}
  for word in string.gmatch(value, "%S+") do
    words[#words + 1] = string.format('"%s"', word)
  end
  if #words == 0 or string.find(value, "[\"'\\%c]") then return nil end -- a shell would see more in it than words
  return string.format(": write { %s }", table.concat(words, ", "))
end

-- The key of what a list may not have: a gap, or what lies beside its items, but for their number as `table.pack` adds it. `#`
-- alone says nothing of gaps.
local function flaw(given)
  local n, last = 0, 0
  for key, item in next, given do
    if math.type(key) == "integer" and key >= 1 then
      n, last = n + 1, math.max(last, key)
    elseif key ~= "n" or item ~= #given then
      return key
    end
  end
  if n == last then return nil end
  for i = 1, n do
    if given[i] == nil then return i end
  end
end

local function flawed(value, wrong, expected)
  if value[wrong] == nil then return nil, { path = "", note = string.format("[%d] is missing: expected %s", wrong, expected) } end
  return inside(string.format("[%s]", shown(wrong)), value[wrong], expected)
end

local function list(of, what)
  return function(value)
    if type(value) == "string" then return nil, { path = "", value = value, expected = "a list of " .. what, instead = as_list(value) } end
    if type(value) ~= "table" or failure.is_object(value) then return nil, "a list of " .. what end
    local wrong, result = flaw(value), {}
    if wrong ~= nil then return flawed(value, wrong, "a list of " .. what .. " without gaps and names") end
    for i = 1, #value do
      local good, problem = of(value[i])
      if good == nil then return below(string.format("[%d]", i), value[i], problem) end
      result[i] = good
    end
    return result
  end
end

-- The same with something in it.
local function some(of, what)
  local all = list(of, what)
  return function(value)
    local good, problem = all(value)
    if good and #good == 0 then return nil, what .. ", not an empty list" end
    return good, problem
  end
end

local function map(of, what)
  return function(value)
    if type(value) ~= "table" or failure.is_object(value) then return nil, what end
    local result = {}
    for key, item in pairs(value) do
      if type(key) ~= "string" then
        local left, right = string.match(type(item) == "string" and item or "", "^([%a_][%w_]*)=([^%c]*)$")
        local instead = left and string.format(": write { %s = %q }", left, right)
        return nil, { path = string.format("[%s]", shown(key)), value = item, expected = "a name as its key", instead = instead }
      end
      if not utf8.len(key) then return nil, { path = "", note = "a name is not text in UTF-8: " .. shown(key) } end
      local good, problem = of(item)
      if good == nil then return below("." .. key, item, problem) end
      result[key] = good
    end
    return result
  end
end

local function exit_codes(value)
  local codes, problem = list(exit_code, "exit codes")(value)
  if codes and #codes == 0 then return nil, { path = "", note = "with no code at all nothing could end well" } end
  return codes, problem
end

local function environment(value)
  local good, problem = map(without_zero(name), "a table of names and values")(value)
  for key in pairs(good or {}) do
    if key == "" or string.find(key, "[=%z]") then
      return nil, { path = "", note = "a name cannot be empty or have '=' in it: " .. shown(key) }
    end
  end
  return good, problem
end

local DEEPEST = 20

-- What JSON can keep: the search point goes into the journal.
local function plain(value, depth)
  local kind = type(value)
  if kind == "string" then return unicode(value) end
  if kind == "boolean" then return value end
  if kind == "number" then
    if value == value and value ~= math.huge and value ~= -math.huge then return value end
    return nil, "a finite number"
  end
  if kind == "table" and depth == DEEPEST then return nil, DEEPEST .. " levels of tables at the most (does it hold itself?)" end
  if kind == "table" and not failure.is_object(value) then
    local result, is_list = {}, #value > 0
    local wrong = nil
    if is_list then wrong = flaw(value) end
    if wrong ~= nil then return flawed(value, wrong, "a list without names and gaps") end
    for key, item in pairs(value) do
      if not is_list and type(key) ~= "string" then return inside(string.format("[%s]", shown(key)), item, "a name as its key") end
      if type(key) == "string" and not utf8.len(key) then
        return nil, { path = "", note = "a name is not text in UTF-8: " .. shown(key) }
      end
      local step = type(key) == "string" and "." .. key or string.format("[%d]", key)
      local good, problem = plain(item, (depth or 0) + 1)
      if good == nil then return below(step, item, problem) end
      result[key] = good
    end
    if is_list then result.n = nil end -- of table.pack
    return result
  end
  return nil, "a string, a number, a boolean or a table of those"
end

local function params(value)
  if type(value) ~= "table" then return nil, "a table" end
  return plain(value)
end

-- How the records of programs, builds and measurements can end.
local STATUSES = {
  "cancelled",
  "compile_failed",
  "lost_worker",
  "metric_missing",
  "nonzero_exit",
  "ok",
  "oom",
  "pruned",
  "refused",
  "setup_failed",
  "signal",
  "skipped",
  "spawn_failed",
  "timeout",
  "verify_failed",
}
local is_status = one_of(table.unpack(STATUSES))
local function status(value)
  if is_status(value) or type(value) ~= "string" then return is_status(value) end
  return nil, { path = "", note = failure.unknown("status", value, STATUSES) .. "; there are " .. table.concat(STATUSES, ", ") }
end

local function is_future(value) return getmetatable(value) == lib.ends.Future end

M.number_text = failure.number_text

-- An argument of a command stays a future until the task is submitted.
local function argument(value)
  if type(value) == "string" then return value end
  if type(value) == "number" then return M.number_text(value) end
  if is_future(value) then
    if value.kind == "call" or value.kind == "compile" then return value end
    return nil, "the future of a call or a compile"
  end
  if getmetatable(value) == failure.Record then
    return nil, { path = "", note = "pass the future itself, not its record: without await" }
  end
  if getmetatable(value) == lib.Task then
    return nil, { path = "", note = string.format("a task has a future once it is submitted: submit(%s { ... })", value.kind) }
  end
  return nil, "a string, a number or a future"
end

local arguments = list(without_zero(argument), "strings, numbers and futures")
local function command(value)
  local good, problem = arguments(value)
  if good and #good == 0 then return nil, "a program and its arguments, not an empty list" end
  return good, problem
end

-- { regex, pattern } from a Lua pattern; `captures` it must have at least.
local function pattern(captures)
  return function(value)
    if not unicode(value) then return nil, "a Lua pattern, in UTF-8" end
    local class = string.match(value, "^\\([dDwWsSb.()])") or string.match(value, "[^%%]\\([dDwWsSb.()])")
    if class then
      local note = string.format("in a Lua pattern it is %%%s, and a backslash itself is %%\\", class == "b" and "f[%w]" or class)
      return nil, { path = "", value = value, note = note }
    end
    local regex, groups = host.pattern(value)
    if not regex then return nil, { path = "", value = value, note = groups } end
    if groups < captures then
      return nil, { path = "", value = value, note = "the pattern captures nothing: put parentheses around the number" }
    end
    return { regex = regex, pattern = value }
  end
end

-- In a slot there are none: its sessions count nothing.
local EVENTS = host.events or {}
local is_event = one_of(table.unpack(EVENTS))
local function event(value)
  if is_event(value) or type(value) ~= "string" then return is_event(value) end
  return nil, { path = "", note = failure.unknown("event", value, EVENTS) .. "; there are " .. table.concat(EVENTS, ", ") }
end
local events = list(event, "names of events")

local better = one_of("less", "more")

-- Where it stands in the output (pattern, place in JSON or column of CSV), in the form of the keeper, as `source`; or
-- the function that says it.
local function metric(value)
  if type(value) == "function" then return nil, { path = "", note = "a function goes by name: { fn = function(run) ... end }" } end
  local given = type(value) == "string" and { value } or value
  if type(given) ~= "table" or not failure.is_bare(given) then return nil, "a Lua pattern or { pattern, unit =, better = }" end
  local good, problem = M.check_table("metric", given)
  if not good then
    if given ~= value then problem.path = "" end -- nobody wrote the table
    return nil, problem
  end
  local found, how_many = { pattern = good[1], json = good.json, csv = good.csv, fn = good.fn }, 0
  for _ in pairs(found) do
    how_many = how_many + 1
  end
  if how_many ~= 1 then
    local note = 'give one of a Lua pattern, json = "a.b", csv = "column" and fn = function(run) ... end'
    return nil, { path = "", note = note .. (how_many > 1 and ", not several" or "") }
  end
  if good.json and string.find("." .. good.json .. ".", "..", 1, true) then
    return nil, { path = ".json", value = good.json, expected = 'names with dots between, such as "timing.total"' }
  end
  return { source = found, unit = good.unit, better = good.better }
end

local function reference(value)
  if type(value) == "string" then return text(value) end
  if is_future(value) then
    if value.kind == "exec" or value.kind == "call" then return value end
    return nil, "the future of an exec or a call (for a build give { build })"
  end
  if type(value) == "table" then return command(value) end
  return nil, "a future, a command { program, ... } or the path of a file"
end

local function hash(value)
  if type(value) == "string" and #value == 32 and not string.find(value, "%X") then return string.lower(value) end
  return nil, "32 hex digits"
end

-- A function of the author's, that is given `what`.
local function function_of(what)
  return function(value)
    if type(value) == "function" then return value end
    return nil, "a function of " .. what
  end
end

local function nested(kind)
  return function(value)
    if type(value) ~= "table" or failure.is_object(value) then return nil, "a table" end
    return M.check_table(kind, value)
  end
end

local function shell(value)
  if is_future(value) then
    return nil, { path = "", note = [[a line has no place for it; a command has: cmd = { "sh", "-c", '"$1" | sort', "sh", future }]] }
  end
  return text(value)
end

-- What runs around a run.
local function hook(value)
  if type(value) == "table" then return command(value) end
  if type(value) ~= "string" then return nil, "a command { program, ... } or a line for the shell" end
  return text(value)
end

-- The content a file must have.
local function file(value)
  if type(value) == "string" then value = { reference = value } end
  if type(value) ~= "table" or failure.is_object(value) then return nil, "the path of a reference or { reference =, rtol =, atol = }" end
  if value.reference == nil then return nil, { path = "", note = "'reference' is missing: the path of a file to compare with" } end
  return M.check_table("file", value)
end

local LAUNCHERS = { "aprun", "auto", "jsrun", "mpiexec", "none", "srun" }
local PLACEHOLDERS = { "gpus_per_rank", "hostfile", "hosts", "nodes", "ranks", "ranks_per_node" }

-- One of the launchers by name, or the words of another one: { template = { ... } }.
local function launcher(value)
  local line, expected = text(value)
  if not line then return nil, expected end
  for _, known in ipairs(LAUNCHERS) do
    if line == known then return known end
  end
  if not string.find(line, "{", 1, true) then
    local known = table.concat(LAUNCHERS, ", ")
    return nil,
      {
        path = "",
        note = failure.unknown("launcher", line, LAUNCHERS)
          .. "; there are "
          .. known
          .. ', and lines of your own: "mpirun -np {ranks} -hostfile {hostfile}"',
      }
  end
  for name in string.gmatch(line, "{([^}]*)}") do
    local note = failure.unknown("placeholder", name, PLACEHOLDERS)
    local is_known = false
    for _, known in ipairs(PLACEHOLDERS) do
      is_known = is_known or name == known
    end
    if not is_known then return nil, { path = "", note = note .. "; there are {" .. table.concat(PLACEHOLDERS, "}, {") .. "}" } end
  end
  local words = {}
  for word in string.gmatch(line, "%S+") do
    words[#words + 1] = word
  end
  return { template = words }
end

M.below, M.flaw, M.is_future = below, flaw, is_future
M.boolean, M.bytes, M.text, M.shell, M.unicode, M.name, M.without_zero = boolean, bytes, text, shell, unicode, name, without_zero
M.whole, M.integer, M.number, M.exit_code, M.exit_codes = whole, integer, number, exit_code, exit_codes
M.duration, M.time_limit, M.cpu_time, M.size = duration, time_limit, cpu_time, size
M.one_of, M.either, M.list, M.some, M.map, M.nested = one_of, either, list, some, map, nested
M.environment, M.plain, M.params, M.status, M.hash = environment, plain, params, status, hash
M.command, M.launcher, M.reference, M.function_of = command, launcher, reference, function_of
M.pattern, M.metric, M.better, M.events = pattern, metric, better, events
M.hook, M.file = hook, file

return M
