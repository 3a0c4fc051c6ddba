-- A scaling study: speed-up and efficiency of 1, 2, 4 … threads, ranks or whatever else can be counted.
--
--   local study = scaling.study { kind = "strong", counts = scaling.counts(8), rounds = 3,
--     measure = function(count, round) return measure { …, params = { threads = count, round = round } } end }
--   print(scaling.table(study))
--
-- Rounds go over all counts in turn, so that what changes slowly hits all of them alike. What a count means, and how
-- much work it is given, is the caller's.
local M = {}

-- 1, 2, 4 … and `most` itself.
function M.counts(most)
  local counts, n = {}, 1
  while n < most do
    counts[#counts + 1] = n
    n = n * 2
  end
  counts[#counts + 1] = most
  return counts
end

-- The environment that keeps so many OpenMP threads on cores of their own, next to each other.
function M.pinned(threads) return { OMP_NUM_THREADS = threads, OMP_PROC_BIND = "close", OMP_PLACES = "cores" } end

local function median(list)
  table.sort(list)
  local middle = #list // 2
  return #list % 2 == 1 and list[middle + 1] or (list[middle] + list[middle + 1]) / 2
end

-- What times say: `times` has by count the seconds of each round. Strong scaling (the same work for all) is ideal if the time
-- shrinks as the count grows; weak scaling (the same work for each) if it stays. `serial` is the part of the work that does
-- not scale, as Karp and Flatt (1990) find it, of strong scaling alone.
function M.points(kind, counts, times)
  local points, first = {}, nil
  for _, count in ipairs(counts) do
    local seconds = times[count]
    if seconds and seconds[1] then
      local point = { count = count, time = median(seconds), rounds = #seconds }
      first = first or point
      local more = count / first.count
      point.speedup = first.time / point.time * (kind == "weak" and more or 1)
      point.efficiency = point.speedup / more
      if kind == "strong" and more > 1 then point.serial = (1 / point.speedup - 1 / more) / (1 - 1 / more) end
      points[#points + 1] = point
    end
  end
  return points
end

-- Measures. The least time of a round's runs is what the machine can do; between rounds the median is robust.
function M.study(o)
  local runs = {}
  for round = 1, o.rounds or 3 do
    for _, count in ipairs(o.counts) do
      runs[#runs + 1] = { count = count, run = submit(o.measure(count, round)) }
    end
  end
  local times, failed = {}, {}
  for _, one in ipairs(runs) do
    local record = await(one.run)
    local list = times[one.count] or {}
    times[one.count] = list
    if record.ok then
      list[#list + 1] = record.stats.min
    else
      failed[one.count] = record.reason
    end
  end
  return { kind = o.kind, counts = o.counts, points = M.points(o.kind, o.counts, times), failed = failed }
end

-- For people; `what` is counted.
function M.table(study, what)
  local lines = { ("%-7s %8s %12s %9s %11s"):format("", what or "count", "time", "speed-up", "efficiency") }
  local by_count = {}
  for _, point in ipairs(study.points) do
    by_count[point.count] = point
  end
  for _, count in ipairs(study.counts) do
    local p = by_count[count]
    local figures = p and ("%10.2fms %8.2fx %10.0f%%"):format(1e3 * p.time, p.speedup, 100 * p.efficiency)
    if not p then figures = " no figure: " .. (study.failed[count] or "not measured"):match "[^\n]*" end
    lines[#lines + 1] = ("%-7s %8d %s"):format(study.kind, count, figures)
  end
  return table.concat(lines, "\n")
end

return M
