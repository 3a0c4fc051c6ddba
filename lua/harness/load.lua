-- `load`, `loadfile` and `dofile` take text only: crafted bytecode can crash Lua.
local host, lib = ...
local failure = lib.failure

local raw_load, raw_loadfile = load, loadfile
local ESCAPE = "\27" -- the first byte of bytecode
local REFUSED = "bytecode is not loaded, only text"

local function text_mode(mode) return mode == nil or string.find(mode, "t", 1, true) end

function _G.load(chunk, name, mode, ...)
  if type(mode) == "string" and not text_mode(mode) or type(chunk) == "string" and string.sub(chunk, 1, 1) == ESCAPE then
    return nil, "load: " .. REFUSED
  end
  return raw_load(chunk, name, "t", ...)
end

function _G.loadfile(path, mode, ...)
  if type(mode) == "string" and not text_mode(mode) then return nil, "loadfile: " .. REFUSED end
  local fn, problem = raw_loadfile(path, "t", ...)
  if fn == nil and string.find(problem, "attempt to load a binary chunk", 1, true) then
    problem = string.format("loadfile: %s: %s", path, REFUSED)
  end
  return fn, problem
end

function _G.dofile(path)
  local fn, problem = _G.loadfile(path)
  if not fn then error(problem, 2) end
  return fn()
end
