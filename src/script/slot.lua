-- What a task finds in its slot besides Lua itself: `require "harness"`, modules from the root, and standard
-- functions that suit a process whose standard output is not the script's.
local host = ...

local error, select, tostring, type = error, select, tostring, type
local getinfo, getupvalue, traceback = debug.getinfo, debug.getupvalue, debug.traceback
local concat, pack = table.concat, table.pack
local find, format, gmatch = string.find, string.format, string.gmatch
local pairs, pcall = pairs, pcall
local stderr, stdin = io.stderr, io.stdin

-- The script's functions are here by name, so that a function that mentions one still travels.
local harness = {
  now = host.now,
  Error = host.Error,
  Record = host.Record,
  json = host.json,
  fs = host.fs,
  dl = host.dl,
  worker = { id = host.worker, slot = host.slot, host = host.host, gpus = {}, state = {} },
}
host.here = harness.worker
local session
function harness.session(given)
  session = session or host.session()
  return session(given)
end
for _, name in ipairs { "spawn", "submit", "await", "go", "wait", "as_completed", "map", "call", "exec", "compile", "measure", "compare" } do
  local function refuse() error("tasks cannot submit tasks: return a value and submit from the script", 2) end
  harness[name] = refuse
  _G[name] = refuse
end
package.loaded.harness = setmetatable(harness, {
  __index = function(_, name)
    error(format("harness.%s is for the script, a task cannot use it", tostring(name)), 2)
  end,
})

local load_text = load
function print(...)
  local words = pack(...)
  for i = 1, words.n do
    words[i] = tostring(words[i])
  end
  stderr:write(concat(words, "\t") .. "\n")
end
io.output(stderr)

-- The globals of the nearest caller that has any: a task's own.
local function callers_globals()
  local level = 3
  while true do
    local info = getinfo(level, "f")
    if not info then return _G end
    local i = 1
    repeat
      local name, value = getupvalue(info.func, i)
      if name == "_ENV" then return value end
      i = i + 1
    until not name
    level = level + 1
  end
end

-- Text only: bytecode can crash the process.
function load(chunk, name, _, ...)
  if select("#", ...) > 0 then return load_text(chunk, name, "t", ...) end
  return load_text(chunk, name, "t", callers_globals())
end

local loadfile_text = loadfile
function loadfile(name, _, ...)
  if select("#", ...) > 0 then return loadfile_text(name, "t", ...) end
  return loadfile_text(name, "t", callers_globals())
end

function dofile(name)
  local chunk, problem = loadfile_text(name, "t", callers_globals())
  if not chunk then error(problem, 0) end
  return chunk()
end

-- The campaign's own frames above the function that asks.
local function frames_above()
  local frames = {}
  for line in gmatch(traceback("", 3), "[^\n]+") do
    local ours = line == "stack traceback:" or find(line, "^%s*%[C%]: ") or find(line, "^%s*%[harness%]/")
    if not ours then frames[#frames + 1] = line end
  end
  return #frames > 0 and "stack traceback:\n" .. concat(frames, "\n") or ""
end

-- Runs where the error was raised: the frames are still there. Tasks may spoil the standard library: it uses
-- references of its own and no methods of strings.
local describe, advice = host.describe, host.advice
local function handler(value)
  local text = describe(value)
  if type(value) == "string" then text = text .. advice(text) end
  return { text, frames_above(), value }
end

-- Runs where a call was stopped.
local function where_stopped()
  return { host.where() or "", frames_above() }
end

-- A task may leave these changed for the whole process; what it did is undone after it. Which it was is noted, so
-- that other tasks pay nothing.
local undo = {
  setlocale = function(setlocale) setlocale "C" end,
  collectgarbage = function(collectgarbage)
    collectgarbage "restart"
    collectgarbage("incremental", 200, 100, 13)
  end,
  output = function(output) output(stderr) end,
  input = function(input) input(stdin) end,
}
local changed = {}
local function note(of, name, changes)
  local original = of[name]
  of[name] = function(...)
    if changes(...) then
      changed[name] = original
      host.changed(true)
    end
    return original(...)
  end
end
local HARMLESS = { collect = true, count = true, step = true, isrunning = true }
note(os, "setlocale", function(locale) return locale ~= nil end)
note(_G, "collectgarbage", function(option) return option ~= nil and not HARMLESS[option] end)
note(io, "output", function(file) return file ~= nil end)
note(io, "input", function(file) return file ~= nil end)
local function undo_changes()
  for name, original in pairs(changed) do
    changed[name] = nil
    pcall(undo[name], original)
  end
end

return { before = math.randomseed, handler = handler, where_stopped = where_stopped, undo = undo_changes }
