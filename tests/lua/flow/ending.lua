-- Futures that are awaited twice, cancelled, closed; pools that are closed.
local harness = require "harness"
local function says(text, fn, ...)
  local ok, e = pcall(fn, ...)
  assert(not ok, "no error: " .. text)
  assert(tostring(e):find(text, 1, true), ("expected `%s`, got `%s`"):format(text, tostring(e)))
  return e
end
local function id(...) return ... end
local function nap() return submit(exec { cmd = { "sleep", "1000" } }) end

-- Twice: the same again, values and errors.
local f = submit(id, 1, nil, 3)
for _ = 1, 2 do
  local got = table.pack(await(f))
  assert(got.n == 3 and got[1] == 1 and got[3] == 3)
end
local bad = submit(error, { code = 1 })
local first = select(2, pcall(await, bad))
assert(first == select(2, pcall(await, bad)) and first.value.code == 1)

-- Of a cancelled call: an error that says so. Until its end has come it is pending: it may still end well.
local pool <close> = spawn { workers = 1, slots = 2 }
local running = { nap(), nap() }
local queued = submit(id, 1)
queued:cancel()
assert(queued:status() == "pending" or queued:status() == "cancelled")
local e = says("cancelled", await, queued)
assert(e.kind == "cancelled" and queued:status() == "cancelled" and e.message:find("cancelled", 1, true))
for _, f in ipairs(running) do f:cancel() end
for _, f in ipairs(running) do assert(await(f).status == "cancelled") end

-- A flow that is cancelled ends where it waits, with its <close> variables; tasks it started go on.
local closed, task
local function closing(fn) return setmetatable({}, { __close = fn }) end
local flow = go(function()
  local _ <close> = closing(function()
    closed = await(submit(id, "blocks here")) -- nothing suspends while a flow is being closed
  end)
  task = nap()
  await(task)
end)
flow:cancel()
assert(closed == "blocks here" and flow:status() == "cancelled" and flow:done())
assert(says("the flow was cancelled", await, flow).kind == "cancelled")
assert(task:status() == "pending")
task:cancel()
flow:cancel()

-- A future as a <close> variable is cancelled if it is not done: so nothing outlives its block.
local held, inner
do
  local a <close> = nap()
  local b <close> = go(function()
    local c <close> = nap()
    inner = c
    await(c)
  end)
  local done <close> = go(id, 5)
  held = { a, b, done }
end
assert(held[2]:status() == "cancelled" and await(held[3]) == 5)
assert(await(held[1]).status == "cancelled" and await(inner).status == "cancelled")
local other = go(function()
  local c <close> = nap()
  inner = c
  await(c)
end)
other:cancel()
assert(await(inner).status == "cancelled")

-- An error in a <close> variable of a cancelled flow is the flow's.
flow = go(function()
  local _ <close> = closing(function() error("in close", 0) end)
  local task <close> = nap()
  await(task)
end)
flow:cancel()
says("in close", await, flow)
-- Cancelled while it waits inside a coroutine, in wait, as_completed, map.
local list = {}
for i, body in ipairs {
  function() coroutine.wrap(function() await(list[1]) end)() end,
  function() wait(list) end,
  function() for _ in as_completed(list) do end end,
  function() list[1]:wait() end,
  function() map(function() os.execute "exec sleep 1000" end, { 1, 2, 3 }, { in_flight = 2 }) end,
} do
  list = { nap() }
  local ran = 0
  local stuck = go(function()
    local _ <close> = closing(function() ran = ran + 1 end)
    body()
  end)
  stuck:cancel()
  assert(ran == 1 and stuck:status() == "cancelled", i)
  list[1]:cancel()
  assert(await(list[1]).status == "cancelled")
end
assert(await(submit(id, 1)) == 1) -- what `map` had sent is cancelled too: there is a free slot

-- One flow's error is its own.
local good = go(function() return await(submit(id, 1)) end)
local wrong = go(function() return await(submit(id, nil)) + 1 end)
assert(await(good) == 1)
says("attempt to perform arithmetic on a nil value", await, wrong)
local errors = {}
good:on_done(function(g) errors[1] = select(2, pcall(error, await(g))) end)
assert(errors[1] == 1)
says("cancel: a flow cannot cancel itself, nor one that is just starting it; return instead", function()
  local outer
  outer = go(function()
    await(submit(id))
    await(go(function() outer:cancel() end))
  end)
  await(outer)
end)

-- A closed pool takes nothing more.
local second = spawn { workers = 1, slots = 1 }
f = second:submit(id, 2)
second:close()
second:close()
assert(await(f) == 2 and second.closed)
says(("pool:submit: pool %d is closed; submit before close(), or to another pool"):format(second.id), function()
  second:submit(id, 1)
end)
assert(await(submit(id, 3)) == 3) -- `submit` goes to the newest that is open
assert(getmetatable(first) == harness.Error)
