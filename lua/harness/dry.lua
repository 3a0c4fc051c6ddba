-- A dry run (`harness check`): the script runs, its tasks do not, and what it does to the world is left out and told. Loaded
-- before everything else of the library, so that this, too, writes and starts nothing. What C modules do nobody can prevent.
local host, how = ...
local M = { left_out = {}, taken_for_true = {}, said = {} }

local known = {}
local function leave_out(what, name)
  local text = what .. " " .. tostring(name)
  if not known[text] then
    known[text] = true
    M.left_out[#M.left_out + 1] = text
  end
end

-- Of what a call would return nobody knows the kind: this is everything to everybody. `how.numbers`: a number instead.
local Unknown = { __name = "made-up value" }
-- Each knows how deep in what was made up it lies: who goes from one to the next, as from an error to its cause, comes to an end.
local DEEPEST = 20
local depths, deeper = {}, {}
local function at_depth(depth)
  local value = setmetatable({}, Unknown)
  depths[value], deeper[depth] = depth, value
  return value
end
local unknown = how.numbers and (how.other and 2.0 or 1.0) or at_depth(1)
local function is_unknown(value) return value ~= nil and depths[value] ~= nil end
M.is_made_up = is_unknown
local function same() return unknown end
for event in string.gmatch("add sub mul div mod pow unm idiv band bor bxor shl shr bnot call", "%S+") do
  Unknown["__" .. event] = same
end
-- As a list it has one item.
local type_of_number = math.type
function Unknown.__index(value, key)
  local depth = depths[value] + 1
  if type_of_number(key) == "integer" and key ~= 1 or depth > DEEPEST then return nil end
  return deeper[depth] or at_depth(depth)
end
function Unknown.__newindex() end
function Unknown.__len() return 1 end
function Unknown.__pairs() return next, { unknown }, nil end
function Unknown.__lt() return how.other end
function Unknown.__le() return how.other end
local tostring = tostring
function Unknown.__tostring() return "made-up" end
function Unknown.__concat(a, b) return tostring(a) .. tostring(b) end
function Unknown.__ship() return tostring, "made-up" end

local take, was_given = host.take, false
local function with_unknown(id, count, ...)
  was_given = was_given or id ~= nil
  if not count or count == 0 then return id, count, ... end
  local given = table.pack(...)
  for i = 1, count do
    if given[i] == how.made_up then given[i] = unknown end
  end
  return id, count, table.unpack(given, 1, count)
end
-- Nothing travels, so nothing travels together.
function host.submit_calls() end
-- What a call gave that did not run is told by its text; what the journal has of others is theirs.
function host.take(...) return with_unknown(take(...)) end

-- What a script makes sure of may be wrong for what was made up: it goes on, and that is told.
local assert, getinfo, told = assert, debug.getinfo, {}
function _G.assert(...)
  if (...) or not was_given or select("#", ...) == 0 then return assert(...) end
  local info = getinfo(2, "Sl")
  local place = string.format("%s:%d", info.short_src, info.currentline)
  if not told[place] then
    told[place] = true
    M.taken_for_true[#M.taken_for_true + 1] = place
  end
  return unknown, select(2, ...)
end

-- Where it cannot stand it is 1.
local function with_known(fn, instead)
  return function(...)
    local given = table.pack(...)
    for i = 1, given.n do
      if is_unknown(given[i]) then given[i] = instead end
    end
    return fn(table.unpack(given, 1, given.n))
  end
end
if not how.numbers then
  for name, fn in pairs(math) do
    if type(fn) == "function" and name ~= "type" then math[name] = with_known(fn, 1) end
  end
  for name, fn in pairs(string) do
    if type(fn) == "function" then string[name] = with_known(fn, 1) end
  end
  _G.tonumber = with_known(tonumber, 1)
  local concat, rawlen = table.concat, rawlen
  function table.concat(list, ...)
    if is_unknown(list) then return "made-up" end
    if type(list) ~= "table" or rawlen(list) == 0 then return concat(list, ...) end -- it may have its items elsewhere
    local copy = table.move(list, 1, #list, 1, {})
    for i = 1, #copy do
      if is_unknown(copy[i]) then copy[i] = "made-up" end
    end
    return concat(copy, ...)
  end
end

-- What the script prints says figures that nobody measured.
local file = getmetatable(io.stdout).__index
local write, stdout = file.write, io.stdout
function file.write(to, ...)
  if rawequal(to, stdout) then return to end
  return write(to, ...)
end
function io.write() return stdout end

-- What it would have written is there for it from then on: text, or an empty file where nobody knows what was written; of a
-- folder `true`, and `false` of what it would have removed. By path, as scratch folders name it.
local written = {}
local function there(path)
  if type(path) == "string" then return written[host.scratch_name(path)] end
end
local function put(path, what)
  if type(path) ~= "string" then return end
  path = host.scratch_name(path)
  written[path] = what
  for folder in string.gmatch(path, "()/") do
    written[string.sub(path, 1, folder - 1)] = true
  end
end
local function write_to(path, text)
  leave_out("writing", path)
  put(path, text)
end

local open, lines = io.open, io.lines
local function nowhere(mode) return open("/dev/null", mode) end
function io.open(path, mode, ...)
  local is_read = type(path) ~= "string" or mode == nil or type(mode) == "string" and not string.find(mode, "[wa+]")
  if is_read and type(there(path)) ~= "string" then return open(path, mode, ...) end
  if not is_read then
    -- What is only added to stays what it is.
    local keeps = type(mode) == "string" and not string.find(mode, "w") and host.fs.exists(path)
    if keeps then
      leave_out("writing", path)
    else
      write_to(path, "")
    end
  end
  return nowhere(mode)
end
function io.lines(path, ...) return lines(type(there(path)) == "string" and "/dev/null" or path, ...) end
function io.popen(command)
  leave_out("running", command)
  return nowhere("r+")
end
local output = io.output
function io.output(to)
  if type(to) ~= "string" then return output() end
  write_to(to, "")
  return stdout
end
io.input(nowhere("r"))

function os.execute(command)
  if command == nil then return true end
  leave_out("running", command)
  return true, "exit", 0
end
-- A file that is only removed can still be read: a task may have written it anew.
local function remove(path)
  if type(path) == "string" then written[host.scratch_name(path)] = false end
end
function os.remove(path)
  leave_out("removing", path)
  remove(path)
  return true
end
-- What is moved is what was written, or lies there; else a task would have written it.
local function moved(path)
  if there(path) then return there(path) end
  local real <close> = type(path) == "string" and open(path, "rb") or nil
  if not real then return "" end
  return real:read "a" or true
end
function os.rename(from, to)
  leave_out("renaming", from)
  put(to, moved(from))
  local below, files = type(from) == "string" and host.scratch_name(from) .. "/", {}
  for path, what in pairs(written) do
    if below and string.sub(path, 1, #below) == below then files[path] = what end
  end
  for path, what in pairs(files) do
    remove(path)
    if what then put(to .. "/" .. string.sub(path, #below + 1), what) end
  end
  remove(from)
  return true
end
function os.tmpname() return "/dev/null" end

function host.fs.write(path, text)
  write_to(path, text)
  return true
end
function host.fs.mkdir(path)
  leave_out("making", path)
  put(path, true)
  return true
end
local read, exists = host.fs.read, host.fs.exists
function host.fs.read(path, ...)
  local text = there(path)
  if type(text) == "string" then return text end
  return read(path, ...)
end
function host.fs.exists(path, ...)
  local what = there(path)
  if what == nil then return exists(path, ...) end
  return what ~= false
end

local find = host.find
function host.find(name)
  local path = string.gsub(name, "%.", "/") .. ".lua"
  local text = there(path) or there("lua/" .. path)
  if type(text) == "string" then return "lua", "@" .. path, text end
  return find(name)
end

-- A file that a build needs, and would have been written.
local function input(path)
  local text = there(path)
  return type(text) == "string" and { path = host.scratch_name(path), hash = how.hash(text), executable = false }
end
local add_input, sources, tree = host.add_input, host.sources, host.tree
function host.add_input(path)
  local made = input(path)
  if made then return made end
  return add_input(path)
end
function host.sources(files, includes)
  local real, made = {}, {}
  for _, path in ipairs(files) do
    local own = input(path)
    table.insert(own and made or real, own or path)
  end
  local found, problem = sources(real, includes)
  return found and table.move(made, 1, #made, #found + 1, found), problem
end
function host.tree(folder, except)
  local files, folders = tree(folder, except)
  if not files and there(folder) == true then return {}, {} end
  return files, folders
end
function host.fs.tempdir() return "/nonexistent/made-up" end

--- Once the library is loaded: what describes tasks takes made-up values.
function M.finish(harness, library)
  local constructors, is_object = library.tasks.constructors, library.failure.is_object
  -- A copy of a task's options in which what is made up is a number: that is what options mostly are.
  local function with_numbers(value)
    if is_unknown(value) then return 1 end
    if type(value) ~= "table" or is_object(value) then return value end
    local copy = {}
    for key, item in pairs(value) do -- a sweep has its points so
      copy[key] = with_numbers(item)
    end
    return copy
  end
  for name in string.gmatch("exec compile measure compare", "%S+") do
    local describe = harness[name]
    local function dry(given, ...) return describe(with_numbers(given), ...) end
    harness[name], _G[name], constructors[dry] = dry, dry, name
  end
end

function host.stderr(text) M.said[#M.said + 1] = text end

return M
