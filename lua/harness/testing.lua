-- `harness test`: which functions of a file are its tests, and what became of each. A test is a flow of its own: it may
-- submit and await. Knows nothing of who is told.
local _, lib = ...
local flow, failure, blame = lib.flow, lib.failure, lib.blame

local M = {}

-- LuaUnit, where a file requires it, says in its errors what they are.
local LUAUNIT = { failed = "LuaUnit test FAILURE:%s*", skipped = "LuaUnit test SKIP:%s*", passed = "LuaUnit test SUCCESS" }

local function is_test(name) return type(name) == "string" and string.find(name, "^[Tt]est") ~= nil end

local function member(owner, names)
  for name in string.gmatch(names, "%S+") do
    if type(rawget(owner, name)) == "function" then return rawget(owner, name) end
  end
end

-- Adds the tests of a table: its functions called test…, and those of its tables called so, which are classes.
local function collect(list, owner, prefix)
  for name, value in pairs(owner) do
    if is_test(name) and type(value) == "function" then
      local info = debug.getinfo(value, "S")
      list[#list + 1] = {
        name = prefix .. name,
        run = value,
        owner = owner ~= _G and owner or nil,
        before = member(owner, "setUp setup SetUp"),
        after = member(owner, "tearDown teardown TearDown"),
        line = info.linedefined,
        place = string.format("%s:%d", info.short_src, info.linedefined),
      }
    elseif is_test(name) and type(value) == "table" and prefix == "" then
      collect(list, value, name .. ".")
    end
  end
end

local function in_order(list)
  table.sort(list, function(a, b)
    if a.line ~= b.line then return a.line < b.line end
    return a.name < b.name
  end)
  return list
end

-- Runs a function of a test; nil, or its error: as value and as text that begins with a line of the file.
local function attempt(run, owner)
  local of = flow.go(run, owner)
  local ok, e = pcall(flow.await, of)
  if ok then return nil end
  local text = blame.error_of(of)
  local where = string.match(of.traceback or "", "\n%s*(%S+:%d+):")
  if where and not string.find(text, "^[^\n:]+:%d+:") then text = where .. ": " .. text end
  return { value = e, text = text }
end

local function outcome(problem)
  if not problem then return "passed", "" end
  local value = type(problem.value) == "string" and problem.value or ""
  if string.find(value, LUAUNIT.passed, 1, true) then return "passed", "" end
  local _, behind = string.find(value, LUAUNIT.skipped)
  if behind then return "skipped", string.sub(value, behind + 1) end
  return "failed", (string.gsub(problem.text, LUAUNIT.failed, "", 1))
end

local function play(test)
  local problem = test.before and attempt(test.before, test.owner)
  problem = problem or attempt(test.run, test.owner)
  local cleaning = test.after and attempt(test.after, test.owner)
  return outcome(problem or cleaning)
end

--- The main function of a file of tests: runs the file, then those of its tests whose name has `filter` in it. `tell` hears
-- of each: "began", its name and place, then how it ended and why.
function M.wrap(main, filter, tell)
  -- Called by a tail call it is the main chunk in tracebacks, as it is without us.
  local function file(...) return main(...) end
  return function(...)
    local returned, list = file(...), {}
    collect(list, type(returned) == "table" and not failure.is_object(returned) and returned or _G, "")
    for _, test in ipairs(in_order(list)) do
      if string.find(test.name, filter, 1, true) then
        io.stdout:flush()
        tell("began", test.name, test.place)
        local how, why = play(test)
        io.stdout:flush()
        tell(how, test.name, why)
      else
        tell("left", test.name, test.place)
      end
    end
  end
end

return M
