-- `await` works everywhere Lua can suspend, and blocks where it cannot.
local function double(n) return submit(function(x) return x * 2 end, n) end
local function failing() return submit(function() error({ kind = "task", message = "boom" }) end) end

local cases = {}
local function case(name, fn) cases[#cases + 1] = { name, fn } end

case("main chunk", function() return await(double(1)) == 2 end)
case("deep call", function()
  local function down(n)
    if n == 0 then return await(double(1)) end
    return (down(n - 1))
  end
  return down(150) == 2
end)
case("inside pcall", function()
  local ok, v = pcall(function() return await(double(1)) end)
  return ok and v == 2
end)
case("pcall(await, failing) gets the error's value", function()
  local ok, e = pcall(await, failing())
  return not ok and e.kind == "error" and e.value.kind == "task" and e.value.message == "boom"
end)
case("inside xpcall", function()
  local ok, v = xpcall(function() return await(double(1)) end, debug.traceback)
  return ok and v == 2
end)
case("inside the handler of xpcall", function()
  local _, v = xpcall(function() error("x") end, function() return await(double(1)) end)
  return v == 2
end)
case("coroutine.wrap generator in a for loop", function()
  local sum = 0
  for v in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(await(double(i))) end end) do sum = sum + v end
  return sum == 12
end)
case("coroutine.create and resume", function()
  local co = coroutine.create(function(a)
    local b = coroutine.yield(await(double(a)))
    return await(double(b))
  end)
  local _, x = coroutine.resume(co, 1)
  local _, y = coroutine.resume(co, x)
  return x == 2 and y == 4 and coroutine.status(co) == "dead"
end)
case("three nested coroutines", function()
  local w = coroutine.wrap
  return w(function() return w(function() return w(function() return await(double(4)) end)() end)() end)() == 8
end)
case("a yield of many values survives", function()
  local co = coroutine.create(function()
    await(double(1))
    coroutine.yield(1, nil, 3, nil)
  end)
  return select("#", coroutine.resume(co)) == 5
end)
case("resume of a coroutine that another flow has suspended in await", function()
  local co = coroutine.create(function() await(double(1)) end)
  local f = go(function() coroutine.resume(co) end)
  local ok, e = coroutine.resume(co)
  await(f)
  return ok == false and e == "cannot resume a coroutine that is suspended in await"
end)
case("iterator function", function()
  local i = 0
  local function it()
    i = i + 1
    if i < 3 then return await(double(i)) end
  end
  local sum = 0
  for v in it do sum = sum + v end
  return sum == 6
end)
case("__index", function()
  return setmetatable({}, { __index = function(_, k) return await(double(k)) end })[5] == 10
end)
case("the other metamethods", function()
  local function one() return await(double(1)) end
  local function yes() return await(double(1)) == 2 end
  local meta = { __newindex = one, __add = one, __eq = yes, __lt = yes, __concat = one, __call = one, __len = one, __unm = one }
  local a, b = setmetatable({}, meta), setmetatable({}, meta)
  a.x = 1
  return a + b == 2 and a == b and a < b and (a .. b) == 2 and a() == 2 and #a == 2 and -a == 2
end)
case("__close", function()
  local seen
  do
    local _ <close> = setmetatable({}, { __close = function() seen = await(double(1)) end })
  end
  return seen == 2
end)
case("__pairs", function()
  for _, v in pairs(setmetatable({}, { __pairs = function() return next, { a = await(double(1)) } end })) do return v == 2 end
end)
case("__tostring", function()
  return tostring(setmetatable({}, { __tostring = function() return "v" .. await(double(1)) end })) == "v2"
end)
case("ipairs over a proxy", function()
  local sum = 0
  for _, v in ipairs(setmetatable({}, { __index = function(_, k) if k < 3 then return await(double(k)) end end })) do sum = sum + v end
  return sum == 6
end)
case("table.sort comparator", function()
  local t = { 3, 1, 2 }
  table.sort(t, function(a, b) return await(double(a)) < await(double(b)) end)
  return t[1] == 1
end)
case("string.gsub callback", function()
  return (("1 2"):gsub("%d", function(d) return await(double(tonumber(d))) end)) == "2 4"
end)
case("reader of load", function()
  local n = 0
  local f = load(function()
    n = n + 1
    if n == 1 then return "return " .. await(double(1)) end
  end)
  return f() == 2
end)
case("top level of a required module", function()
  package.preload.m9 = function() return { v = await(submit(function() return 7 end)) } end
  return require("m9").v == 7
end)
case("dofile", function()
  local name = os.tmpname()
  local file = io.open(name, "w")
  file:write("return await(submit(function() return 7 end))")
  file:close()
  local seven = dofile(name)
  os.remove(name)
  return seven == 7
end)
case("table.concat with metamethods", function()
  local t = setmetatable({}, { __len = function() return 2 end, __index = function(_, i) return await(double(i)) end })
  return table.concat(t, ",") == "2,4"
end)
case("__gc", function()
  local seen
  setmetatable({}, { __gc = function() seen = await(double(1)) end })
  collectgarbage()
  collectgarbage()
  return seen == 2
end)
case("hook", function()
  local seen
  debug.sethook(function()
    debug.sethook()
    seen = await(double(1))
  end, "l")
  local _ = 1
  _ = 2
  debug.sethook()
  return seen == 2
end)
case("another flow awaited in a sort comparator is an error that names it", function()
  local flow = go(function() return await(double(1)) end)
  local t = { 2, 1 }
  local ok, e = pcall(table.sort, t, function(a, b)
    await(flow)
    return a < b
  end)
  await(flow)
  return ok == false and e:find("cannot wait for another flow inside 'table.sort'", 1, true)
end)
case("as_completed", function()
  local list, sum = {}, 0
  for i = 1, 5 do list[i] = double(i) end
  for _, r in as_completed(list) do sum = sum + r end
  return sum == 30
end)
case("as_completed with failures", function()
  local n, failures = 0, 0
  for _, r, e in as_completed { double(1), failing(), double(2) } do
    if e then failures = failures + 1 else n = n + r end
  end
  return n == 6 and failures == 1
end)
case("two flows await one future", function()
  local f = double(3)
  local a, b = go(function() return await(f) end), go(function() return await(f) end)
  return await(a) == 6 and await(b) == 6
end)
case("coroutine.yield outside a coroutine is an error", function()
  local ok, e = pcall(await, go(function() coroutine.yield(5) end))
  return not ok and e:find("attempt to yield from outside a coroutine", 1, true)
end)
case("await of something else is an error", function()
  local ok, e = pcall(await, {})
  return not ok and e:find("await: expected a future, got a table", 1, true)
end)
case("coroutine.close on a coroutine suspended in await", function()
  local closed
  local co = coroutine.create(function()
    local _ <close> = setmetatable({}, { __close = function() closed = true end })
    await(double(1))
  end)
  local f = go(function() coroutine.resume(co) end)
  coroutine.close(co)
  pcall(await, f)
  return closed
end)

local wrong = {}
for _, c in ipairs(cases) do
  local ok, result = pcall(c[2])
  if not (ok and result) then wrong[#wrong + 1] = c[1] .. ": " .. tostring(result) end
end
assert(#cases == 33)
assert(#wrong == 0, table.concat(wrong, "\n"))
