-- Several strategies at once: who found something better lately is asked more often.
--
-- The AUC bandit of OpenTuner (Ansel et al., PACT 2014, section 3.2.2): of the last `window` results of all, a strategy's
-- credit is the area under the curve of its own that were a new best, the later ones counting for more.
local M = {}

local huge, sqrt = math.huge, math.sqrt

--- `make(name)` gives a strategy of the ensemble.
function M.bandit(o, context, make)
  local names = o.strategies or { "genetic", "evolution", "hill_climb", "annealing" }
  if context.space.sequences and not o.strategies then names = { "genetic", "hill_climb", "annealing", "mcts" } end
  local window, exploration = o.window or 500, o.exploration or 0.05
  local arms = {}
  for i, name in ipairs(names) do
    -- `results`: was each a new best? `sum` of their places where it was, `wins` so many.
    arms[i] = { strategy = make(name), results = {}, first = 1, last = 0, sum = 0, wins = 0 }
  end
  local history, oldest, newest, best = {}, 1, 0, math.huge

  local function add(arm, is_new)
    arm.last = arm.last + 1
    arm.results[arm.last] = is_new
    if is_new then
      arm.sum, arm.wins = arm.sum + arm.last - arm.first + 1, arm.wins + 1
    end
    newest = newest + 1
    history[newest] = arm
    if newest - oldest + 1 <= window then return end
    local old = history[oldest]
    history[oldest] = nil
    oldest = oldest + 1
    old.sum = old.sum - old.wins -- every other one is a place nearer to the beginning, and the first is gone
    if old.results[old.first] then old.wins = old.wins - 1 end
    old.results[old.first] = nil
    old.first = old.first + 1
  end
  local function worth(arm, doubts)
    local n = arm.last - arm.first + 1
    if n == 0 then return huge end
    return 2 * arm.sum / (n * (n + 1)) + exploration * sqrt(doubts / n)
  end

  -- Who is worth most of those that are not `idle`; of equals any.
  local function chosen(idle)
    local arm, most, draw = nil, -huge, 0
    local doubts = 2 * math.log(math.max(newest - oldest + 1, 2), 2)
    for i = 1, #arms do
      local each = arms[i]
      local own = worth(each, doubts)
      local ties = own == most and context.random:float() or 0
      if not idle[each] and (own > most or own == most and ties > draw) then
        arm, most, draw = each, own, own > most and context.random:float() or ties
      end
    end
    return arm
  end

  local strategy, nobody = {}, {}
  function strategy.ask()
    local idle = nobody
    while true do
      local arm = chosen(idle)
      if not arm then return nil end
      local genome, note = arm.strategy:ask()
      if genome then return genome, { arm = arm, note = note } end
      idle = idle == nobody and {} or idle -- it has asked for all that there is
      idle[arm] = true
    end
  end
  function strategy:tell(genome, score, note, entry, known)
    local is_new = score < best
    best = math.min(best, score)
    if note then
      add(note.arm, is_new)
      note.arm.strategy:tell(genome, score, note.note, entry, known)
    end
    if note and not is_new then return end
    for _, arm in ipairs(arms) do -- a new best is news to all
      if not note or arm ~= note.arm then arm.strategy:tell(genome, score, nil, entry) end
    end
  end
  return strategy
end

return M
