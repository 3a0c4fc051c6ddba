-- What an author does with futures besides awaiting them: `wait`, `as_completed`, and their methods. `map` is in map.lua.
local host, lib = ...
local failure, flow = lib.failure, lib.flow
local ends = lib.ends
local await, when_done, condition, finish, asked = flow.await, ends.when_done, ends.condition, ends.finish, ends.asked
local delist = ends.delist

local M = {}
local Future = ends.Future

-- "pending", or how it ended in one word. Does not count as asking for it.
local function state_of(f)
  if not f.ended then return "pending" end
  if f.well then return "ok" end
  return type(f.outcome) == "table" and (f.outcome.status or f.outcome.kind) or "error"
end

-- `seen`: flows that are explained already, which may wait for one another.
local function explain(f, seen)
  if f.ended then return "it has ended: " .. state_of(f) end
  if f.kind ~= "flow" then return host.explain(f.id) end
  if seen[f] then return "see before" end
  seen[f] = true
  return lib.blame.waits(f, function(other) return explain(other, seen) end)
end

--- Why a future has not ended: a sentence for people.
function M.explain(f)
  if getmetatable(f) ~= Future then failure.raise("harness.explain: expected a future, got " .. failure.a(f)) end
  if not f.ended then flow.poll() end
  return explain(f, {})
end

local function expect_futures(who, list)
  if type(list) ~= "table" or getmetatable(list) == Future then
    failure.raise(string.format("%s: expected a list of futures, got a %s", who, type(list) == "table" and "future" or type(list)))
  end
  for i = 1, #list do
    if list[i] == nil then
      failure.raise(string.format("%s: expected a list of futures without gaps and names, and [%d] is missing", who, i))
    elseif getmetatable(list[i]) ~= Future then
      failure.raise(string.format("%s: expected a list of futures, got a %s at [%d]", who, type(list[i]), i))
    end
  end
  -- What else the author keeps beside them is his; but where futures have names or numbers of their own alone, none would be seen.
  local n = #list
  for key, value in next, list do
    local is_seen = math.type(key) == "integer" and key >= 1 and key <= n or n > 0 and math.type(key) ~= "integer"
    if getmetatable(value) == Future and not is_seen then
      local text =
        "%s: expected a list of futures without gaps and names, and one is at [%s]: collect them with list[#list + 1] = submit(...)"
      failure.raise(string.format(text, who, failure.a(key)))
    end
  end
end

-- A function that is called at the end of each of these futures, as long as the variable is not closed.
local Watch = {
  __close = function(watch)
    for i = 1, #watch do
      delist(watch[i], watch.fn)
    end
  end,
}

-- So far of none.
local function watch(fn) return setmetatable({ fn = fn }, Watch) end

function Watch.add(watching, f)
  watching[#watching + 1] = f
  when_done(f, watching.fn)
end

--- Waits for some or all of a list; gives those that are done and those that are not, in the list's order.
function M.wait(list, options)
  expect_futures("wait", list)
  options = lib.options.check("wait", options or {})
  local count, timeout = options.count or "all", options.timeout
  local want = count == "all" and #list or math.min(count, #list)
  local have, enough = 0, condition(list)
  local function one()
    have = have + 1
    if have == want and not enough.ended then finish(enough, true) end
  end
  local watching <close> = watch(one)
  for i = 1, #list do
    Watch.add(watching, list[i])
  end
  if want == 0 and not enough.ended then finish(enough, true) end
  if not enough.ended then
    local timer = timeout and flow.after(timeout, function()
      if not enough.ended then finish(enough, true) end
    end)
    if timer and not flow.can_suspend() then
      local got
      repeat
        got = flow.pump(timer.at)
      until enough.ended or not got
      if got == false then failure.raise("wait: the campaign is being stopped") end
      enough.ended = true
    end
    await(enough)
    if timer then flow.drop_timer(timer) end
  end
  local done, pending = {}, {}
  for i = 1, #list do
    local f = list[i]
    if f.ended then
      done[#done + 1] = f
    else
      pending[#pending + 1] = f
    end
  end
  return done, pending
end

-- What has arrived and was not taken yet, in order. Several flows may wait for more.
local Queue = {}
Queue.__index = Queue

--- An empty one; `list` is what those wait for who wait for it.
function M.queue(list) return setmetatable({ items = {}, first = 1, last = 0, bell = false, list = list }, Queue) end

function Queue:put(item)
  self.last = self.last + 1
  self.items[self.last] = item
  local bell = self.bell
  if bell then
    self.bell = false
    finish(bell, true)
  end
end

-- The first one, or nil.
function Queue:take()
  local item = self.items[self.first]
  if item ~= nil then
    self.items[self.first] = nil
    self.first = self.first + 1
  end
  return item
end

function Queue:wait()
  self.bell = self.bell or condition(self.list)
  await(self.bell)
end

-- What `as_completed` gives: called by `for`, and not a list.
local function not_a_list() failure.raise("as_completed gives an iterator, not a list: for future, result in as_completed(list) do ... end") end
local Iterator = { __name = "iterator", __index = not_a_list, __pairs = not_a_list, __len = not_a_list }
function Iterator.__call(iterator) return iterator.next() end

--- Iterates over futures as they end: future, result, error. Futures appended meanwhile are included.
function M.as_completed(list)
  expect_futures("as_completed", list)
  local ended = M.queue(list)
  local watching = watch(function(f) ended:put(f) end)
  local function next_one()
    local f
    repeat
      while #watching < #list do
        local added = list[#watching + 1]
        if getmetatable(added) ~= Future then expect_futures("as_completed", list) end
        Watch.add(watching, added)
      end
      f = ended:take()
      if not f then
        if ended.first > #watching then return nil end
        ended:wait()
      end
    until f
    if f.well or (f.kind ~= "call" and f.kind ~= "flow") then return f, f.outcome end
    asked(f)
    return f, nil, f.outcome
  end
  return setmetatable({ next = next_one }, Iterator), nil, nil, watching -- who leaves the loop waits no more
end

--- Waits at most `timeout` seconds (for ever without); is it done?
function Future:wait(timeout)
  failure.own(self, Future, "wait")
  if timeout == nil then
    if not self.ended then M.wait { self } end
  else
    M.wait({ self }, { timeout = timeout })
  end
  return self.ended
end

--- Is it done? Looks at what has ended meanwhile. In a loop it lets other flows go on now and then.
function Future:done()
  failure.own(self, Future, "done")
  flow.poll()
  return self.ended
end

--- "pending" until its end is known (also right after cancel), or how it ended in one word: its status.
function Future:status()
  failure.own(self, Future, "status")
  self:done()
  if not self.ended then return "pending" end
  if self.kind == "call" or self.kind == "flow" then
    if self.well then return "ok" end
    asked(self)
    return type(self.outcome) == "table" and self.outcome.kind or "error"
  end
  return self.outcome.status
end

--- Runs `fn(future)` in a flow of its own once the future is done.
function Future:on_done(fn)
  failure.own(self, Future, "on_done")
  if not flow.callable(fn) then failure.raise("on_done: expected a function, got a " .. type(fn)) end
  flow.on_done(self, fn)
  return self
end

function Future.__tostring(f)
  local what = f.kind == "flow" and "flow" or string.format("%s task %s", f.kind, f.id or "(not run)")
  return string.format("future of %s (%s)", what, state_of(f))
end

return M
