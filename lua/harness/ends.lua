-- Futures, and how they end: what tasks wait for one another, and who goes on when one has ended.
--
-- Knows tasks by their numbers and flows as what is put into the queue of those that can go on; runs none (flow.lua).
local host, lib = ...
local failure = lib.failure

local setmetatable, select, type, ipairs, pairs, rawset = setmetatable, select, type, ipairs, pairs, rawset
local pcall, tostring = pcall, tostring
local pack, result = table.pack, host.result

local M = {}

local Future = { __name = "future", kind = "call" }
Future.__index = Future
failure.future_class(Future)
M.Future = Future

-- Of a future: `ended`; `well`, which is true, false or what a call returned after its first value; `outcome`, that value or the
-- record or error. None has the name of a field of an outcome, which is asked of what `await` gives. A million may be pending: what
-- is so of most is said here for all (but for `ended`, for which no call is to be made larger).
Future.ended, Future.well = false, true

-- Tasks that have not ended. Of a table with all of its 2^n places taken Lua looks at every one for each key that goes and comes: who
-- keeps 1024 tasks under way takes one place more.
local by_id = { [-1] = false }
--- How many those are (`next` on a table that was emptied looks at every place it ever had).
M.pending = 0
-- So many may be; flows that want to submit more wait for `room` (nil if none does).
local most, room = host.campaign.most_queued, nil
local weights = {} -- of those that count for more than one: for how many more
local quiet = {} -- likewise, but nobody waits for them: references that run only if needed
-- What pending tasks depend on, by task; how many depend on one, and how it ended if that was not well: they tell it as
-- their cause.
local deps_of, needed, culprits = {}, {}, {}

--- Function tasks and flows that failed, before anybody asked.
local unseen = {}
M.unseen = unseen

--- Flows that can go on, in order.
local ready = { first = 1, last = 0 }
M.ready = ready

local function push(flow)
  local last = ready.last + 1
  ready.last, ready[last] = last, flow
end

--- The next of them, or nil.
function M.pop()
  local first = ready.first
  if first > ready.last then return nil end
  local flow = ready[first]
  ready[first] = nil
  if first == ready.last then
    ready.first, ready.last = 1, 0
  else
    ready.first = first + 1
  end
  return flow
end

-- Whoever waits for `f` goes on, in the order they came.
local function wake(f)
  local waiters = f.waiters
  if not waiters then return end
  f.waiters = nil
  for i = 1, #waiters do
    local waiter = waiters[i]
    if type(waiter) == "function" then
      waiter(f)
    else
      push(waiter)
    end
  end
end

-- Calls a function, or lets a flow go on, when `f` has ended.
local function enlist(f, waiter)
  local waiters = f.waiters
  if waiters then
    waiters[#waiters + 1] = waiter
  else
    f.waiters = { waiter }
  end
end

--- Nobody waits any more: the function is not called, the flow not let go on.
function M.delist(f, waiter)
  local waiters = f.waiters
  for i = 1, waiters and #waiters or 0 do
    if waiters[i] == waiter then
      table.remove(waiters, i)
      return
    end
  end
end

local function finish(f, ok, value, ...)
  f.ended, f.outcome = true, value
  if not ok then
    f.well = false
  elseif select("#", ...) > 0 then
    f.well = pack(...)
  end
  wake(f)
end

--- A pending future of a task that was submitted.
function M.future(id, kind, deps, is_quiet)
  local f = setmetatable({ id = id, ended = false }, Future) -- room for both at once
  if kind then f.kind = kind end
  if deps then
    local pending = {}
    for _, dep in ipairs(deps) do
      if by_id[dep] or quiet[dep] then
        pending[#pending + 1] = dep
        needed[dep] = (needed[dep] or 0) + 1
      end
    end
    deps_of[id] = pending
  end
  if is_quiet then
    quiet[id] = f
  else
    by_id[id], M.pending = f, M.pending + 1
  end
  return f
end

--- A task whose arguments are large counts for so many more.
function M.weigh(id, weight)
  if weight > 0 and by_id[id] then
    weights[id], M.pending = weight, M.pending + weight
  end
end

--- A future of a task that did not run: it has ended, with a record (a call: with an error).
function M.ended(kind, value)
  setmetatable(value, kind == "call" and failure.Error or failure.Record)
  local f = setmetatable({ ended = true, well = false, outcome = value }, Future)
  f.kind = kind
  if kind == "call" then unseen[f] = true end
  return f
end

-- A task has ended and depends on nothing any more.
local function let_go(id)
  local deps = deps_of[id]
  if not deps then return end
  deps_of[id] = nil
  for _, dep in ipairs(deps) do
    local others = needed[dep] - 1
    if others == 0 then
      needed[dep], culprits[dep] = nil, nil
    else
      needed[dep] = others
    end
  end
end

local function complete(f, value)
  if f.on_record then f.on_record(value) end
  finish(f, value.ok or false, value)
  let_go(f.id)
end

-- Calls `fn` when `f` is done (at once if it is).
local function when_done(f, fn)
  if f.ended then return fn(f) end
  enlist(f, fn)
end

-- That it is skipped may be known before the end of what it is skipped for, which is written to the journal first.
local function complete_with_cause(f, value)
  local left, cause = 1, nil
  local function known(dep)
    left = left - 1
    if f.ended then return end
    if dep and not dep.well then cause = dep.outcome end
    if not cause and left > 0 then return end
    rawset(value, "cause", cause) -- records are read-only to the author
    complete(f, value)
  end
  for _, dep in ipairs(deps_of[f.id] or {}) do
    cause = cause or culprits[dep]
    local pending = by_id[dep] or quiet[dep]
    if pending then
      left = left + 1
      when_done(pending, known)
    end
  end
  known()
end

-- What a task came to is more than the memory that is left: it has ended all the same, and whoever asks gets the error.
local function lost(f, why)
  f.kind, f.label = "call", nil
  return { kind = "error", message = "what it came to could not be taken up: " .. string.match(tostring(why), "[^\n]*") }
end

-- Kinds other than a call end in a record; a call that failed ends in an error.
local function deliver_result(f)
  local made, value = pcall(result, f.kind, f.label or nil)
  if not made then value = lost(f, value) end
  if f.kind == "measure" then failure.strict_stats(value) end
  if f.kind == "compile" then failure.strict_messages(value) end
  if f.kind == "compare" then failure.strict_verdicts(value) end
  setmetatable(value, f.kind == "call" and failure.Error or failure.Record)
  local dependents = needed[f.id]
  if f.kind == "call" then
    value.task = f.id
    if not dependents and value.kind ~= "cancelled" then unseen[f] = true end
  end
  if dependents and not value.ok then culprits[f.id] = value end
  local skipped = value.status == "skipped" or value.kind == "skipped"
  if skipped then
    complete_with_cause(f, value)
  else
    complete(f, value)
  end
end

--- An end as `host.take` gives it: `count` is the number of values a call returned; nothing for all other ends. Gives
-- its task; nil: nothing came; false: the campaign is being stopped, or (false, true) this line of the terminal is to end.
function M.deliver(id, count, value, ...)
  if not id then return id, count end
  local f = by_id[id]
  if f then
    by_id[id], M.pending = nil, M.pending - 1
    local weight = weights[id]
    if weight then
      weights[id], M.pending = nil, M.pending - weight
    end
  else
    f = quiet[id]
    quiet[id] = nil
  end
  if count then
    f.ended, f.outcome = true, value
    if count > 1 then f.well = pack(...) end
    wake(f)
    if deps_of[id] then let_go(id) end
  else
    deliver_result(f)
  end
  if room and M.pending < most then
    local full = room
    room = nil
    host.set_full(false)
    finish(full, true)
  end
  return id
end

--- A future that ends when somebody calls `finish`; `list` is what it stands for.
function M.condition(list) return setmetatable({ kind = "condition", list = list }, Future) end

--- What ends before one more may be submitted; nil: there is room.
function M.room()
  if M.pending < most then return nil end
  if not room then
    room = M.condition()
    host.set_full(true)
  end
  return room
end

--- Somebody asked how this ended: no need to report it.
function M.asked(f) unseen[f] = nil end

--- A script that failed or was left by os.exit wants nothing more: what still runs is ended.
function M.cancel_all()
  for _, tasks in ipairs { by_id, quiet } do
    for id, f in pairs(tasks) do
      if f then host.cancel(id) end
    end
  end
end

M.push, M.enlist, M.finish, M.when_done = push, enlist, finish, when_done
return M
