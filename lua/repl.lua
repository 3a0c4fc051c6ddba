-- What `harness repl` runs: takes what is typed, runs it in the script's own flow, and shows what it gives. Of the session:
-- `want()` has the next chunk read, which comes as a line from outside (`await_line`), as do questions of who reads it, for
-- `answer(path)`, and why it can read no more; `begin(is_last)` a line; `describe(e)` what people are shown of an error, `sorted_keys(t)` the keys of a
-- table in the order that errors name them.
-- Its globals are its own: whatever is done to those of the session, it goes on.
local session, harness = ...
local describe, sorted_keys, await = session.describe, session.sorted_keys, harness.await
rawset(_G, "harness", harness)

local MOST_DEPTH, MOST_ENTRIES, MOST_COLUMNS = 4, 30, 100

local show ---@type fun(value: any, depth: integer, outer: table): string

local function key_text(key)
  if type(key) == "string" and string.find(key, "^[%a_][%w_]*$") then return key end
  return "[" .. show(key, MOST_DEPTH, {}) .. "]"
end

-- What does not fit into a line: a field in each, of a list as many as fit.
local function in_lines(parts, is_list, indent)
  local lines = {}
  for i, part in ipairs(parts) do
    if i < #parts then part = part .. "," end
    local joined = (lines[#lines] or "") .. " " .. part
    if i > 1 and is_list and #joined <= MOST_COLUMNS and not string.find(joined, "\n", 1, true) then
      lines[#lines] = joined
    else
      lines[#lines + 1] = indent .. "  " .. part
    end
  end
  return "{\n" .. table.concat(lines, "\n") .. "\n" .. indent .. "}"
end

local function table_text(value, depth, outer)
  if outer[value] then return "{ ... itself }" end
  if depth >= MOST_DEPTH then return next(value) == nil and "{}" or "{ ... }" end
  outer[value] = true
  local keys, parts, n = {}, {}, #value
  for i = 1, math.min(n, MOST_ENTRIES) do
    parts[i] = show(value[i], depth + 1, outer)
  end
  for _, key in ipairs(sorted_keys(value)) do
    if not (math.type(key) == "integer" and key >= 1 and key <= n) then keys[#keys + 1] = key end
  end
  for _, key in ipairs(keys) do
    if #parts >= MOST_ENTRIES then break end
    parts[#parts + 1] = key_text(key) .. " = " .. show(rawget(value, key), depth + 1, outer)
  end
  outer[value] = nil
  local left = n + #keys - #parts
  if left > 0 then parts[#parts + 1] = string.format("... %d more", left) end
  if #parts == 0 then return "{}" end
  local line = "{ " .. table.concat(parts, ", ") .. " }"
  if #line + 2 * depth <= MOST_COLUMNS and not string.find(line, "\n", 1, true) then return line end
  return in_lines(parts, #keys == 0, string.rep("  ", depth))
end

-- A value as one would write it, or as it says of itself.
function show(value, depth, outer)
  if type(value) == "string" then
    if depth == 0 then return value end
    return (string.gsub(string.format("%q", value), "\\\n", "\\n"))
  end
  local meta = type(value) == "table" and getmetatable(value)
  if type(value) ~= "table" or type(meta) == "table" and meta.__tostring then return tostring(value) end
  return table_text(value, depth, outer)
end

-- What a line gave.
local function answer(...)
  local given = table.pack(...)
  if given.n == 0 then return end
  rawset(_G, "_", given[1])
  for i = 1, given.n do
    local shown, text = pcall(show, given[i], 0, {})
    given[i] = shown and text or string.format("(a %s that cannot be shown: %s)", type(given[i]), describe(text))
  end
  print(table.concat(given, "\t", 1, given.n))
end

local function tell(ok, ...)
  if ok then
    answer(...)
  else
    io.stderr:write((string.gsub(describe((...)), "^runtime error: (interrupted)$", "%1")), "\n")
  end
end

-- What people type who do not know yet; unless a script means something by it.
local HINTS = {
  exit = "Ctrl-D ends the session, or os.exit()",
  quit = "Ctrl-D ends the session, or os.exit()",
  help = "docs/repl.md tells of the session, docs/campaigns.md of all a campaign has; Tab completes names",
}

-- The next chunk, as soon as it is whole, nil after the last. Meanwhile tasks and flows go on.
local coming
local function read()
  local is_wanted = session.want()
  while is_wanted do
    coming = coming or session.future(session.await_line())
    local ok, line = pcall(await, coming)
    if ok then
      coming = nil
      if not line then break end
      local kind, text = string.sub(line, 1, 1), string.sub(line, 2)
      if kind == "!" then error(text, 0) end
      if kind == ">" then
        session.begin(false)
        return text
      end
      session.answer(text)
    elseif not string.find(describe(line), "interrupted$") then -- nothing is there to end
      pcall(tell, false, line)
    end
  end
  session.begin(true)
  session.forget_described()
end

for text in read do
  local word = string.match(text, "^%s*(%a+)%s*$")
  if HINTS[word] and rawget(_G, word) == nil then text = string.format("%q", HINTS[word]) end
  text = string.gsub(text, "^=", "") -- as in Lua's own interpreter
  local chunk, why = load("return " .. text, "=repl", "t", _G)
  if not chunk then
    chunk, why = load(text, "=repl", "t", _G)
  end
  if chunk then
    pcall(tell, pcall(chunk))
  else
    tell(false, why)
  end
end
