-- Strategies that spend little on bad points: successive halving gives the better ones more budget, a race runs all of
-- them in the same blocks and drops who is behind.
local _, lib = ...
local failure, quantiles = lib.failure, lib["search/quantiles"]

local M = {}

-- So many different points, or all that are found.
local function drawn(space, random, n)
  local list, seen = {}, {}
  for _ = 1, 100 * n do
    if #list == n then break end
    local genome = space:random(random)
    local key = space:key(genome)
    if not seen[key] then
      seen[key], list[#list + 1] = true, genome
    end
  end
  return list
end

--- Successive halving (Jamieson and Talwalkar, AISTATS 2016): of the points of a rung the best 1/eta go on with eta times
-- the budget. While a rung waits for its last results another bracket begins, so that nobody is idle.
function M.halving(o, context)
  local space, random = context.space, context.random
  local eta, least, most = o.eta or 3, o.min_budget or 1, o.max_budget or 9
  if least > most then failure.raise(string.format("search.halving: 'min_budget' (%g) is above 'max_budget' (%g)", least, most)) end
  local rungs = math.floor(math.log(most / least) / math.log(eta) + 1e-9)
  local size = o.candidates or eta ^ rungs // 1 | 0
  local brackets = {}

  local function rung(budget, members) return { budget = budget, members = members, asked = 0, results = {} } end
  local function remove(bracket)
    for i, each in ipairs(brackets) do
      if each == bracket then table.remove(brackets, i) end
    end
  end
  local function go_on(bracket)
    local results = bracket.rung.results
    table.sort(results, function(a, b)
      if a.score ~= b.score then return a.score < b.score end
      return a.at < b.at
    end)
    local following = {}
    for i = 1, #results // eta do
      if results[i].score < math.huge then following[i] = results[i].genome end
    end
    local budget = bracket.rung.budget * eta
    if #following == 0 or budget > most * (1 + 1e-9) then return remove(bracket) end
    bracket.rung = rung(budget, following)
  end

  local strategy = {}
  local function next_of(bracket)
    local now = bracket.rung
    if now.asked == #now.members then return nil end
    now.asked = now.asked + 1
    return now.members[now.asked], { budget = now.budget, bracket = bracket, at = now.asked }
  end
  function strategy.ask()
    for _, bracket in ipairs(brackets) do
      local genome, note = next_of(bracket)
      if genome then return genome, note end
    end
    local bracket = { rung = rung(least, drawn(space, random, size)) }
    brackets[#brackets + 1] = bracket
    return next_of(bracket)
  end
  function strategy:tell(genome, score, note)
    if not note then return end
    local now = note.bracket.rung
    now.results[#now.results + 1] = { genome = genome, score = score, at = note.at }
    if #now.results == #now.members then go_on(note.bracket) end
  end
  return strategy
end

-- Ranks from 1, ties sharing theirs.
local function ranks(scores)
  local order, rank = {}, {}
  for i = 1, #scores do
    order[i] = i
  end
  table.sort(order, function(a, b)
    if scores[a] ~= scores[b] then return scores[a] < scores[b] end
    return a < b
  end)
  local first = 1
  while first <= #order do
    local last = first
    while last < #order and scores[order[last + 1]] == scores[order[first]] do
      last = last + 1
    end
    for k = first, last do
      rank[order[k]] = (first + last) / 2
    end
    first = last + 1
  end
  return rank
end

-- The sums of the ranks of k members over m blocks, and by how much two of them must differ; math.huge: nothing differs.
-- Friedman's test, then Conover's (Practical Nonparametric Statistics, 1999, section 5.8), as in F-Race (Birattari et al., 2002).
local function judged(blocks, k, alpha)
  local m, sums, squares = #blocks, {}, 0
  for j = 1, k do
    sums[j] = 0
  end
  for _, scores in ipairs(blocks) do
    for j, rank in ipairs(ranks(scores)) do
      sums[j], squares = sums[j] + rank, squares + rank * rank
    end
  end
  local spread, expected = squares - m * k * (k + 1) ^ 2 / 4, 0
  for j = 1, k do
    expected = expected + (sums[j] - m * (k + 1) / 2) ^ 2
  end
  if spread <= 0 or m < 2 then return sums, math.huge end
  local friedman = (k - 1) * expected / spread
  if friedman <= quantiles.chi_square(1 - alpha, k - 1) then return sums, math.huge end
  local rest = math.max(1 - friedman / (m * (k - 1)), 0)
  local freedom = (m - 1) * (k - 1)
  return sums, quantiles.student(1 - alpha / 2, freedom) * math.sqrt(2 * m * rest * spread / freedom)
end

--- A race: every candidate in one block after another; who is behind the leader by more than chance is out.
function M.race(o, context)
  local space, random = context.space, context.random
  local alive = {}
  for i, genome in ipairs(drawn(space, random, o.candidates or 16)) do
    alive[i] = { genome = genome, scores = {} }
  end
  local least, most, alpha = o.min_blocks or 5, o.max_blocks or 20, o.alpha or 0.05
  local block, following, complete = 1, 1, 0

  local function is_complete(b)
    for _, each in ipairs(alive) do
      if not each.scores[b] then return false end
    end
    return true
  end
  local function sums_of_ranks()
    local blocks = {}
    for b = 1, complete do
      blocks[b] = {}
      for j, each in ipairs(alive) do
        blocks[b][j] = each.scores[b]
      end
    end
    return judged(blocks, #alive, alpha)
  end
  local function leader_of(sums)
    local first = 1
    for j = 2, #sums do
      if sums[j] < sums[first] then first = j end
    end
    return first
  end
  local function drop(is_out)
    local kept = {}
    for j, each in ipairs(alive) do
      if not is_out(j, each) then kept[#kept + 1] = each end
    end
    if #kept == 0 or #kept == #alive then return end
    -- Whose turn is next in this block is one who has not had it.
    local asked_of = 0
    for j = 1, following - 1 do
      if not is_out(j, alive[j]) then asked_of = asked_of + 1 end
    end
    alive, following = kept, asked_of + 1
  end

  local strategy = {}
  function strategy.ask()
    if following > #alive then
      block, following = block + 1, 1
    end
    if block > most or #alive == 1 and block > 1 then return nil end
    local one = alive[following]
    following = following + 1
    return one.genome, { block = block, one = one }
  end
  function strategy:tell(_, score, note)
    if not note then return end
    note.one.scores[note.block] = score
    if score == math.huge then drop(function(_, each) return each == note.one end) end
    while complete < block and is_complete(complete + 1) do
      complete = complete + 1
      if complete >= least and #alive > 1 then
        local sums, apart = sums_of_ranks()
        local first = leader_of(sums)
        drop(function(j) return sums[j] - sums[first] > apart end)
      end
    end
  end
  --- The genomes that are left, by the sums of their ranks.
  function strategy.standing()
    local sums, list, order = sums_of_ranks(), {}, {}
    for j = 1, complete > 0 and #alive or 0 do
      order[j] = j
    end
    table.sort(order, function(a, b)
      if sums[a] ~= sums[b] then return sums[a] < sums[b] end
      return a < b
    end)
    for i, j in ipairs(order) do
      list[i] = alive[j].genome
    end
    return list
  end
  return strategy
end

return M
