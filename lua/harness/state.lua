-- `harness.state`: small tables that the journal keeps from one run of the script to the next.
--
-- They are ordinary tables: what changed is found by comparing, when a task that
-- may be recorded is submitted, whenever the script waits, and when it ends.
local host, lib = ...
local failure, flow = lib.failure, lib.flow

local by_name, list = {}, {}

local function problem_of(kept, why) return string.format("state %s, of %s: %s", failure.quoted(kept.name), kept.where or "the script", why) end

-- Hands what changed to the journal; nil, or what cannot be kept: the journal has what it was before. That is told once; a task that is
-- recorded must not follow it, and the script not end with it (`insists`).
flow.keep_states = function(insists)
  local problem
  for i = 1, #list do
    local kept = list[i]
    local ok, why = host.keep(kept.name, kept.value)
    if ok then
      kept.told = nil
    elseif (insists or why ~= kept.told) and not problem then
      kept.told = why
      problem = problem_of(kept, why)
    end
  end
  return problem
end

--- The table of this name as the last run left it, or `default` (an empty table unless given).
return function(name, default)
  if type(name) == "number" then name = tostring(name) end
  if type(name) ~= "string" or name == "" or not utf8.len(name) then
    failure.raise(
      'state: expected a name first, such as harness.state("search", {}), got '
        .. (type(name) == "string" and failure.quoted(name) or "a " .. type(name))
    )
  end
  if default ~= nil and type(default) ~= "table" then
    failure.raise(
      string.format(
        "state %s: expected a table as its default, got a %s; put it into one: { value = ... }",
        failure.quoted(name),
        type(default)
      )
    )
  end
  local kept = by_name[name]
  if kept then return kept.value end
  kept = { name = name, where = failure.where(), value = host.kept(name) or default or {} }
  local ok, why = host.keep(name, kept.value)
  if not ok then failure.raise(problem_of(kept, why)) end
  by_name[name] = kept
  list[#list + 1] = kept
  return kept.value
end
