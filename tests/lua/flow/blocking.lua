-- Where Lua cannot suspend: a task is waited for, other flows are not, and the error says who is to blame.
local function double(n) return submit(function(x) return 2 * x end, n) end
local function blamed(culprit, attempt)
  local flow = go(function() return await(double(1)) end)
  local problem
  attempt(function()
    assert(await(double(3)) == 6) -- a task
    local ok, e = pcall(await, flow)
    problem = not ok and e
  end)
  local text = ("await: cannot wait for another flow inside %s, which cannot be suspended; await it before"):format(culprit)
  assert(problem and problem:find(text, 1, true), ("expected `%s`, got `%s`"):format(text, problem))
  assert(await(flow) == 2)
end

local function first(fn, value) -- calls it, and gives the value
  fn()
  return value
end
blamed("'table.sort'", function(try) table.sort({ 1, 2 }, function() return first(try, false) end) end)
blamed("'string.gsub'", function(try) string.gsub("x", "x", try) end)
blamed("a __gc metamethod", function(try)
  setmetatable({}, { __gc = try })
  collectgarbage()
  collectgarbage()
end)
blamed("'require'", function(try)
  package.preload.top_level = try
  require "top_level"
end)
blamed("'tostring'", function(try) tostring(setmetatable({}, { __tostring = function() return first(try, "") end })) end)
blamed("a hook", function(try)
  debug.sethook(function()
    debug.sethook()
    try()
  end, "l")
  local _ = 1
  debug.sethook()
end)
blamed("a __close that coroutine.close or cancel runs", function(try)
  local co = coroutine.create(function()
    local _ <close> = setmetatable({}, { __close = try })
    coroutine.yield()
  end)
  coroutine.resume(co)
  assert(coroutine.close(co))
end)
-- Inside a coroutine of the author's, too.
blamed("'table.sort'", function(try)
  table.sort({ 1, 2 }, function()
    coroutine.wrap(try)()
    return false
  end)
end)

-- wait, as_completed and map there: with tasks they work, with flows it is the same error or says what is missing.
local function in_sort(fn)
  local result
  table.sort({ 1, 2 }, function()
    result = table.pack(pcall(fn))
    return false
  end)
  return table.unpack(result)
end
assert(in_sort(function() return #wait { double(1), double(2) } end))
assert(select(2, in_sort(function() return #wait({ double(1) }, { timeout = 60 }) end)) == 1)
assert(select(2, in_sort(function()
  local sum = 0
  for _, v in as_completed { double(1), double(2) } do sum = sum + v end
  return sum
end)) == 6)
assert(select(2, in_sort(function() return map(math.abs, { -1, -2 })[2] end)) == 2)
local never = go(function() await(go(function() await(double(1)) end)) end)
local ok, e = in_sort(function() wait { never } end)
assert(not ok and e:find("nothing is running that could end this wait, and inside 'table.sort' no other flow goes on", 1, true), e)
await(never)

-- Other flows that a task wakes meanwhile go on afterwards.
local order = {}
local waiter = go(function()
  await(double(1))
  order[#order + 1] = "flow"
end)
table.sort({ 1, 2 }, function()
  for _ = 1, 5 do await(double(1)) end
  order[#order + 1] = "sort"
  return false
end)
await(waiter)
assert(order[1] == "sort" and order[#order] == "flow", table.concat(order, " "))
