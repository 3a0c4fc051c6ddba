-- What an author does with futures besides awaiting them: `wait`, `as_completed`, and their methods.
local _, lib = ...
local failure, flow = lib.failure, lib.flow
local await, when_done, condition, finish, asked = flow.await, flow.when_done, flow.condition, flow.finish, flow.asked

local M = {}
local Future = flow.Future

local function expect_futures(who, list)
  if type(list) ~= "table" or getmetatable(list) == Future then
    failure.raise(string.format("%s: expected a list of futures, got a %s", who, type(list) == "table" and "future" or type(list)))
  end
  for i = 1, #list do
    if getmetatable(list[i]) ~= Future then
      failure.raise(string.format("%s: expected a list of futures, got a %s at [%d]", who, type(list[i]), i))
    end
  end
end

--- Waits for some or all of a list; gives those that are done and those that are not, in the list's order.
function M.wait(list, options)
  expect_futures("wait", list)
  options = lib.options.check("wait", options or {})
  local count, timeout = options.count or "all", options.timeout
  local want = count == "all" and #list or math.min(count, #list)
  local have, enough = 0, condition()
  local function one()
    have = have + 1
    if have == want and not enough.ended then finish(enough, true) end
  end
  for i = 1, #list do when_done(list[i], one) end
  if want == 0 and not enough.ended then finish(enough, true) end
  if not enough.ended then
    local timer = timeout and flow.after(timeout, function() if not enough.ended then finish(enough, true) end end)
    if timer and not coroutine.isyieldable() then
      while not enough.ended and flow.pump(timer.at) do end
      enough.ended = true
    end
    await(enough)
    if timer then flow.drop_timer(timer) end
  end
  local done, pending = {}, {}
  for i = 1, #list do
    local f = list[i]
    if f.ended then done[#done + 1] = f else pending[#pending + 1] = f end
  end
  return done, pending
end

--- Iterates over futures as they end: future, result, error. Futures appended meanwhile are included.
function M.as_completed(list)
  expect_futures("as_completed", list)
  local arrived, first, last = {}, 1, 0
  local seen, bell = 0, nil
  local function one(f)
    last = last + 1
    arrived[last] = f
    if bell then
      local b = bell
      bell = nil
      finish(b, true)
    end
  end
  return function()
    while seen < #list do
      seen = seen + 1
      if getmetatable(list[seen]) ~= Future then expect_futures("as_completed", list) end
      when_done(list[seen], one)
    end
    if first > last then
      if first > seen then return nil end
      bell = condition()
      await(bell)
    end
    local f = arrived[first]
    arrived[first] = nil
    first = first + 1
    if f.ok or (f.kind ~= "call" and f.kind ~= "flow") then return f, f.value end
    asked(f)
    return f, nil, f.value
  end
end

--- Waits at most `timeout` seconds (for ever without); is it done?
function Future:wait(timeout)
  if timeout == nil then
    if not self.ended then M.wait { self } end
  else
    M.wait({ self }, { timeout = timeout })
  end
  return self.ended
end

--- Is it done? Looks at what has ended meanwhile, but lets no other flow run.
function Future:done()
  if not self.ended then flow.poll() end
  return self.ended
end

--- "pending", or how it ended in one word.
function Future:status()
  self:done()
  if not self.ended then return "pending" end
  if self.kind == "call" or self.kind == "flow" then
    if self.ok then return "ok" end
    asked(self)
    return type(self.value) == "table" and self.value.kind or "error"
  end
  return self.value.status
end

--- Runs `fn(future)` in a flow of its own once the future is done.
function Future:on_done(fn)
  if not flow.callable(fn) then failure.raise("on_done: expected a function, got a " .. type(fn)) end
  when_done(self, function(f) flow.go(fn, f) end)
  return self
end

function Future.__tostring(f)
  local what = f.kind == "flow" and "flow" or string.format("%s task %s", f.kind, f.id or "(not run)")
  local state = "pending"
  if f.ended then
    if f.ok then state = "ok" else state = type(f.value) == "table" and (f.value.status or f.value.kind) or "error" end
  end
  return string.format("future of %s (%s)", what, state)
end

return M
