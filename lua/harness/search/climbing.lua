-- Strategies that go from a point to one beside it: hill climbing and simulated annealing.
--
-- Both go on while trials are under way: whatever is told counts, in the order it is told.
local M = {}

-- So many neighbours in a row that were known: there is nothing new around.
local ALL_KNOWN = 20

--- Hill climbing: to the first neighbour that is better. Where none is, on from the best so far with some values changed
-- (iterated local search: Lourenço, Martin, Stützle, Handbook of Metaheuristics (2003), p. 320).
function M.hill_climb(o, context)
  local space, random = context.space, context.random
  local here, best -- { genome, score }
  local todo = {}
  local kick = o.kick or math.max(2, space.counts and #space.counts // 3 or 2)

  local function go_to(place)
    here, todo = place, space:neighbours(place.genome, random)
  end
  local strategy = {}
  function strategy.ask()
    local following = table.remove(todo)
    if following then return following end
    here = nil -- the top of a hill: whatever is told next is where the next climb begins
    if best and random:float() < 0.8 then return space:mutate(best.genome, random, kick) end
    return space:random(random)
  end
  function strategy:tell(genome, score)
    local place = { genome = genome, score = score }
    if not best or score < best.score then best = place end
    if not here and score < math.huge or here and score < here.score then go_to(place) end
  end
  return strategy
end

--- Simulated annealing: a worse neighbour is taken with probability exp(-d/T), d the part by which it is worse
-- (Kirkpatrick, Gelatt, Vecchi, Science 220 (1983), p. 671). T falls from `hot` to `cold` within `steps` trials; where all
-- around is known it is heated again, at the best.
function M.annealing(o, context)
  local space, random, study = context.space, context.random, context.study
  local hot, cold = o.hot or 0.5, o.cold or 0.01
  local steps = o.steps or context.trials or 100
  local here, best
  local heated, repeats = 0, 0 -- when: after so many trials; known points in a row
  local strategy = {}
  function strategy.ask()
    if not here then return space:random(random) end
    if repeats > ALL_KNOWN and best then
      here, heated, repeats = best, #study.list, 0
    end
    return space:mutate(here.genome, random, 1)
  end
  function strategy:tell(genome, score, _, _, known)
    repeats = known and repeats + 1 or 0
    local temperature = hot * (cold / hot) ^ math.min((#study.list - heated) / steps, 1)
    if score < math.huge and (not best or score < best.score) then
      best = { genome = genome, score = score }
      here = here or best
    end
    if not here then return end
    local worse = (score - here.score) / math.max(math.abs(here.score), 1e-300)
    if worse <= 0 or random:float() < math.exp(-worse / temperature) then here = { genome = genome, score = score } end
  end
  return strategy
end

return M
