-- The author's own coroutines are those of plain Lua; every line that says so below was compared with lua5.4.
local co_create, wrap, yield, resume = coroutine.create, coroutine.wrap, coroutine.yield, coroutine.resume
local function double(n) return submit(function(x) return 2 * x end, n) end
local function equal(got, ...)
  local want = table.pack(...)
  for i = 1, math.max(got.n, want.n) do
    assert(got[i] == want[i], ("value %d: expected %s, got %s"):format(i, want[i], got[i]))
  end
end
local pack = table.pack

-- Values in and out, status on the way.
local co
co = co_create(function(a, b)
  local c, d = yield(a + b, nil)
  assert(coroutine.status(co) == "running")
  return c, d, nil
end)
assert(coroutine.status(co) == "suspended")
equal(pack(resume(co, 1, 2)), true, 3, nil)
equal(pack(resume(co, "c", nil)), true, "c", nil, nil)
assert(coroutine.status(co) == "dead")
equal(pack(resume(co)), false, "cannot resume dead coroutine")

-- Who is running, who may yield.
local main, is_main = coroutine.running()
assert(is_main and type(main) == "thread" and not coroutine.isyieldable())
wrap(function()
  local inner, is_main_too = coroutine.running()
  assert(not is_main_too and coroutine.isyieldable() and coroutine.isyieldable(inner))
  assert(coroutine.status(main) == "normal" and not coroutine.isyieldable(main))
  equal(pack(resume(main)), false, "cannot resume non-suspended coroutine")
  assert(not pcall(coroutine.close, main))
  table.sort({ 2, 1 }, function(a, b)
    assert(not coroutine.isyieldable() and not pcall(yield))
    return a < b
  end)
end)()
local ok, e = pcall(yield, 1)
assert(not ok and e:find("attempt to yield from outside a coroutine", 1, true), e)
ok, e = pcall(await, go(function() yield(5) end))
assert(not ok and e:find("^coroutines%.lua:%d+: attempt to yield from outside a coroutine"), e)

-- Errors: values stay, `wrap` adds the line that called it, `resume` does not.
co = co_create(function() error({ code = 1 }) end)
ok, e = resume(co)
assert(not ok and e.code == 1)
co = co_create(function() error "text" end)
equal(pack(resume(co)), false, "coroutines.lua:48: text")
local failing = wrap(function() error "text" end)
equal(pack(pcall(function()
  failing()
end)), false, "coroutines.lua:52: coroutines.lua:50: text")
equal(pack(pcall(function()
  failing()
end)), false, "coroutines.lua:55: cannot resume dead coroutine")

-- close: of one that waits in yield, its <close> variables and their errors.
local closed = {}
local function closing(name, fail)
  return setmetatable({}, { __close = function()
    closed[#closed + 1] = name
    if fail then error(fail, 0) end
  end })
end
co = co_create(function()
  local _ <close> = closing "a"
  yield()
end)
resume(co)
equal(pack(coroutine.close(co)), true)
equal(pack(coroutine.close(co)), true)
co = co_create(function()
  local _ <close> = closing("b", "in close")
  yield()
end)
resume(co)
equal(pack(coroutine.close(co)), false, "in close")
equal(pack(pcall(wrap(function()
  local _ <close> = closing("c", "replaced")
  error "lost"
end))), false, "replaced")
assert(table.concat(closed, " ") == "a b c")
assert(select("#", pcall(resume, 5)) == 2 and not pcall(resume, 5) and not pcall(co_create, 5))
ok, e = pcall(wrap(function() coroutine.close((coroutine.running())) end))
assert(not ok and e:find("cannot close a running coroutine", 1, true), e)

-- await inside: whoever resumes sees neither the wait nor what the scheduler passes through.
local other = 0
local ticker = go(function() for _ = 1, 3 do other = other + await(double(1)) end end)
co = co_create(function(x)
  local y = yield(await(double(x)))
  local _ <close> = setmetatable({}, { __close = function() await(double(1)) end })
  return await(double(y)), "end"
end)
equal(pack(resume(co, 1)), true, 2)
equal(pack(resume(co, 5)), true, 10, "end")
await(ticker)
assert(other == 6)

-- One that another flow has suspended in await: normal, as one that resumed another is.
co = co_create(function() return await(double(4)) end)
local f = go(function() return select(2, resume(co)) end)
assert(coroutine.status(co) == "normal")
equal(pack(resume(co)), false, "cannot resume a coroutine that is suspended in await")
assert(await(f) == 8 and coroutine.status(co) == "dead")
-- Closing it ends it; who resumed it is told.
co = co_create(function() await(double(1)) end)
f = go(function() return resume(co) end)
assert(coroutine.close(co) and coroutine.status(co) == "dead")
equal(pack(await(f)), false, "cannot resume dead coroutine")

-- A generator of generators over tasks; errors of tasks pass through as they are.
local function evens(n)
  return wrap(function() for i = 1, n do yield(await(double(i))) end end)
end
local sum = 0
for a in evens(3) do
  for b in evens(2) do sum = sum + a * b end
end
assert(sum == (2 + 4 + 6) * (2 + 4))
ok, e = resume(co_create(function() await(submit(function() error({ code = 7 }) end)) end))
assert(not ok and e.value.code == 7)

-- A thousand of them at once, each suspended in a flow of its own.
local flows = {}
for i = 1, 1000 do flows[i] = go(wrap(function() return await(double(i)) end)) end
for i, flow in ipairs(flows) do assert(await(flow) == 2 * i) end
