-- `harness.args`: the campaign's own command line, from a table of defaults.
local host, lib = ...
local failure = lib.failure

local function kind_of(name, default)
  local kind = math.type(default) or type(default)
  if kind ~= "table" then
    if kind == "integer" or kind == "float" or kind == "string" or kind == "boolean" then return kind end
    failure.raise(string.format("args: '%s': the default must be a string, a number, a boolean or a list, got a %s", name, kind))
  end
  return "list", default[1] == nil and "string" or kind_of(name, default[1])
end

local EXPECTED = { integer = "a whole number", float = "a number", boolean = "true or false" }

local function parse(name, text, kind)
  local value
  if kind == "string" then
    value = text
  elseif kind == "boolean" then
    if text == "true" or text == "yes" then return true end
    if text == "false" or text == "no" then return false end
  elseif kind == "integer" then
    value = math.tointeger(tonumber(text))
  else
    value = tonumber(text)
    value = value and value + 0.0
  end
  if value == nil then failure.raise(string.format("args: --%s: expected %s, got '%s'", name, EXPECTED[kind], text)) end
  return value
end

local function shown(value)
  if type(value) ~= "table" then return tostring(value) end
  local items = {}
  for i, item in ipairs(value) do
    items[i] = tostring(item)
  end
  return table.concat(items, ",")
end

local function usage(names, spec)
  local lines = { string.format("usage: harness %s [OPTION]...", host.campaign.script) }
  local width = 6
  for _, name in ipairs(names) do
    width = math.max(width, #name + 2)
  end
  for _, name in ipairs(names) do
    lines[#lines + 1] = string.format("  %-" .. width .. "s  %s (default: %s)", "--" .. name, spec[name].doc, shown(spec[name].default))
  end
  lines[#lines + 1] = string.format("  %-" .. width .. "s  show this", "--help")
  return table.concat(lines, "\n")
end

local function read_spec(given)
  if type(given) ~= "table" then failure.raise('args: expected a table { name = { default, "doc" } }') end
  local spec, names = {}, {}
  for name, entry in pairs(given) do
    if type(name) ~= "string" then failure.raise('args: options have names: { name = { default, "doc" } }') end
    if string.find(name, "-", 1, true) then
      local own = string.gsub(name, "%-", "_")
      failure.raise(string.format("args: '%s': write '%s', for args.%s; --%s gives it all the same", name, own, own, name))
    end
    if type(entry) == "table" and entry[1] == nil and next(entry) ~= nil then
      failure.raise(string.format("args: '%s': expected { default, \"doc\" }, and the default is missing", name))
    end
    if type(entry) ~= "table" or entry[1] == nil then entry = { entry } end
    local kind, item = kind_of(name, entry[1])
    spec[name] = { default = entry[1], doc = entry[2] or "", kind = kind, item = item }
    names[#names + 1] = name
  end
  table.sort(names)
  return spec, names
end

--- Reads the command line after the script's name. `given` maps names to { default, "what it is" }.
return function(given)
  local spec, names = read_spec(given)
  local values = {}
  for name, entry in pairs(spec) do
    values[name] = entry.default
  end
  local list, i = host.campaign.args, 1
  while i <= #list do
    local word = list[i]
    i = i + 1
    local name, text = string.match(word, "^%-%-([^=]+)=(.*)$")
    name = string.gsub(name or string.match(word, "^%-%-(.+)$") or "", "%-", "_")
    if name == "" then
      values[#values + 1] = word
    elseif name == "help" and not spec.help then
      print(usage(names, spec))
      host.only_usage()
      lib.flow.exit(0)
    else
      local off = string.match(name, "^no_(.+)$")
      if off and not spec[name] and spec[off] and spec[off].kind == "boolean" then
        name, text = off, "false"
      end
      local entry = spec[name]
      if not entry then
        local near = host.closest(name, names)
        failure.raise(
          string.format(
            "args: unknown argument '%s'%s; --help lists them",
            string.match(word, "^[^=]+"),
            near and string.format(" (did you mean '--%s'?)", near) or ""
          )
        )
      end
      if not text and entry.kind == "boolean" then
        local following = list[i]
        if following == "true" or following == "false" or following == "yes" or following == "no" then
          failure.raise(string.format("args: --%s %s: write --%s=%s", name, following, name, following))
        end
        text = "true"
      end
      if not text then
        text = list[i]
        i = i + 1
      end
      if not text then failure.raise(string.format("args: --%s needs a value", name)) end
      if entry.kind == "list" then
        local items = {}
        for item in string.gmatch(text .. ",", "([^,]*),") do
          if item ~= "" then items[#items + 1] = parse(name, item, entry.item) end
        end
        values[name] = items
      else
        values[name] = parse(name, text, entry.kind)
      end
    end
  end
  return failure.strict(values, "harness.args")
end
