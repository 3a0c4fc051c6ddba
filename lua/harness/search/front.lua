-- Several objectives at once: who is better than whom, the front of those that nobody beats, and an order of a
-- population by fronts and crowding (NSGA-II: Deb, Pratap, Agarwal, Meyarivan, IEEE TEC 6 (2002), p. 182).
--
-- An entry is what a trial came to: `values`, lower is better in each (none if it failed), and `violation` of constraints.
local M = {}

--- Is `a` better than `b` in one objective and worse in none?
local function dominates(a, b)
  local better = false
  for i = 1, #a do
    if a[i] > b[i] then return false end
    better = better or a[i] < b[i]
  end
  return better
end

-- The same with constraints (Deb's rules: less violation first), of both at once: -1 if `a` is better than `b`, 1 if `b` is.
local function compared(a, b)
  if a.violation ~= b.violation then return a.violation < b.violation and -1 or 1 end
  local ours, theirs = a.values, b.values
  if not ours or not theirs then return ours and -1 or theirs and 1 or 0 end
  local found = 0
  for i = 1, #ours do
    local way = ours[i] < theirs[i] and -1 or ours[i] > theirs[i] and 1 or found
    if way == -found and found ~= 0 then return 0 end
    found = way
  end
  return found
end

--- Adds a trial to a front, and takes out what it beats.
function M.add(front, trial, values)
  local kept = 0
  for i = 1, #front do
    local other = front[i]
    if dominates(other.values, values) then return end
  end
  for i = 1, #front do
    local other = front[i]
    if not dominates(values, other.values) then
      kept = kept + 1
      front[kept] = other
    end
  end
  for i = kept + 1, #front do
    front[i] = nil
  end
  front[kept + 1] = { trial = trial, values = values }
end

--- The trials of a front by their numbers.
function M.trials(front)
  local list = {}
  for i, one in ipairs(front) do
    list[i] = one.trial
  end
  table.sort(list, function(a, b) return a.id < b.id end)
  return list
end

-- 1 for those that nobody beats, 2 for those that only these beat, and so on.
local function ranks(entries)
  local rank, beaten_by, beats, now = {}, {}, {}, {}
  for i, a in ipairs(entries) do
    beaten_by[i], beats[i] = 0, {}
    for j = 1, i - 1 do
      local which = compared(a, entries[j])
      if which < 0 then
        beats[i][#beats[i] + 1] = j
        beaten_by[j] = beaten_by[j] + 1
      elseif which > 0 then
        beats[j][#beats[j] + 1] = i
        beaten_by[i] = beaten_by[i] + 1
      end
    end
  end
  for i = 1, #entries do
    if beaten_by[i] == 0 then now[#now + 1] = i end
  end
  local level = 1
  while #now > 0 do
    local following = {}
    for _, i in ipairs(now) do
      rank[i] = level
      for _, j in ipairs(beats[i]) do
        beaten_by[j] = beaten_by[j] - 1
        if beaten_by[j] == 0 then following[#following + 1] = j end
      end
    end
    now, level = following, level + 1
  end
  return rank
end

-- How far the next ones of the same front are: those at an end count as far.
local function crowding(entries, rank)
  local distance, by_rank = {}, {}
  for i, entry in ipairs(entries) do
    distance[i] = 0
    if entry.values then
      by_rank[rank[i]] = by_rank[rank[i]] or {}
      table.insert(by_rank[rank[i]], i)
    end
  end
  for _, members in pairs(by_rank) do
    for m = 1, #entries[members[1]].values do
      local function value(i) return entries[i].values[m] end
      table.sort(members, function(a, b)
        if value(a) ~= value(b) then return value(a) < value(b) end
        return a < b
      end)
      local first, last = members[1], members[#members]
      local span = value(last) - value(first)
      distance[first], distance[last] = math.huge, math.huge
      for k = 2, #members - 1 do
        if span > 0 then distance[members[k]] = distance[members[k]] + (value(members[k + 1]) - value(members[k - 1])) / span end
      end
    end
  end
  return distance
end

--- The places of the entries, best first.
function M.order(entries)
  local rank, places = ranks(entries), {}
  local distance = crowding(entries, rank)
  for i = 1, #entries do
    places[i] = i
  end
  table.sort(places, function(a, b)
    if rank[a] ~= rank[b] then return rank[a] < rank[b] end
    if distance[a] ~= distance[b] then return distance[a] > distance[b] end
    return a < b
  end)
  return places
end

return M
