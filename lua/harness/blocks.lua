-- `compare{ blocks = … }`: the same comparison on several nodes, a task of its own on each, and what they say together.
--
-- Each node's comparison is recorded like any other; what follows from them is computed anew in every run. The
-- statistics are host's; this knows nodes and records.
local host, lib = ...
local failure, flow, pools, unsaid = lib.failure, lib.flow, lib.pools, lib.options.UNSAID

local M = {}

-- The nodes it is made on, as many as were asked for.
local function chosen(asked, pool)
  local hosts = pools.hosts(pool)
  if #hosts == 0 then failure.raise "compare: option 'blocks': no pool is open to take nodes from: call spawn() first" end
  if asked == "all" then return hosts end
  if asked > #hosts then
    local text = "compare: option 'blocks': %d nodes are asked for, and pool %d has %d (%s); ask for fewer, or \"all\""
    failure.raise(string.format(text, asked, pool, #hosts, table.concat(hosts, ", ")))
  end
  return table.move(hosts, 1, asked, 1, {})
end

-- The options of one node's comparison. Its name tells it apart, in the journal too.
local function on(o, node)
  local own = {}
  for key, value in pairs(o) do
    own[key] = value
  end
  own.blocks, own.host, own.name = nil, node, (o.name or "compare") .. "@" .. node
  return own
end

-- Why nothing is said of a node, in a line.
local function why_not(node, status, reason)
  return string.format("%s: %s%s", node, status, reason and ": " .. string.gsub(reason, "%s*\n%s*", " ") or "")
end

local function figures(variant) return variant.samples[variant.objective] end

local MAY_BE_UNKNOWN = { ratio = true, lo = true, hi = true, reason = true }

-- What the nodes say of a variant; where none has a verdict, how it ended on the first.
local function together(o, name, nodes, records)
  local bases, variants, by_node, why = {}, {}, {}, {}
  for _, node in ipairs(nodes) do
    local record = records[node]
    local own = record.verdicts[name]
    by_node[node] = own
    if own.ratio then
      bases[#bases + 1], variants[#variants + 1] = figures(record.variants.base), figures(record.variants[name])
    else
      why[#why + 1] = why_not(node, own.verdict, own.reason)
    end
  end
  local better = records[nodes[1]].variants.base.better
  local found = host.across(bases, variants, better, #o.variants, o.max_rounds or unsaid.max_rounds, o.min_effect or unsaid.min_effect)
  found.verdict = found.verdict or by_node[nodes[1]].verdict
  found.rounds = found.rounds or 0
  found.nodes = by_node
  if #why > 0 then found.reason = table.concat(why, "; ") end
  return failure.strict(found, "a verdict", MAY_BE_UNKNOWN)
end

-- The nodes whose base is slow.
local function slow_nodes(nodes, records)
  local bases, measured = {}, {}
  for _, node in ipairs(nodes) do
    local stats = records[node].variants.base.stats
    if stats and stats.ci then
      bases[#bases + 1], measured[#measured + 1] = { stats.median, stats.ci.lo, stats.ci.hi }, node
    end
  end
  local slow = {}
  for i, at in ipairs(#bases > 0 and host.slow(bases, records[nodes[1]].variants.base.better) or {}) do
    slow[i] = measured[at]
  end
  return slow
end

-- A line for each variant, and one for what is wrong with nodes.
local function summary(o, result)
  local lines, label = {}, o.name or "compare"
  for _, name in ipairs(failure.sorted_keys(result.verdicts)) do
    local v, judges = result.verdicts[name], 0
    for _, own in pairs(v.nodes) do
      judges = judges + (own.ratio and 1 or 0)
    end
    local line = string.format("%s %s: %s", label, name, v.verdict)
    if v.ratio then line = line .. string.format(", %.3fx the base", v.ratio) end
    if v.lo then line = line .. string.format(", 95 %% CI [%.3f, %.3f]", v.lo, v.hi) end
    local rounds = v.rounds == 1 and "1 round" or v.rounds .. " rounds"
    line = string.format("%s, %s on %d node%s", line, rounds, judges, judges == 1 and "" or "s")
    lines[#lines + 1] = line .. (v.differs_by_node and "; differs by node" or "") .. (v.reason and "; not on " .. v.reason or "")
  end
  if #result.slow_nodes > 0 then lines[#lines + 1] = label .. ": slow nodes: " .. table.concat(result.slow_nodes, ", ") end
  if result.reason then lines[#lines + 1] = string.format("%s: %s: %s", label, result.ok and "without" or result.status, result.reason) end
  return table.concat(lines, "\n")
end

-- The record of all, from those of the nodes.
local function combined(o, hosts, records)
  local nodes, failed, why, first = {}, {}, {}, nil
  for _, node in ipairs(hosts) do
    local record = records[node]
    if record.ok then
      nodes[#nodes + 1] = node
    else
      first = first or record
      failed[node] = record
      why[#why + 1] = why_not(node, record.status, record.reason)
    end
  end
  local ok = #nodes > 0
  local result = { kind = "compare", ok = ok, status = ok and "ok" or first.status, name = o.name, params = o.params }
  result.reason = #why > 0 and table.concat(why, "; ") or nil
  result.verdicts, result.nodes, result.failed_nodes = {}, {}, failed
  for _, node in ipairs(nodes) do
    result.nodes[node] = records[node]
  end
  for i = 2, ok and #o.variants or 1 do
    local name = o.variants[i].name
    result.verdicts[name] = together(o, name, nodes, records)
  end
  failure.strict(result.verdicts, "verdicts")
  result.slow_nodes = ok and slow_nodes(nodes, records) or {}
  result.min_effect = o.min_effect or 0.01
  result.summary = summary(o, result)
  return setmetatable(result, failure.Record)
end

-- However the flow ends: nobody wants what has not ended.
local Running = {
  __close = function(running)
    for _, f in ipairs(running) do
      f:cancel()
    end
  end,
}

--- Sends a comparison to each of its nodes; gives a future of what they say together.
function M.submit(o, pool)
  pool = pool or lib.newest_pool
  local hosts = chosen(o.blocks, pool)
  local futures = {}
  for i, node in ipairs(hosts) do
    futures[i] = lib.tasks.submit_task("compare", on(o, node), pool)
  end
  return flow.go(function()
    local running <close> = setmetatable(futures, Running)
    local records = {}
    for i, node in ipairs(hosts) do
      records[node] = flow.await(running[i])
    end
    return combined(o, hosts, records)
  end)
end

return M
