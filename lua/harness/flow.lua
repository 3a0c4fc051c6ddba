-- The scheduler of flows. A flow is a Lua coroutine that may wait for futures; the main script is one.
--
-- Ends of tasks are delivered one at a time: every flow that one of them woke runs until it waits again
-- before the next is looked at. What a script decides is thus a function of the order of the ends alone,
-- which is what makes a second run from the journal take the same decisions.
local host, lib = ...
local failure, blame, timers, ends = lib.failure, lib.blame, lib.timers, lib.ends

local resume, yield, create = coroutine.resume, coroutine.yield, coroutine.create
local status, close, isyieldable = coroutine.status, coroutine.close, coroutine.isyieldable
local setmetatable, getmetatable, error, type = setmetatable, getmetatable, error, type
local pack, unpack, pcall, rawequal = table.pack, table.unpack, pcall, rawequal
local take = host.take
local Future, ready, unseen, deliver = ends.Future, ends.ready, ends.unseen, ends.deliver
local push, finish, enlist, when_done, condition = ends.push, ends.finish, ends.enlist, ends.when_done, ends.condition

local M = {}

-- What a flow yields to say that it waits, as opposed to a yield of the author's own coroutines.
local AWAIT = setmetatable({}, { __name = "await" })
-- What a line typed at a terminal ends with when it is told to.
local INTERRUPTED, INTERRUPTED_CODE = "interrupted", 130
-- Was this what ended a flow that computed? So it is raised by Rust.
local function is_interruption(e) return type(e) == "userdata" and string.find(tostring(e), "^[^\n]*" .. INTERRUPTED) ~= nil end
-- A future that is never done: who waits for it ends the script (os.exit).
local EXIT = {}
-- Awaits in a row that had nothing to wait for; after so many, others get their turn.
local MOST_SPINS = 1000

local flows = {} -- flows that have not ended, with the order they were started in
local started, living = 0, 0
local flow_of = {} -- their coroutines
local patient = {} -- flows that could go on and let others go first
local spins = 0
local listeners = 0 -- functions of `on_done` that are still to be called
local closing = 0 -- inside so many `coroutine.close`: what these run cannot be suspended
local interrupted = false -- somebody at a terminal does not want to wait any longer
local ending -- set once the script is to end: "drain" or "exit"
local exit_code

--- Called when a task is submitted that may be recorded, whenever the script lets others work, and at its end:
-- what the script keeps is in the journal before what follows from it. Returns what cannot be kept: an error, which who only waits hears
-- once, and who `insists` each time.
function M.keep_states(_) end

-- Takes one end. `until_when`: false not waiting, true for ever, or seconds on the clock of `now`.
-- nil: nothing came (or nothing is on its way), false: the campaign is being stopped, or what is done now is to end.
local function pump(until_when)
  local got, only_now = deliver(take(until_when))
  if got == false then
    if only_now then
      interrupted = true
    else
      ending = ending or "drain"
    end
  end
  return got
end

-- Looks at what has happened meanwhile, without waiting.
local function look()
  if ending then return end
  pump(0) -- a moment that is past
  timers.fire()
end

-- Waits for the next thing to happen; false if nothing ever will.
local function idle()
  local first = timers.first()
  if not first then
    repeat
      local got = pump(true)
      if not got then return got ~= nil end
    -- An end that woke nobody is nothing that happened; a finalizer may have set a timer.
    until ready.first <= ready.last or ends.pending == 0 or timers.first()
    return true
  end
  local got = pump(first)
  if got == nil then
    timers.fire()
    return true
  end
  return got ~= nil
end

local function can_suspend() return closing == 0 and isyieldable() end

-- Where Lua cannot suspend (a sort comparator, a __gc): tasks go on, flows do not. Gives why it is in vain.
local settle_here
local function block(f)
  if f.given then return settle_here(f) end
  local problem = M.keep_states()
  if problem then return problem end
  if f == EXIT then
    ending = "exit"
    return "os.exit inside a function that cannot be suspended"
  elseif f.kind == "flow" and not f.ended then
    local where = blame.culprit(closing > 0)
    return string.format("await: cannot wait for another flow inside %s, which cannot be suspended; await it before", where)
  end
  while not f.ended do
    local got = pump(true)
    if got == false then
      if not interrupted then return "await: the campaign is being stopped" end
      interrupted = false
      return INTERRUPTED
    end
    if got == nil and not f.ended then
      local where = blame.culprit(closing > 0)
      return string.format("await: nothing is running that could end this wait, and inside %s no other flow goes on", where)
    end
  end
end

-- Until `f` has ended: suspends the flow, or blocks. Raises if it is in vain.
local function pause(f)
  local problem
  if can_suspend() then
    problem = yield(AWAIT, f)
  else
    problem = block(f)
  end
  if problem then failure.raise(problem) end
end

-- Is this the only flow, so that there is no order to keep: no other one, no function of `on_done` that would start one?
local function alone() return living <= 1 and listeners == 0 and not timers.first() end

-- Waits without a switch to the scheduler and back where this is the only flow. Has `f` ended?
local function stay(f)
  if not alone() or not can_suspend() then return false end
  local problem = M.keep_states()
  if problem then failure.raise(problem) end
  repeat
    if not pump(true) then return false end
  until f.ended or not alone() -- a finalizer may have started one
  return f.ended
end

-- What else was given to `await`, and what to type instead.
local function no_future(value)
  local meta, instead = getmetatable(value), ""
  if meta == lib.Task then
    return "await: expected a future, got a task that was not submitted: await(submit(...))"
  elseif meta == failure.Record then
    instead = ", which is what await gives: it needs no second one"
  elseif type(value) == "function" then
    instead = ": await(submit(fn)) runs it on a worker, await(go(fn)) in the script"
  elseif type(value) == "table" and getmetatable(value[1]) == Future then
    return "await: expected a future, got a list of them: await each of them, or wait(list) for all"
  end
  return string.format("await: expected a future, got %s%s", failure.a(value), instead)
end

-- What `await` gives of a future that has not ended well in one value or none.
local function result_of(f)
  if f.well then return rawget(f, "outcome"), unpack(f.well, 1, f.well.n) end
  if f.kind == "call" or f.kind == "flow" then
    unseen[f] = nil
    error(f.outcome, 0)
  end
  return f.outcome -- a record: its status says what the program did
end

--- Waits for a future and returns its result, which may be nil: the class would take that for a field of a record.
function M.await(f, more)
  if more ~= nil then
    local instead = getmetatable(more) == Future and "await each of them, or wait(list) for all"
      or 'f:wait "1 s" waits that long at the most, and says whether it has ended'
    failure.raise("await takes one future and nothing else: " .. instead)
  end
  if getmetatable(f) ~= Future then failure.raise(no_future(f)) end
  spins = spins + 1
  if not f.ended then
    spins = 0
    if not stay(f) then pause(f) end
  elseif spins >= MOST_SPINS then
    spins = 0
    pause(f)
  end
  if f.well == true then return rawget(f, "outcome") end
  return result_of(f)
end

-- What has always ended: who waits for it lets those go first that can go on.
local PASSED = condition()
PASSED.ended = true

--- Returns when there is room for one more task; as at an `await`, others go on meanwhile. Who was just given room stands behind those
-- who wait for some.
function M.await_room()
  local room = ends.room()
  if room and ready.first <= ready.last and can_suspend() then
    pause(PASSED)
    room = ends.room()
  end
  while room do
    if not stay(room) then pause(room) end
    room = ends.room()
  end
end

-- Closes a coroutine; what its <close> variables run cannot be suspended.
local function shut(co)
  closing = closing + 1
  local closed, ok, e = pcall(close, co)
  closing = closing - 1
  if not closed then failure.raise(ok) end -- it is running
  return ok, e
end

local function forget(flow)
  living = living - 1
  flows[flow] = nil
  flow_of[flow.co] = nil
  flow.co, flow.fn, flow.waits_for = nil, nil, nil
end

local function wind_up(flow, e)
  flow.traceback = failure.traceback(flow.co)
  local told = blame.with_line(flow, e)
  if flow.order == 1 then host.leave(failure.where(flow.co)) end -- the script itself
  local closed, instead = shut(flow.co) -- runs its <close> variables, which may replace the error
  if not closed and not rawequal(instead, e) then return instead end
  return told
end

local function retire(flow, ok, ...)
  if ok then
    forget(flow)
    return finish(flow, true, ...)
  end
  local wound_up, e = pcall(wind_up, flow, ...)
  if not wound_up then e = blame.with_line(flow, ...) end -- the C stack is full
  if is_interruption((...)) then
    -- The line that is typed ends with it, and says so; else it would be told once more at the end.
    interrupted, flow.interruption = true, pack(...)
  else
    unseen[flow] = true
  end
  forget(flow)
  finish(flow, false, e)
end

local function park(flow, f)
  flow.waits_for = f
  if f == EXIT then
    ending = "exit"
  elseif f.ended then
    patient[#patient + 1] = flow
  else
    enlist(f, flow)
  end
end

local function enter(flow)
  local given = flow.given
  flow.given = nil
  return resume(flow.co, unpack(given, 1, given.n))
end

-- What a flow did when it was resumed: it ended, it waits, or it starts another. That one then runs from here
-- and not on top of its starter, so that flows may start one another however deep.
local function settle(flow, ok, tag, ...)
  if status(flow.co) == "dead" then
    retire(flow, ok, tag, ...)
  elseif not ok then -- it was not even entered: the C stack is full
    flow.refused = tag
    forget(flow)
  elseif tag ~= AWAIT then -- a C module that yields by itself
    retire(flow, false, "attempt to yield from outside a coroutine")
  else
    local f = ...
    if f.given then
      f.starter, flow.starts = flow, true
      return settle(f, enter(f))
    end
    park(flow, f)
  end
  local starter = flow.starter
  if starter and ending ~= "exit" then
    flow.starter, starter.starts = nil, nil
    return settle(starter, resume(starter.co))
  end
end

-- On top of whoever runs: for the main script, and where the starter cannot be suspended.
function settle_here(flow)
  local outer = closing
  closing = 0 -- it has a stack of its own
  settle(flow, enter(flow))
  closing = outer
end

local function start(fn, ...)
  started, living = started + 1, living + 1
  local flow = setmetatable({ kind = "flow", co = create(fn), fn = fn, order = started, given = pack(...) }, Future)
  flows[flow], flow_of[flow.co] = true, flow
  if can_suspend() then
    yield(AWAIT, flow)
  else
    settle_here(flow)
  end
  if flow.refused then
    failure.raise(string.format("go: the flow cannot be started here, inside too many C functions: %s", flow.refused))
  end
  if flow.interruption then
    interrupted = false
    error(flow.interruption[1], 0)
  end
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

--- Runs `fn(f)` in a flow of its own when `f` is done.
function M.on_done(f, fn)
  listeners = listeners + 1
  when_done(f, function()
    listeners = listeners - 1
    start(fn, f)
  end)
end

--- Ends a task or a flow that is not done. Of a task the end follows when it has come; a flow ends here.
function Future:cancel()
  failure.own(self, Future, "cancel")
  if self.ended then return end
  if self.kind ~= "flow" then return host.cancel(self.id) end
  if not rawget(self, "co") then return end -- it was closed before others, at the end of the script
  if status(self.co) ~= "suspended" or self.starts then
    failure.raise("cancel: a flow cannot cancel itself, nor one that is just starting it; return instead")
  end
  local ok, e = shut(self.co)
  forget(self)
  if ok then
    e = setmetatable({ kind = "cancelled", message = "the flow was cancelled" }, failure.Error)
  else
    unseen[self] = true -- an error of its own, in a <close> variable
  end
  finish(self, false, e)
end
Future.__close = Future.cancel

--- What was to end has ended by itself: the next line is another one.
function M.forget_interrupt() interrupted = false end

--- Looks at what has ended meanwhile, without waiting. Who does only that lets others go on now and then.
function M.poll()
  look()
  if interrupted then
    interrupted = false
    failure.raise(INTERRUPTED)
  end
  spins = spins + 1
  if spins >= MOST_SPINS and can_suspend() then
    spins = 0
    local nothing = condition()
    finish(nothing, true)
    pause(nothing)
  end
end

-- For futures.lua and coroutines.lua.
M.pump, M.after, M.drop_timer = pump, timers.after, timers.drop
M.AWAIT, M.flow_of, M.can_suspend, M.block, M.shut = AWAIT, flow_of, can_suspend, block, shut

local function in_order()
  local list = {}
  for flow in pairs(flows) do
    list[#list + 1] = flow
  end
  table.sort(list, function(a, b) return a.order < b.order end)
  return list
end

-- What cannot be kept is an error of the await of a flow that waits, which may catch it. False: nobody waits.
local function complain(problem)
  local flow = in_order()[1]
  if not flow then return false end
  ends.delist(flow.waits_for, flow)
  settle(flow, resume(flow.co, problem))
  return true
end

-- Runs what is ready until `finished()`; nil, or why it cannot come to that.
local function run_until(finished)
  while not finished() and not ending do
    local flow = ends.pop()
    if flow then
      spins = 0
      if not flow.ended then settle(flow, resume(flow.co)) end
    elseif patient[1] then
      look()
      for i, flow in ipairs(patient) do
        push(flow)
        patient[i] = nil
      end
    else
      local problem = M.keep_states()
      if problem then
        if not complain(problem) then return problem end
      elseif interrupted then
        interrupted = false
        local first = in_order()[1]
        if first and first.main then
          complain(INTERRUPTED)
        else -- nothing is typed any more
          ending, exit_code = "exit", INTERRUPTED_CODE
        end
      elseif not idle() and not ending then
        return blame.deadlock(in_order())
      end
    end
  end
end

local function close_all()
  local list = in_order()
  for i = #list, 1, -1 do -- what was started last ends first
    local flow = list[i]
    host.leave(failure.where(flow.co))
    local ok, e = shut(flow.co)
    forget(flow)
    if not ok then host.stderr("harness: error in a <close> variable: " .. failure.describe(e)) end
  end
end

--- Ends the script with this code, closing what is to be closed.
function M.exit(code)
  if code == nil or code == true then
    code = 0
  elseif code == false then
    code = 1
  end
  if math.type(code) ~= "integer" then failure.raise("os.exit: expected an integer or a boolean, got a " .. type(code)) end
  -- A process has a byte for it: a large number, or one of the system's, must not come out as 0.
  exit_code = (code < 0 or code > 0xff) and 0xff or code
  pause(EXIT)
end

local function play(fn, ...)
  local main = start(fn, ...)
  main.main = true
  local problem = run_until(function() return main.ended end)
  if main.ended and not main.well and not ending then problem = blame.error_of(main) end
  unseen[main] = nil
  if not problem and not ending then
    -- What was started and not waited for is still done.
    problem = run_until(function() return ends.pending == 0 and next(flows) == nil end)
  end
  close_all()
  local unkept = M.keep_states(true)
  problem = problem or unkept
  if problem or ending == "exit" then ends.cancel_all() end
  local of_flows, of_calls = blame.forgotten(unseen)
  if ending == "drain" then return "drain" end
  if ending == "exit" then
    blame.tell(of_flows)
    return "exit", exit_code
  end
  blame.tell(of_calls)
  local texts = { problem }
  for _, text in ipairs(of_flows) do
    texts[#texts + 1] = text
  end
  if #texts > 0 then return "error", table.concat(texts, "\n") end
  blame.tell { failure.forgotten() }
  return "finished"
end

--- Runs the main script. Gives how it ended ("finished", "exit", "drain" or "error") and the exit code or
--- the text of the error.
function M.main(fn, ...)
  local how, detail = play(fn, ...)
  local problem = lib.printed.unwritten()
  if not problem then return how, detail end
  if how == "finished" then return "error", problem end
  host.stderr("harness: " .. problem)
  if how == "exit" and detail == 0 then detail = 1 end
  return how, detail
end

--- Puts `os.exit` in the place of Lua's own.
function M.install() _G.os.exit = M.exit end

M.callable = callable
return M
