-- `require`, the same on the root and in slots: files and the paths of C modules come from `host.find`. Notes in
-- `host.loaded_from` where each module came from: by that the shipper knows what is the same on the other side.
local host = ...

local concat, sort, next, error, type = table.concat, table.sort, next, error, type
local load, loadlib, setmetatable = load, package.loadlib, setmetatable
local string = { format = string.format, gsub = string.gsub, match = string.match, sub = string.sub }
local is_text = utf8.len
local searchers, loaded, loaded_from = package.searchers, package.loaded, host.loaded_from

-- Names of the modules that are being loaded, outermost first.
local loading = {}
local over = setmetatable({}, {
  __close = function() loading[#loading] = nil end,
})

local function refuse_cycle(name)
  for i = 1, #loading do
    if loading[i] == name then
      error(
        string.format(
          "module '%s' requires itself: %s -> %s (require it inside the function that needs it)",
          name,
          concat(loading, " -> ", i),
          name
        ),
        0
      )
    end
  end
end

local function lua_loader(name, chunk_name, source)
  local chunk, problem = load(source, chunk_name, "t")
  if not chunk then error(string.format("error loading module '%s':\n\t%s", name, problem), 0) end
  loaded_from[name] = chunk_name
  local function loader(...)
    loading[#loading + 1] = name
    local _ <close> = over
    return (chunk(...))
  end
  return loader, (string.gsub(chunk_name, "^[@=]", ""))
end

-- Written in C: it lies on this node where it lies on the root, or where this node's LUA_CPATH says.
local function c_loader(name, path)
  local opener = "luaopen_" .. string.gsub(string.gsub(name, "^[^-]*%-", ""), "%.", "_")
  local loader, problem = loadlib(path, opener)
  if not loader then
    return string.format("on %s: cannot load '%s', which is where the root has it: %s", host.host or "the root", path, problem)
  end
  loaded_from[name] = path
  return loader, path
end

-- Those of the library are loaded from the beginning: one of them may be misspelt. What all of its names begin with makes
-- none of them like another.
local function meant(name)
  local begin, known = string.match(name, "^harness%.") or "", {}
  for other in next, loaded do
    if type(other) == "string" and string.sub(other, 1, #begin) == begin then known[#known + 1] = string.sub(other, #begin + 1) end
  end
  sort(known)
  local near = host.closest(string.sub(name, #begin + 1), known)
  return near and string.format("did you mean '%s%s'?\n\t", begin, near) or ""
end

searchers[2] = function(name)
  if not is_text(name) then return "a module's name is text in UTF-8" end
  refuse_cycle(name)
  local kind, where, source = host.find(name)
  if kind == "lua" then return lua_loader(name, where, source) end
  if kind == "c" then return c_loader(name, where) end
  return meant(name) .. (host.host and "on the root, where Lua files come from:\n\t" or "") .. where
end

for i = 3, 4 do
  local search = searchers[i]
  searchers[i] = function(name)
    local loader, path = search(name)
    if type(loader) == "function" then
      loaded_from[name] = path
    elseif loader and host.host then
      loader = string.format("on %s:\n\t%s", host.host, loader)
    end
    return loader, path
  end
end
