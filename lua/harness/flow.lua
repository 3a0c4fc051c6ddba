-- The scheduler of flows. A flow is a Lua coroutine that may wait for futures; the main script is one.
--
-- Ends of tasks are delivered one at a time: every flow that one of them woke runs until it waits again
-- before the next is looked at. What a script decides is thus a function of the order of the ends alone,
-- which is what makes a second run from the journal take the same decisions.
local host, lib = ...
local failure = lib.failure

local resume, yield, create = coroutine.resume, coroutine.yield, coroutine.create
local status, close, running, isyieldable = coroutine.status, coroutine.close, coroutine.running, coroutine.isyieldable
local setmetatable, getmetatable, error, type, select = setmetatable, getmetatable, error, type, select
local pack, unpack, pcall, xpcall = table.pack, table.unpack, pcall, xpcall
local take, result, now = host.take, host.result, host.now

local M = {}

-- What a flow yields to say that it waits, as opposed to a yield of the author's own coroutines.
local AWAIT = setmetatable({}, { __name = "await" })
-- A future that is never done: who waits for it ends the script (os.exit).
local EXIT = {}

local Future = { __name = "future", kind = "call" }
Future.__index = Future
M.Future = Future

local by_id = {} -- tasks that have not ended
local awaited = 0 -- how many (`next` on a table that was emptied looks at every place it ever had)
local quiet = {} -- likewise, but nobody waits for them: references that run only if needed
local flows = {} -- flows that have not ended, with the order they were started in
local started = 0
local ready, head, tail = {}, 1, 0 -- flows that can go on
local timers = {} -- { at = seconds, wake = function }
local unseen = {} -- function tasks that failed, before anybody asked
local stuck = setmetatable({}, { __mode = "k" }) -- the author's coroutines suspended inside an await
local needed = {} -- tasks that others were made to depend on: those tell how they ended
local failed = setmetatable({}, { __mode = "v" }) -- futures of tasks that did not end well, for `cause`
local ending -- set once the script is to end: "drain" or "exit"
local exit_code

local function push(flow)
  tail = tail + 1
  ready[tail] = flow
end

local function wake(f)
  local waiter = f.waiter
  if waiter then
    f.waiter = false
    push(waiter)
  end
  local more = f.waiters
  if more then
    f.waiters = nil
    for i = 1, #more do
      local w = more[i]
      if type(w) == "function" then w(f) else push(w) end
    end
  end
end

local function finish(f, ok, value, ...)
  f.ended, f.ok, f.value = true, ok, value
  if select("#", ...) > 0 then f.rest = pack(...) end
  wake(f)
end

--- A pending future of a task that was submitted.
function M.future(id, kind, deps, is_quiet)
  local f = setmetatable({ id = id, ended = false, ok = false, value = false, waiter = false, rest = false }, Future)
  if kind then f.kind = kind end
  if deps then
    f.deps = deps
    for _, dep in ipairs(deps) do needed[dep] = true end
  end
  if is_quiet then quiet[id] = f else by_id[id], awaited = f, awaited + 1 end
  return f
end

--- A future of a task that did not run: it has ended, with a record (a call: with an error).
function M.ended(kind, value)
  setmetatable(value, kind == "call" and failure.Error or failure.Record)
  local f = setmetatable({ ended = true, ok = false, value = value, waiter = false, rest = false }, Future)
  f.kind = kind
  if kind == "call" then unseen[f] = true end
  return f
end

local function cause_of(f)
  for _, dep in ipairs(f.deps or {}) do
    local culprit = failed[dep]
    if culprit then return culprit.value end
  end
end

-- Kinds other than a call end in a record; a call that failed ends in an error.
local function deliver_result(f)
  local value = result(f.kind, f.label)
  setmetatable(value, f.kind == "call" and failure.Error or failure.Record)
  if f.kind == "call" then
    value.task = f.id
    if not needed[f.id] then unseen[f] = true end
  end
  if not value.ok then
    failed[f.id] = f
    if value.status == "skipped" or value.kind == "skipped" then rawset(value, "cause", cause_of(f)) end
  end
  if f.on_record then f.on_record(value) end
  finish(f, value.ok or false, value)
end

local function deliver(id, ok, value, ...)
  if not id then return id end
  local f = by_id[id]
  if f then
    by_id[id], awaited = nil, awaited - 1
  else
    f = quiet[id]
    quiet[id] = nil
  end
  if ok then
    f.ended, f.ok, f.value = true, true, value
    if select("#", ...) > 0 then f.rest = pack(...) end
    wake(f)
  else
    deliver_result(f)
  end
  return id
end

-- Takes one end. `until_when`: false not waiting, true for ever, or seconds on the clock of `now`.
-- nil: nothing came (or nothing is on its way), false: the campaign is being stopped.
local function pump(until_when)
  local got = deliver(take(until_when))
  if got == false then ending = ending or "drain" end
  return got
end

local function fire_timers()
  local time, rest = now(), {}
  local due = {}
  for _, timer in ipairs(timers) do
    if timer.at <= time then due[#due + 1] = timer else rest[#rest + 1] = timer end
  end
  timers = rest
  for _, timer in ipairs(due) do timer.wake() end
end

-- Waits for the next thing to happen; false if nothing ever will.
local function idle()
  if #timers == 0 then
    repeat
      local got = pump(true)
      if not got then return got ~= nil end
    until head <= tail or awaited == 0 -- an end that woke nobody is nothing that happened
    return true
  end
  local first
  for _, timer in ipairs(timers) do
    if not first or timer.at < first then first = timer.at end
  end
  local got = pump(first or true)
  if got == nil and first then
    fire_timers()
    return true
  end
  return got ~= nil
end

local function after(seconds, fn)
  local timer = { at = now() + seconds, wake = fn }
  timers[#timers + 1] = timer
  return timer
end

local function drop_timer(timer)
  for i, t in ipairs(timers) do
    if t == timer then return table.remove(timers, i) end
  end
end

-- The name of the C function that makes it impossible to suspend, and the line it was called from.
local c_names = {}
for module, content in pairs(package.loaded) do
  if type(content) == "table" then
    for name, fn in pairs(content) do
      if type(fn) == "function" and type(name) == "string" and not (module == "_G" and c_names[fn]) then
        c_names[fn] = module == "_G" and name or module .. "." .. name
      end
    end
  end
end
local function culprit()
  for level = 3, 200 do
    local info = debug.getinfo(level, "nSf")
    if not info then break end
    if info.what == "C" and info.func ~= pcall and info.func ~= xpcall then
      return string.format("'%s'", c_names[info.func] or info.name or "a C function")
    end
  end
  return "a C function"
end

-- Where Lua cannot suspend (a sort comparator, a __gc): tasks go on, flows do not.
local function block(f)
  if f.kind == "flow" then
    failure.raise(string.format("await: cannot wait for another flow inside %s, which cannot be suspended; await it before", culprit()))
  end
  while not f.ended do
    local got = pump(true)
    if got == false then failure.raise("await: the campaign is being stopped") end
    if got == nil and not f.ended then failure.raise("await: nothing is running that could end this wait") end
  end
end

local function await_slow(f)
  if getmetatable(f) ~= Future then
    local what = type(f)
    if getmetatable(f) == lib.Task then what = "task that was not submitted: await(submit(...))" end
    failure.raise("await: expected a future, got a " .. what)
  end
  if not f.ended then
    if isyieldable() then yield(AWAIT, f) else block(f) end
  end
  if f.ok then
    if f.rest then return f.value, unpack(f.rest, 1, f.rest.n) end
    return f.value
  end
  if f.kind == "call" or f.kind == "flow" then
    unseen[f] = nil
    error(f.value, 0)
  end
  return f.value -- a record: its status says what the program did
end

--- Waits for a future and returns its result.
function M.await(f)
  if type(f) == "table" and f.ended and f.ok and f.rest == false then return f.value end
  return await_slow(f)
end

-- The author's own coroutines: an await inside passes through them to the scheduler.
local Guard = {
  __close = function(guard)
    local co = guard[1]
    if stuck[co] then
      stuck[co] = nil
      close(co)
    end
  end,
}
local function pass(co, ok, tag, ...)
  if not (ok and tag == AWAIT) then return ok, tag, ... end
  local f = ...
  if isyieldable() then
    stuck[co] = true
    do -- when the flow is closed while it waits here, the inner coroutine's <close> variables run too
      local guard <close> = setmetatable({ co }, Guard)
      yield(AWAIT, f)
      stuck[co] = nil
    end
  else
    block(f)
  end
  return pass(co, resume(co))
end

local function user_resume(co, ...)
  if stuck[co] then return false, "cannot resume a coroutine that is suspended in await" end
  return pass(co, resume(co, ...))
end

local function wrapped(co, ok, ...)
  if ok then return ... end
  local e = ...
  if status(co) == "dead" then pcall(close, co) end
  error(e, 0)
end

local function user_wrap(fn)
  local co = create(fn)
  return function(...) return wrapped(co, user_resume(co, ...)) end
end

local function retire(flow, ok, ...)
  flows[flow] = nil
  local e = ...
  if not ok then
    flow.traceback = failure.traceback(flow.co)
    close(flow.co)
    unseen[flow] = true
  end
  finish(flow, ok, ...)
  return e
end

local function settle(flow, ok, tag, ...)
  if status(flow.co) == "dead" then return retire(flow, ok, tag, ...) end
  local f = ...
  if tag ~= AWAIT then
    close(flow.co)
    return retire(flow, false, "coroutine.yield outside a coroutine (in the main script or a flow started by go)")
  end
  flow.waits_for = f
  if f == EXIT then return end
  if f.ended then
    push(flow)
  elseif not f.waiter and not f.waiters then
    f.waiter = flow
  else
    local more = f.waiters or {}
    f.waiters = more
    more[#more + 1] = flow
  end
end

local function start(fn, ...)
  local flow = setmetatable({ ended = false, ok = false, value = false, waiter = false, rest = false }, Future)
  started = started + 1
  flow.kind, flow.co, flow.fn, flow.order = "flow", create(fn), fn, started
  flows[flow] = true
  settle(flow, resume(flow.co, ...))
  return flow
end

local function callable(value)
  local meta = getmetatable(value)
  return type(value) == "function" or type(meta) == "table" and meta.__call ~= nil
end

--- Starts a flow: `fn(...)` runs at once until it waits; the future ends with what it returns.
function M.go(fn, ...)
  if not callable(fn) then failure.raise("go: expected a function, got a " .. type(fn)) end
  return start(fn, ...)
end

-- Calls `fn` when `f` is done (at once if it is).
local function when_done(f, fn)
  if f.ended then return fn(f) end
  local more = f.waiters or {}
  f.waiters = more
  more[#more + 1] = fn
end

local function condition()
  return setmetatable({ ended = false, ok = true, value = false, waiter = false, rest = false, kind = "condition" }, Future)
end

--- Ends a task or a flow that is not done.
function Future:cancel()
  if self.ended then return end
  if self.kind ~= "flow" then return host.cancel(self.id) end
  if self.co == running() then failure.raise("cancel: a flow cannot cancel itself; return instead") end
  if status(self.co) ~= "suspended" then failure.raise("cancel: this flow waits for the one that cancels it") end
  close(self.co)
  flows[self] = nil
  local e = setmetatable({ kind = "cancelled", message = "the flow was cancelled" }, failure.Error)
  finish(self, false, e)
end

--- Looks at what has ended meanwhile, without waiting.
function M.poll()
  if not ending then pump(now()) end
end

--- Somebody asked how this ended: no need to report it.
function M.asked(f)
  unseen[f] = nil
end

-- For futures.lua.
M.when_done, M.condition, M.finish, M.pump, M.after, M.drop_timer = when_done, condition, finish, pump, after, drop_timer

local function in_order()
  local list = {}
  for flow in pairs(flows) do list[#list + 1] = flow end
  table.sort(list, function(a, b) return a.order < b.order end)
  return list
end

-- `return await(f)` is a tail call, which leaves no line: then the function says where.
local function waits_at(flow)
  local line = failure.where(flow.co)
  if line or type(flow.fn) ~= "function" then return line and "at " .. line or "at a place of its own" end
  local info = debug.getinfo(flow.fn, "S")
  return string.format("at the end of the function at %s:%d", info.short_src, info.linedefined)
end

local function deadlock()
  local places = {}
  for _, flow in ipairs(in_order()) do
    places[#places + 1] = string.format("  %s waits %s", flow.main and "the main script" or "a flow", waits_at(flow))
  end
  return "deadlock: nothing is running and everybody waits:\n" .. table.concat(places, "\n")
end

-- Runs what is ready until `finished()`; nil, or why it cannot come to that.
local function run_until(finished)
  while not finished() and not ending do
    if head <= tail then
      local flow = ready[head]
      ready[head] = nil
      head = head + 1
      if head > tail then head, tail = 1, 0 end
      if not flow.ended then
        settle(flow, resume(flow.co))
        if flow.waits_for == EXIT and not flow.ended then ending = "exit" end
      end
    elseif not idle() and not ending then
      return deadlock()
    end
  end
end

local function close_all()
  local list = in_order()
  for i = #list, 1, -1 do -- what was started last ends first
    local flow = list[i]
    flows[flow] = nil
    local ok, e = close(flow.co)
    if not ok then host.stderr("harness: error in a <close> variable: " .. failure.describe(e)) end
  end
end

-- A script that failed or was left by os.exit wants nothing more: what still runs is ended.
local function cancel_all()
  for _, tasks in ipairs { by_id, quiet } do
    for id in pairs(tasks) do host.cancel(id) end
  end
end

local function report(flow)
  local text = failure.describe(flow.value)
  if flow.traceback and flow.traceback ~= "" then text = text .. "\n" .. flow.traceback end
  return text
end

--- Ends the script with this code, closing what is to be closed.
function M.exit(code)
  if code == nil or code == true then code = 0 elseif code == false then code = 1 end
  if math.type(code) ~= "integer" then failure.raise("os.exit: expected an integer or a boolean, got a " .. type(code)) end
  exit_code = code & 0xff
  if isyieldable() then yield(AWAIT, EXIT) end
  ending = "exit"
  error("os.exit inside a function that cannot be suspended", 0)
end

--- Runs the main script. Gives how it ended ("finished", "exit", "drain" or "error") and the exit code or
--- the text of the error.
function M.main(fn, ...)
  local main = start(fn, ...)
  main.main = true
  if main.waits_for == EXIT and not main.ended then ending = "exit" end
  local problem = run_until(function() return main.ended end)
  if main.ended and not main.ok and not ending then problem = report(main) end
  unseen[main] = nil
  if not problem and not ending then
    -- What was started and not waited for is still done.
    problem = run_until(function() return awaited == 0 and next(flows) == nil end)
  end
  close_all()
  if problem or ending == "exit" then cancel_all() end
  if ending == "exit" then return "exit", exit_code end
  if ending then return "drain" end
  local texts = { problem }
  local forgotten = {}
  for f in pairs(unseen) do forgotten[#forgotten + 1] = f end
  table.sort(forgotten, function(a, b) return (a.order or a.id or 0) < (b.order or b.id or 0) end)
  for _, f in ipairs(forgotten) do
    if f.kind == "flow" then
      texts[#texts + 1] = "in a flow that nobody awaited: " .. report(f)
    elseif f.value.kind ~= "cancelled" then
      host.stderr("harness: a call failed and nobody asked: " .. failure.describe(f.value))
    end
  end
  if #texts > 0 then return "error", table.concat(texts, "\n") end
  return "finished"
end

--- Puts the scheduler's versions in the place of Lua's own.
function M.install()
  local script = _G -- ours are copies
  script.coroutine.resume, script.coroutine.wrap = user_resume, user_wrap
  script.os.exit = M.exit
end

M.callable = callable
return M
