-- A dry run (`harness check`): the script runs, its tasks do not, and what it does to the world is left out and told. Loaded
-- before everything else of the library, so that this, too, writes and starts nothing. What C modules do nobody can prevent.
local host, how = ...
local M = { left_out = {}, said = {} }

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
local unknown = how.numbers and (how.other and 2.0 or 1.0) or setmetatable({}, Unknown)
local function same() return unknown end
for event in string.gmatch("add sub mul div mod pow unm idiv band bor bxor shl shr bnot call", "%S+") do
  Unknown["__" .. event] = same
end
-- As a list it has one item.
function Unknown.__index(_, key)
  if math.type(key) == "integer" and key ~= 1 then return nil end
  return unknown
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

local take = host.take
local function with_unknown(id, count, ...)
  if count == 0 then return id, 1, unknown end
  return id, count, ...
end
-- A call that ended here gave nothing; what the journal has of others is theirs.
function host.take(...) return with_unknown(take(...)) end

-- Where it cannot stand it is 1.
local function with_known(fn, instead)
  return function(...)
    local given = table.pack(...)
    for i = 1, given.n do
      if rawequal(given[i], unknown) then given[i] = instead end
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
  local concat = table.concat
  function table.concat(list, ...)
    if type(list) ~= "table" or getmetatable(list) then return concat(list, ...) end
    local copy = table.move(list, 1, #list, 1, {})
    for i = 1, #copy do
      if rawequal(copy[i], unknown) then copy[i] = "made-up" end
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

local open = io.open
local function nowhere(mode) return open("/dev/null", mode) end
function io.open(path, mode, ...)
  if type(path) ~= "string" or type(mode) ~= "string" or not string.find(mode, "[wa+]") then return open(path, mode, ...) end
  leave_out("writing", path)
  return nowhere(mode)
end
function io.popen(command)
  leave_out("running", command)
  return nowhere("r+")
end
local output = io.output
function io.output(to)
  if type(to) ~= "string" then return output() end
  leave_out("writing", to)
  return stdout
end
io.input(nowhere("r"))

function os.execute(command)
  if command == nil then return true end
  leave_out("running", command)
  return true, "exit", 0
end
function os.remove(path)
  leave_out("removing", path)
  return true
end
function os.rename(path)
  leave_out("renaming", path)
  return true
end
function os.tmpname() return "/dev/null" end

function host.fs.write(path)
  leave_out("writing", path)
  return true
end
function host.fs.mkdir(path)
  leave_out("making", path)
  return true
end
function host.fs.tempdir() return "/nonexistent/made-up" end

-- A copy of a task's options in which what is made up is a number: that is what options mostly are.
local function with_numbers(value)
  if rawequal(value, unknown) then return 1 end
  if type(value) ~= "table" or getmetatable(value) then return value end
  local copy = {}
  for key, item in next, value do
    copy[key] = with_numbers(item)
  end
  return copy
end

--- Once the library is loaded: what describes tasks takes made-up values.
function M.finish(harness)
  for name in string.gmatch("exec compile measure compare", "%S+") do
    local describe = harness[name]
    local function dry(given, ...) return describe(with_numbers(given), ...) end
    harness[name], _G[name] = dry, dry
  end
end

function host.stderr(text) M.said[#M.said + 1] = text end

return M
