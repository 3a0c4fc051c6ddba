-- Monte Carlo tree search: a point is reached by one decision after another, of a sequence its actions, of lists their
-- values. Branches that led to good points are looked into more often.
--
-- UCT (Kocsis and Szepesvári, ECML 2006) with progressive widening (Coulom, 2007); what is under way counts as lost, so
-- that several who ask at once are sent apart.
local M = {}

--- See above.
function M.mcts(o, context)
  local space, random = context.space, context.random
  local c, widening = o.exploration or 0.5, o.widening or 2
  local best, worst = math.huge, -math.huge
  local root

  -- A node: `todo`, the actions that were not tried (false: to end here), `children` that were, visits `n`, of which `told` had
  -- a figure; the `best` of those, their `sum` and that of their logarithms.
  local function leaf() return { todo = {}, children = {}, n = 0, told = 0, best = math.huge, sum = 0, logs = 0, closed = true } end
  local function node(prefix)
    local actions, may_end = space:following(prefix)
    local made = leaf()
    if #actions > 0 then
      made.todo, made.closed = random:shuffle(actions), false
    end
    if may_end and #actions > 0 then table.insert(made.todo, random:integer(1, #made.todo + 1), false) end
    return made
  end
  root = node {}

  -- From 0, the worst that was seen, to 1, the best; of positive figures by their logarithm. A search is after the best leaf
  -- and not, as a game, after the mean one: both count (Schadd et al., Single-Player MCTS, 2008).
  local function reward(of)
    if of.told == 0 or worst <= best then return 0 end
    local mean, top
    if best > 0 then
      local span = math.log(worst / best)
      mean, top = (math.log(worst) - of.logs / of.told) / span, math.log(worst / of.best) / span
    else
      mean, top = (worst - of.sum / of.told) / (worst - best), (worst - of.best) / (worst - best)
    end
    return (top + mean) / 2 * of.told / of.n
  end
  local function selected(of)
    local chosen, most = nil, -math.huge
    for _, child in ipairs(of.children) do
      local worth = reward(child) + c * math.sqrt(math.log(of.n + 1) / child.n)
      if not child.closed and worth > most then
        chosen, most = child, worth
      end
    end
    return chosen
  end
  local function expanded(of, genome)
    local action = table.remove(of.todo)
    local child
    if action == false then
      child = leaf()
    else
      genome[#genome + 1] = action
      child = node(genome)
      child.action = action
    end
    of.children[#of.children + 1] = child
    return child
  end
  local function roll_out(genome)
    while true do
      local actions, may_end = space:following(genome)
      local last = #actions
      if last == 0 or may_end and random:integer(0, last) == 0 then return end
      genome[#genome + 1] = actions[random:integer(1, last)]
    end
  end
  local function close(path)
    for i = #path - 1, 1, -1 do
      local open = #path[i].todo > 0
      for _, child in ipairs(path[i].children) do
        open = open or not child.closed
      end
      if open then return end
      path[i].closed = true
    end
  end

  local strategy = {}
  function strategy.ask()
    if root.closed then return nil end
    local genome, path = {}, { root }
    local at = root
    while true do
      local widen = #at.todo > 0 and #at.children < widening * math.sqrt(at.n + 1)
      local child = not widen and selected(at)
      if not child then
        child = expanded(at, genome)
        path[#path + 1] = child
        if not child.closed then roll_out(genome) end
        break
      end
      genome[#genome + 1] = child.action
      path[#path + 1] = child
      at = child
    end
    for _, each in ipairs(path) do
      each.n = each.n + 1
    end
    if path[#path].closed then close(path) end
    return genome, path
  end
  function strategy:tell(_, score, path)
    if score == math.huge then return end
    best, worst = math.min(best, score), math.max(worst, score)
    for _, each in ipairs(path or {}) do
      each.told, each.sum, each.best = each.told + 1, each.sum + score, math.min(each.best, score)
      if score > 0 then each.logs = each.logs + math.log(score) end
    end
  end
  return strategy
end

return M
