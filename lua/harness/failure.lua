-- Errors the author sees: `harness.Error`, messages at the author's line, tracebacks without our frames.
local host = ...

-- A task may replace or empty the standard library, the metatable of strings too: errors are still told.
local function own(library)
  local copy = {}
  for name, fn in next, library do
    copy[name] = fn
  end
  return copy
end
local string, table, utf8, debug, math = own(string), own(table), own(utf8), own(debug), own(math)
local error, getmetatable, ipairs, next, pcall, rawget = error, getmetatable, ipairs, next, pcall, rawget
local tonumber, tostring, type = tonumber, tostring, type

local M = {}

-- Pure Lua, so that an error can travel to a worker as a value.
local Error = { __name = "harness.Error" }
Error.__index = Error
function Error.__tostring(e)
  local text = e.item and string.format("item %d: %s", e.item, e.message) or e.message
  if e.traceback and e.traceback ~= "" then
    text = text .. "\n" .. M.of_place(e.traceback, e.host and "on the worker, " .. e.host or "on the worker")
  end
  return text
end
M.Error = Error

--- A traceback that says whose it is.
function M.of_place(traceback, place)
  return (string.gsub(traceback, "^stack traceback:", function() return "stack traceback " .. place .. ":" end))
end

-- What a record may have, of whatever kind; which of them it has is its kind's and its end's. An error's fields are
-- among them: scripts that take either ask for them.
M.FIELDS = {}
for name in
  string.gmatch(
    [[
    kind ok status reason cause host elapsed_s name params summary exit_code signal argv hosts ranks launcher_argv
    stdout stderr stdout_bytes stderr_bytes outputs leftovers wall_s user_s sys_s maxrss_bytes minflt majflt nvcsw
    nivcsw inblock oublock artefact artefact_bytes text_hash same_as diagnostics messages cache compiler objective unit better stats samples warmup
    metrics flags stop_reason verify counters conditions floor_s maxrss_floor_bytes stderr_tail verdicts variants
    rounds order_seed min_effect nodes slow_nodes failed_nodes hooks message traceback task item]],
    "%S+"
  )
do
  M.FIELDS[name] = true
end

-- What a record was last asked for and has not, at which line, and why not. To ask is right, `if record.stats then`; to go on as if it
-- were there, in the same line, is the error that this explains.
local in_vain

-- What exec, compile, measure and compare end in.
M.Record = {
  __name = "record",
  -- What a record of its kind has none of is nil; what none has was misspelt.
  __index = function(record, key)
    if key == "value" then M.raise("records have no 'value': a figure is one of record.stats, as record.stats.median") end
    if type(key) ~= "string" or M.FIELDS[key] then
      if not rawget(record, "ok") then
        local said = string.match(rawget(record, "summary") or "", "[^\n]+") or rawget(record, "status")
        in_vain =
          { field = key, where = M.where(), why = string.format("the record has none, for it says `%s`; look at its `ok` first", said) }
      end
      return nil
    end
    local stats = rawget(record, "stats")
    if stats and rawget(stats, key) ~= nil then
      M.raise(string.format("unknown field '%s' of %s: it is one of its statistics, record.stats.%s", key, M.a(record), key))
    end
    M.raise(M.unknown("field", key, M.sorted_keys(M.FIELDS)) .. " of " .. M.a(record))
  end,
  __tostring = function(record) return record.summary end,
  __newindex = function(_, key)
    M.raise(string.format("records are read-only, '%s' cannot be set: keep your own figures in a table of your own", tostring(key)))
  end,
}

-- What of a table a future is not.
local NO_VALUE = "concat len add sub mul div mod pow unm idiv lt le"

--- Futures know what they have: a field of a record is asked of the record, and nothing is computed with them. What the
-- library looks for and may not find is false; `id` and `outcome` may be nil.
function M.future_class(Future)
  local names = "waiters label on_record waits_for traceback main fn co order list given starter starts refused interruption"
  for name in string.gmatch(names, "%S+") do
    Future[name] = false
  end
  Future.__names = "cancel done id on_done status wait" -- what an author has
  for event in string.gmatch(NO_VALUE, "%S+") do
    local instead = event == "concat" and ", or give it to a program as a word of its own in cmd" or ""
    Future["__" .. event] = function() M.raise("this is a future and no value yet: await it first" .. instead) end
  end
  local own = {}
  for name in string.gmatch(Future.__names, "%S+") do
    own[#own + 1] = name
  end
  setmetatable(Future, {
    __index = function(_, key)
      if key == "id" or key == "outcome" or type(key) == "string" and string.sub(key, 1, 2) == "__" then return nil end
      local near = type(key) == "string" and not M.FIELDS[key] and host.closest(key, own)
      local hint = near and string.format(" of a future (did you mean '%s'?)", near) or " of a future: await it first"
      M.raise("unknown field " .. M.a(key) .. hint)
    end,
  })
end

local getinfo = debug.getinfo

local function is_ours(source) return string.sub(source, 1, 10) == "@[harness]" end

--- Is it a Lua function of the campaign?
function M.is_authors(fn)
  local info = type(fn) == "function" and getinfo(fn, "S")
  return info and info.what ~= "C" and not is_ours(info.source)
end

--- The first line of the campaign on a stack, as "campaign.lua:12". Without a thread: the current stack.
function M.where(thread)
  local level = thread and 0 or 2
  while true do
    local info
    if thread then
      info = getinfo(thread, level, "Sl")
    else
      info = getinfo(level, "Sl")
    end
    if not info then return nil end
    if info.currentline > 0 and not is_ours(info.source) then return string.format("%s:%d", info.short_src, info.currentline) end
    level = level + 1
  end
end

--- Raises `message` at the author's line, however deep in the library it was found.
function M.raise(message)
  local where = M.where()
  error(where and where .. ": " .. message or message, 0)
end

--- Text of the author's as a message shows it: what is not text, and what would not be seen, as escapes.
function M.quoted(text)
  local unseen = utf8.len(text) and "[%c]" or "[^\x20-\x7e]"
  return string.format("'%s'", string.gsub(text, unseen, function(c) return string.format("\\x%02x", string.byte(c)) end))
end

--- What was given instead of what was expected: short values as they are, of others the type.
function M.a(value)
  if type(value) == "string" then return M.quoted(value) end
  if value == nil or type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  local meta = type(value) == "table" and getmetatable(value)
  if not meta then return "a " .. type(value) end
  if meta.__name == "future" then return "the future of " .. (value.kind == "exec" and "an exec" or "a " .. value.kind) end
  return "a " .. (type(meta) == "table" and meta.__name or "table with a metatable")
end

--- "unknown option 'warmpu' (did you mean 'warmup'?)"; a `hint` is said instead of a guess.
function M.unknown(what, word, known, hint)
  local near = not hint and host.closest(tostring(word), known)
  if near then hint = string.format(" (did you mean '%s'?)", near) end
  return string.format("unknown %s %s%s", what, M.quoted(tostring(word)), hint or "")
end

--- The traceback of a coroutine that died, without the frames of this library and of C.
function M.traceback(thread)
  local lines = {}
  for line in string.gmatch(debug.traceback(thread), "[^\n]+") do
    local ours = string.find(line, "^%s*%[harness%]/")
      or string.find(line, "^%s*%[C%]: ")
      or string.find(line, "^%s*%(%.%.%.tail")
      or line == "stack traceback:"
    if not ours then lines[#lines + 1] = line end
  end
  return #lines > 0 and "stack traceback:\n" .. table.concat(lines, "\n") or ""
end

-- Keys in an order that is the same in every run.
function M.sorted_keys(given)
  local keys = {}
  for key in next, given do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
    return type(a) < type(b)
  end)
  return keys
end

--- What `__ship` gives with a plain copy: that is all there is to unpack.
function M.same(fields) return fields end

--- The fields themselves, without the metatable.
function M.plain_copy(fields)
  local copy = {}
  for key, value in next, fields do
    copy[key] = value
  end
  return copy
end

--- The metatable of tables of fields that are strict: reading one that is neither there nor in `optional` raises, with a guess among
-- those that are there, or are `known`. They still travel, and are kept, as the plain tables they are. `what` a field is called.
function M.strict_class(of_what, optional, what, known)
  return {
    __name = (string.gsub(of_what, "^a ", "")), -- `a` puts one before it
    __plain = true,
    __index = function(fields, key)
      if type(key) ~= "string" then return nil end
      if optional and optional[key] then
        local why = optional[key]
        if type(why) == "string" then in_vain = { field = key, where = M.where(), why = why } end
        return nil
      end
      M.raise(string.format("%s of %s", M.unknown(what or "field", key, M.sorted_keys(known or fields)), of_what))
    end,
    __ship = function(fields) return M.same, M.plain_copy(fields) end,
  }
end

--- Makes a table of fields strict.
function M.strict(fields, of_what, optional) return setmetatable(fields, M.strict_class(of_what, optional)) end

--- Raises unless a method was called with a colon.
function M.own(self, class, method)
  if getmetatable(self) ~= class then M.raise(string.format("%s: call it with a colon: %s:%s(...)", method, class.__name, method)) end
end

--- Has it behaviour of its own (a metatable), so that it is more than its fields? A metatable that is a mark alone, as readers of
--- JSON put it on lists, has none.
function M.is_object(value)
  local meta = getmetatable(value)
  if type(meta) ~= "table" then return meta ~= nil end
  if rawget(meta, "__plain") then return false end
  for event, what in next, meta do
    if event == "__index" or type(what) == "function" then return true end
  end
  return false
end

--- Has it fields alone? What is as good as plain and of a class of ours, as a point or a sweep, is more than those.
function M.is_bare(value)
  local meta = getmetatable(value)
  return meta == nil or not M.is_object(value) and not rawget(meta, "__plain")
end

local MAY_BE_ABSENT = { ci = "fewer than 7 runs have no interval: `runs = 7`, better more, or none said", rel_half_width = true }

--- The statistics of a record raise where a field is misspelt.
function M.strict_stats(record)
  local stats, metrics = rawget(record, "stats"), rawget(record, "metrics")
  if stats then M.strict(stats, "stats", MAY_BE_ABSENT) end
  for _, metric in next, metrics or {} do
    if metric.stats then M.strict(metric.stats, "stats", MAY_BE_ABSENT) end
  end
end

local LONGEST = 200 -- of a table in one line, in bytes

--- A number as a program gets it: the shortest text that reads back as the same number, 64.0 is `64`.
function M.number_text(value)
  if math.type(value) == "integer" then return tostring(value) end
  for digits = 15, 17 do
    local text = string.format("%." .. digits .. "g", value)
    if tonumber(text) == value then return text end
  end
  return tostring(value)
end

-- A number as Lua shows it, unless another one would look the same.
local function told(value)
  local text = tostring(value)
  return tonumber(text) == value and text or M.number_text(value)
end

--- A value in one line: `{ 1, 2, size = 3, inner = { ... } }`; what is long or deep is left out.
function M.compact(value, depth)
  if type(value) == "string" then return #value <= LONGEST and M.quoted(value) or M.quoted(string.sub(value, 1, LONGEST)) .. "..." end
  if type(value) == "number" then return told(value) end
  if type(value) ~= "table" then return tostring(value) end
  if (depth or 0) >= 3 then return "{ ... }" end
  local parts, length, n = {}, 0, #value
  for _, key in ipairs(M.sorted_keys(value)) do
    if length > LONGEST then
      parts[#parts + 1] = "..."
      break
    end
    local part = M.compact(rawget(value, key), (depth or 0) + 1)
    if math.type(key) ~= "integer" or key < 1 or key > n then
      local is_name = type(key) == "string" and string.find(key, "^[%a_][%w_]*$")
      part = string.format(is_name and "%s = %s" or "[%s] = %s", is_name and key or M.compact(key, 3), part)
    end
    parts[#parts + 1], length = part, length + #part + 2
  end
  return #parts > 0 and "{ " .. table.concat(parts, ", ") .. " }" or "{}"
end

local MAY_BE_UNKNOWN = { ratio = true, lo = true, hi = true, reason = true }

--- The same for a comparison: its variants are known by name.
function M.strict_verdicts(record)
  for _, verdict in next, M.strict(record.verdicts, "verdicts") do
    M.strict(verdict, "a verdict", MAY_BE_UNKNOWN)
  end
  for _, variant in next, M.strict(record.variants, "variants") do
    M.strict_stats(variant)
  end
end

local MAY_BE_UNPLACED = { file = true, line = true, column = true }

--- The same for what a compiler said.
function M.strict_messages(record)
  for _, message in next, record.messages do
    M.strict(message, "a message", MAY_BE_UNPLACED)
  end
end

--- What people are shown of an error value.
function M.describe(value)
  if type(value) == "string" or type(value) == "number" then return tostring(value) end
  if value == nil then return "an error without a value (error() or error(nil))" end
  local meta = getmetatable(value)
  if type(value) == "userdata" or type(meta) == "table" and meta.__tostring then
    local ok, text = pcall(tostring, value)
    if ok then return text end
  end
  if type(value) ~= "table" then return "error value " .. tostring(value) end
  local message, kind = rawget(value, "message"), rawget(value, "kind")
  if type(message) ~= "string" then return "error value " .. M.compact(value) end
  return type(kind) == "string" and kind .. ": " .. message or message
end

local globals = _G

-- The global function that was probably meant: one that begins with the same letter and is about as long. Of short names any is near.
local function near_function(name)
  if #name < 4 then return nil end
  local known = {}
  for key, value in next, globals do
    local is_alike = type(key) == "string" and string.find(key, "^[%a_][%w_]*$") and string.sub(key, 1, 1) == string.sub(name, 1, 1)
    if is_alike and math.abs(#key - #name) <= 1 and type(value) == "function" then known[#known + 1] = key end
  end
  table.sort(known)
  return host.closest(name, known)
end

--- What to do about an error that Lua's own words do not explain; "" for all others.
function M.advice(text)
  if string.find(text, "value %(global 'harness'%)") then return ': write `local harness = require "harness"` before it' end
  local name = string.match(text, "attempt to call a nil value %(global '([%a_][%w_]*)'%)$")
  local near = name and near_function(name)
  if near then return string.format(" (did you mean '%s'?)", near) end
  local asked = in_vain
  in_vain = nil
  if not asked or not asked.where then return "" end
  local is_there = string.sub(text, 1, #asked.where + 1) == asked.where .. ":"
  if not is_there or not string.find(text, string.format("a nil value (field '%s')", asked.field), 1, true) then return "" end
  return ": " .. asked.why
end

-- Tasks that were described and not submitted yet, counted by the line that did it; of which kind the last there was.
local described, kinds = {}, {}

--- A task of this kind is described in this line: gives that.
function M.described(kind, where)
  where = where or "?"
  described[where], kinds[where] = (described[where] or 0) + 1, kind
  return where
end

--- It is submitted, if it was not before.
function M.is_submitted(made)
  local where = made.where
  if not where then return end
  local others = (described[where] or 1) - 1
  described[where] = others > 0 and others or nil
  made.where = nil
end

--- Who types sees what becomes of it: nothing is to be said of it at the end.
function M.forget_described() described = {} end

--- What was described and never submitted, as a line for the end; nil if there is nothing.
function M.forgotten()
  local places, count = M.sorted_keys(described), 0
  if not places[1] then return nil end
  for _, n in pairs(described) do
    count = count + n
  end
  return string.format(
    "%s described and never submitted (%s%s): submit(%s{...})",
    count == 1 and "1 task was" or count .. " tasks were",
    table.concat(places, ", ", 1, math.min(#places, 3)),
    #places > 3 and ", ..." or "",
    kinds[places[1]]
  )
end

--- What to do about a value that cannot be shipped.
function M.remedy(why)
  if not string.find(why, "^cannot ship") then return "" end
  if string.find(why, "harness's own", 1, true) then
    return "; of a task pass the future (submit it first), of anything else the values it needs, or make it in the task itself"
  end
  return "; pass the values it needs as arguments, or make it in the task itself"
    .. " (an object of your own can say how by `__ship` in its metatable)"
end

return M
