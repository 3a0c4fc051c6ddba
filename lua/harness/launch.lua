-- The options of MPI applications: how many ranks on how many nodes, and what harness cannot know of them.
--
-- Knows options in normal form; how ranks are started is src/launch's.
local _, lib = ...
local failure, options = lib.failure, lib.options

local M = {}

local function complain(who, text, ...) failure.raise(who .. ": " .. string.format(text, ...)) end

-- More of anything no pool has, and nobody counts.
local MOST = 65535

-- So many of each of so many.
local function times(who, name, count, of_each, each)
  if each > MOST // count then
    complain(who, "%s = %d times %s = %d is more than the %d that can be asked for", name, count, of_each, each, MOST)
  end
  return count * each
end

-- Is it an MPI application?
local function is_asked(o)
  for key in next, o do
    if options.LAUNCH[key] then return true end
  end
  return false
end

-- The ranks of an MPI application and their nodes, completed: `o.launch`. Any two of three figures decide the third.
local function complete(who, o)
  for _, key in ipairs { "numa", "smt" } do
    if o[key] ~= nil then
      complain(who, "'%s': the ranks of an MPI application are placed by their launcher: say it by launcher_args", key)
    end
  end
  for _, key in ipairs { "counters", "energy" } do
    if o[key] then complain(who, "'%s': of an MPI application harness sees the launcher alone", key) end
  end
  if o.limits then
    complain(
      who,
      "'limits': of an MPI application they would be the launcher's, and those of its ranks on other nodes nobody's: "
        .. 'put them before the program, cmd = { "sh", "-c", \'ulimit -t 30; exec "$@"\', "sh", program }'
    )
  end
  local nodes, ranks, per_node = o.nodes, o.ranks, o.ranks_per_node
  if ranks and per_node and not nodes then
    if ranks % per_node ~= 0 then
      complain(
        who,
        "%d ranks do not divide into nodes with ranks_per_node = %d: ask for %d or %d ranks",
        ranks,
        per_node,
        ranks - ranks % per_node,
        ranks - ranks % per_node + per_node
      )
    end
    nodes = ranks // per_node
  end
  nodes = nodes or 1
  if ranks and not per_node then
    if ranks % nodes ~= 0 then
      local less = ranks - ranks % nodes
      complain(
        who,
        "%d ranks do not spread evenly over %d nodes: ask for %s%d ranks",
        ranks,
        nodes,
        less > 0 and less .. " or " or "",
        less + nodes
      )
    end
    per_node = ranks // nodes
  end
  per_node = per_node or 1
  if ranks and ranks ~= nodes * per_node then
    complain(
      who,
      "nodes = %d times ranks_per_node = %d is %d ranks, and ranks = %d; leave one of the three out",
      nodes,
      per_node,
      nodes * per_node,
      ranks
    )
  end
  if nodes > 1 and o.cwd == "scratch" then
    complain(who, 'cwd = "scratch" is a folder of one node, and the ranks are on %d: use a folder that all nodes share', nodes)
  end
  o.launch = {
    launcher = o.launcher,
    args = o.launcher_args,
    ranks = times(who, "nodes", nodes, "ranks_per_node", per_node),
    ranks_per_node = per_node,
    cores_per_rank = o.cores,
    gpus_per_rank = o.gpus_per_rank,
  }
  if o.gpus_per_rank then
    local gpus = times(who, "ranks_per_node", per_node, "gpus_per_rank", o.gpus_per_rank)
    if o.gpus and o.gpus ~= gpus then
      complain(
        who,
        "ranks_per_node = %d times gpus_per_rank = %d is %d GPUs on each node, and gpus = %d; leave one of the two out",
        per_node,
        o.gpus_per_rank,
        gpus,
        o.gpus
      )
    end
    o.gpus = gpus
  end
  -- What the scheduler counts: nodes, and cores of each. A launcher of one's own may want any number.
  o.nodes, o.cores = nodes, times(who, "ranks_per_node", per_node, "cores", o.cores or 1)
  local objective, metrics = o.objective, o.metrics or {}
  if not metrics[objective] and (objective or "wall_s") ~= "wall_s" then
    complain(
      who,
      "'objective': of an MPI application '%s' is not known, what the kernel counts is the launcher's; take 'wall_s' or a metric",
      objective
    )
  end
end

--- Completes it, if it is one.
function M.check(who, o)
  if is_asked(o) then complete(who, o) end
end

-- What a comparison says for all its variants, and none of them for itself.
local OF_ALL = { "numa", "smt", "cores", "gpus", "nodes", "gpus_per_rank" }

--- The same for the variants of a comparison, all of which are MPI applications if one is. They take turns on the same
-- nodes: those of the base, if it does not say which.
function M.check_variants(who, o)
  local asked = is_asked(o)
  for _, variant in ipairs(o.variants) do
    asked = asked or is_asked(variant.options)
  end
  if not asked then return end
  local cores, gpus = 0, nil
  for _, variant in ipairs(o.variants) do
    local own = variant.options
    for _, key in ipairs(OF_ALL) do
      own[key] = o[key]
    end
    complete(who .. ": " .. variant.name, own)
    o.nodes, cores = own.nodes, math.max(cores, own.cores)
    gpus = own.gpus and math.max(gpus or 0, own.gpus)
  end
  if o.blocks and o.nodes > 1 then complain(who, "'blocks' are single nodes, and the variants have %d", o.nodes) end
  o.cores, o.gpus = cores, gpus
end

return M
