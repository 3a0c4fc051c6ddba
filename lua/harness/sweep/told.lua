-- What of a sweep may be a slip, or may be right with the arguments of another run: no errors, but notices.
local host, lib = ...
local failure, values = lib.failure, lib["sweep/values"]

local M = {}

-- Of the values that there are so many are told.
local MOST_SHOWN = 8

-- By the author's line: a script may ask again and again whether anything is left.
local told = {}

local function notice(where, who, ...)
  local place = string.format("%ssweep.%s: ", where and where .. ": " or "", who)
  if told[place] then return end
  told[place] = true
  host.stderr("harness: " .. place .. string.format(...))
end

--- Of `seen` points, of which this is the first, the filter that was made at `where` leaves none.
function M.of_none_left(where, who, seen, first)
  local all = seen == 1 and "1 point" or seen .. " points"
  notice(where, who, "of %s none is left; the first was %s", all, failure.compact(first))
end

-- Says which values there are of a parameter that has not the one that is to be left out.
local function tell(part, name, there)
  local known, is_known, wanted = {}, {}, failure.compact(part[name])
  for _, value in ipairs(there) do
    local text = failure.compact(value)
    if not is_known[text] then
      is_known[text], known[#known + 1] = true, text
    end
  end
  local near = host.closest(wanted, known)
  notice(
    failure.where(),
    "exclude",
    "%s leaves out nothing: no point has %s = %s%s; there are %s%s",
    failure.compact(part),
    name,
    wanted,
    near and string.format(" (did you mean %s?)", near) or "",
    table.concat(known, ", ", 1, math.min(#known, MOST_SHOWN)),
    #known > MOST_SHOWN and ", ..." or ""
  )
end

--- Looks for the first part that leaves out nothing, because no point has such a value.
function M.of_unknown(base, out)
  local there, is_there = {}, {}
  for i = 1, math.min(out.count(), values.MANY) do
    local part = out.at(i)
    for _, name in ipairs(failure.sorted_keys(part)) do
      there[name] = there[name] or base.values_of(name)
      is_there[name] = is_there[name] or values.among(there[name])
      if not is_there[name](part[name]) then return tell(part, name, there[name]) end
    end
  end
end

return M
