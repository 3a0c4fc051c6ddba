-- `search.table`: what several searches came to, a row for each.
--
-- Reads results of `search.run` and makes text of them; it measures and decides nothing.
local _, lib = ...
local failure, confirm = lib.failure, lib["search/confirm"]

local M = {}

local HEAD = { "search", "baseline", "best", "afresh", "beside the baseline", "95 % CI", "trials", "without a figure", "point" }
-- Columns of figures are flush right.
local RIGHT = { false, true, true, true, false, false, true, false, false }
local NONE = "-"

local function figure(value) return value and string.format("%.4g", value) or NONE end

local function item_text(item) return type(item) == "table" and lib.json.encode(item) or tostring(item) end

local function value_text(value)
  if type(value) ~= "table" or #value == 0 then return item_text(value) end
  local items = {}
  for i, item in ipairs(value) do
    items[i] = item_text(item)
  end
  return table.concat(items, ", ")
end

-- In full, of sequences the actions alone.
local function point_text(point)
  local names, parts = failure.sorted_keys(point), {}
  if #names == 1 and type(point[names[1]]) == "table" then return value_text(point[names[1]]) end
  for i, name in ipairs(names) do
    parts[i] = name .. "=" .. value_text(point[name])
  end
  return table.concat(parts, " ")
end

local function row_of(result, place)
  local trial, pair = result.winner or result.best, result.over_baseline
  return {
    tostring(result.name or place),
    figure(result.baseline),
    figure(result.best and result.best.value),
    figure(result.fresh),
    pair and string.format("%.3fx %s", pair.ratio, pair.verdict) or "not compared",
    pair and pair.lo and string.format("[%.3f, %.3f]", pair.lo, pair.hi) or NONE,
    tostring(#result.trials),
    next(result.failures) and confirm.by_kind(result.failures) or NONE,
    trial and point_text(trial.point) or NONE,
  }
end

--- The text of a list of results.
function M.text(results)
  local function complain(...) failure.raise("search.table: " .. string.format(...)) end
  if type(results) ~= "table" or #results == 0 then complain("expected a list of what search.run gave, got %s", failure.a(results)) end
  local rows = { HEAD }
  for place, result in ipairs(results) do
    if getmetatable(result) ~= confirm.Result then complain("[%d]: expected what search.run gave, got %s", place, failure.a(result)) end
    if result.front then complain("[%d]: it has several objectives: print it to see its front", place) end
    rows[place + 1] = row_of(result, place)
  end
  return lib.results.aligned(rows, RIGHT)
end

return M
