-- The author's own coroutines. They behave as in plain Lua, and an `await` inside one suspends the flow it runs
-- in: it passes through `coroutine.resume` to the scheduler and back, unseen by whoever resumed it.
--
-- The main script and the flows are coroutines only to the scheduler: to the author each of them is a main
-- thread, which cannot yield, be resumed or be closed by coroutine.*.
local _, lib = ...
local failure, flow = lib.failure, lib.flow
local AWAIT, flow_of, can_suspend, block, shut = flow.AWAIT, flow.flow_of, flow.can_suspend, flow.block, flow.shut

local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local status, running, isyieldable = coroutine.status, coroutine.running, coroutine.isyieldable
local setmetatable, error, type = setmetatable, error, type

local M = {}

local stuck = setmetatable({}, { __mode = "k" }) -- those suspended inside an await

-- When the flow is closed while it waits inside a coroutine, that one's <close> variables run too.
local Guard = {
  __close = function(guard)
    local co = guard[1]
    if stuck[co] then
      stuck[co] = nil
      shut(co)
    end
  end,
}

local function pass(co, ok, tag, ...)
  if not (ok and tag == AWAIT) then return ok, tag, ... end
  local problem
  local f = ...
  if can_suspend() then
    stuck[co] = true
    do
      local guard <close> = setmetatable({ co }, Guard)
      problem = yield(AWAIT, f)
      stuck[co] = nil
    end
  else
    problem = block(f)
  end
  return pass(co, resume(co, problem))
end

local function user_resume(co, ...)
  if stuck[co] then return false, "cannot resume a coroutine that is suspended in await" end
  if flow_of[co] then return false, "cannot resume non-suspended coroutine" end
  return pass(co, resume(co, ...))
end

local function wrapped(co, ok, ...)
  if ok then return ... end
  local e = ...
  if status(co) == "dead" then
    local closed, instead = shut(co)
    if not closed then e = instead end
  end
  error(e, type(e) == "string" and 2 or 0) -- as Lua does: with the line that called it
end

local function user_wrap(fn)
  local co = create(fn)
  return function(...) return wrapped(co, user_resume(co, ...)) end
end

local function user_yield(...)
  if flow_of[running()] then
    failure.raise("attempt to yield from outside a coroutine (neither the main script nor a flow started by go is one)")
  end
  return yield(...)
end

local function user_status(co)
  local now = status(co)
  if now == "suspended" and (stuck[co] or flow_of[co]) then return "normal" end
  return now
end

local function user_close(co)
  if flow_of[co] and status(co) == "suspended" then failure.raise("cannot close a flow by its coroutine: use its cancel()") end
  stuck[co] = nil
  return shut(co)
end

local function user_running()
  local co, main = running()
  return co, main or flow_of[co] ~= nil
end

local function user_isyieldable(co)
  if flow_of[co or running()] then return false end
  return isyieldable(co or running())
end

--- Puts these in the place of Lua's own.
function M.install()
  local own = _G.coroutine
  own.resume, own.wrap, own.yield, own.close = user_resume, user_wrap, user_yield, user_close
  own.status, own.running, own.isyieldable = user_status, user_running, user_isyieldable
end

return M
