-- Who is to blame, in words: flows that wait for ever, C functions that keep one from being suspended, errors
-- that nobody asked for. Reads flows (their fields `main`, `fn`, `co`, `waits_for`) and changes nothing.
local host, lib = ...
local failure = lib.failure

local M = {}

-- Lines of one report; the rest is counted.
local MOST = 20

local function name_of(flow)
  if flow.main then return "the main script" end
  local info = type(flow.fn) == "function" and debug.getinfo(flow.fn, "S")
  if not info or info.what == "C" then return "a flow" end
  return string.format("the flow of %s:%d", info.short_src, info.linedefined)
end

-- `return await(f)` is a tail call, which leaves no line.
local function waits_at(flow)
  local line = failure.where(flow.co)
  return line and "at " .. line or "at its end"
end

-- The flows among what it waits for: only those can be the cause.
local function waits_for(flow)
  local f, names = flow.waits_for, {}
  if not f then return "" end
  if f == flow then return " for itself" end
  for _, other in ipairs(f.list or { f }) do
    if other.kind == "flow" and not other.ended then names[#names + 1] = name_of(other) end
  end
  if #names == 0 then return "" end
  local more = #names > 3 and string.format(" and %d more", #names - 3) or ""
  return " for " .. table.concat(names, ", ", 1, math.min(#names, 3)) .. more
end

--- What a flow waits for; `explain` says it of one future.
function M.waits(flow, explain)
  local f = flow.waits_for
  if not f then return name_of(flow) .. " is not waiting: it runs" end
  local text = string.format("%s waits %s%s", name_of(flow), waits_at(flow), waits_for(flow))
  local pending = {}
  for _, other in ipairs(f.list or { f }) do
    if not other.ended and other.kind ~= "condition" then pending[#pending + 1] = other end
  end
  if #pending == 1 and pending[1] ~= flow then return text .. ": " .. explain(pending[1]) end
  return #pending > 1 and string.format("%s: %d that have not ended", text, #pending) or text
end

--- These flows wait and nothing is running.
function M.deadlock(flows)
  local lines = { "deadlock: nothing is running and everybody waits:" }
  for i, flow in ipairs(flows) do
    if i > MOST then
      lines[#lines + 1] = string.format("  and %d more", #flows - MOST)
      break
    end
    lines[#lines + 1] = string.format("  %s waits %s%s", name_of(flow), waits_at(flow), waits_for(flow))
  end
  return table.concat(lines, "\n")
end

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

--- What on the stack cannot be suspended.
function M.culprit(in_close)
  if in_close then return "a __close that coroutine.close or cancel runs" end
  for level = 3, 200 do
    local info = debug.getinfo(level, "nSf")
    if not info then break end
    if info.namewhat == "hook" then return "a hook" end
    if info.namewhat == "metamethod" and info.name == "__gc" then return "a __gc metamethod" end
    if info.what == "C" and info.func ~= pcall and info.func ~= xpcall then
      local name = c_names[info.func] or info.name
      if name then return string.format("'%s'", name) end
    end
  end
  return "a C function"
end

--- The error a flow ended with, and where it came from.
function M.error_of(flow)
  local text = failure.describe(flow.outcome)
  if type(flow.outcome) == "string" then text = text .. failure.advice(text) end
  local traceback = flow.traceback
  if not traceback or traceback == "" then return text end
  local cause = flow.outcome
  local is_call = getmetatable(cause) == failure.Error and cause.traceback and cause.traceback ~= ""
  return text .. "\n" .. (is_call and failure.of_place(traceback, "in the script") or traceback)
end

--- What went wrong and nobody asked for: texts of flows, which make the script fail, and of calls.
function M.forgotten(unseen)
  local list, of_flows, of_calls = {}, {}, {}
  for f in pairs(unseen) do
    list[#list + 1] = f
  end
  table.sort(list, function(a, b) return (a.order or a.id or 0) < (b.order or b.id or 0) end)
  for _, f in ipairs(list) do
    if f.kind == "flow" then
      of_flows[#of_flows + 1] = "in a flow that nobody awaited: " .. M.error_of(f)
    elseif f.outcome.kind ~= "cancelled" then
      of_calls[#of_calls + 1] = "a call failed and nobody asked: " .. failure.describe(f.outcome)
    end
  end
  return of_flows, of_calls
end

--- Errors that Lua gives no line: go(string.rep, ...) has none but its starter's, an overflow in C none at all.
function M.with_line(flow, e)
  local line = failure.where(flow.co)
  if e ~= "C stack overflow" and (line or type(e) ~= "string" or failure.is_authors(flow.fn)) then return e end
  if not line and flow.starter then line = failure.where(flow.starter.co) end
  return line and string.format("%s: %s", line, e) or e
end

--- Says it on stderr.
function M.tell(texts)
  for i = 1, math.min(#texts, MOST) do
    host.stderr("harness: " .. texts[i])
  end
  if #texts > MOST then host.stderr(string.format("harness: and %d more like these", #texts - MOST)) end
end

return M
