-- What a task finds in its slot besides Lua itself: `require "harness"`, modules from the root, and standard
-- functions that suit a process whose standard output is not the script's.
local host = ...

local error, select, tostring = error, select, tostring
local getinfo, getupvalue, traceback = debug.getinfo, debug.getupvalue, debug.traceback
local concat, pack = table.concat, table.pack
local stderr = io.stderr

-- The script's functions are here by name, so that a function that mentions one still travels.
local harness = {
  now = host.now,
  Error = host.Error,
  Record = host.Record,
  worker = { id = host.worker, slot = host.slot, host = host.host, state = {} },
}
for _, name in ipairs { "spawn", "submit", "await", "go", "wait", "as_completed", "map", "call", "exec", "compile", "measure", "compare" } do
  local function refuse() error("tasks cannot submit tasks: return a value and submit from the script", 2) end
  harness[name] = refuse
  _G[name] = refuse
end
package.loaded.harness = setmetatable(harness, {
  __index = function(_, name)
    error(("harness.%s is for the script, a task cannot use it"):format(tostring(name)), 2)
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

-- Runs where the error was raised: the frames are still there.
local function handler(value)
  local frames = {}
  for line in traceback("", 2):gmatch("[^\n]+") do
    local ours = line == "stack traceback:" or line:find("^%s*%[C%]: ") or line:find("^%s*%[harness%]/")
    if not ours then frames[#frames + 1] = line end
  end
  local trace = #frames > 0 and "stack traceback:\n" .. concat(frames, "\n") or ""
  return { host.describe(value), trace, value }
end

return math.randomseed, handler
