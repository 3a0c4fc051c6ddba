-- compare on several nodes: here there is one, which is enough for what its record has, and for what is refused.
--! says harness: 2 tasks: 1 ok, 1 nonzero_exit
local function prints(figure) return { cmd = { "echo", "rate=" .. figure } } end
local function asked(blocks, more)
  local o = { name = "rates", blocks = blocks, metrics = { rate = "rate=([%d.]+)" }, objective = "rate", better = "more" }
  for key, value in pairs(more) do
    o[key] = value
  end
  return compare(o)
end

local pool = spawn { workers = 1 }
local node = pool.workers[1].host
local c = await(submit(asked("all", { base = prints(2), double = prints(4), same = prints(2), crash = { cmd = { "false" } } })))
assert(c.ok and c.kind == "compare" and c.status == "ok" and c.reason == nil and c.name == "rates", c.reason)
local double = c.verdicts.double
assert(double.verdict == "faster" and double.ratio == 2 and double.lo == 2 and double.hi == 2 and not double.differs_by_node)
assert(double.rounds == c.nodes[node].rounds and double.nodes[node].verdict == "faster")
assert(c.verdicts.same.verdict == "equivalent")
assert(c.verdicts.crash.verdict == "nonzero_exit" and c.verdicts.crash.ratio == nil and c.verdicts.crash.rounds == 0)
assert(c.verdicts.crash.reason:find(node .. ": nonzero_exit: warm-up run 1: exit code 1", 1, true), c.verdicts.crash.reason)
assert(c.nodes[node].variants.base.stats.median == 2 and c.nodes[node].name == "rates@" .. node)
assert(#c.slow_nodes == 0 and next(c.failed_nodes) == nil)
assert(tostring(c):find("rates double: faster, 2.000x the base, 95 % CI [2.000, 2.000], 12 rounds on 1 node", 1, true), tostring(c))
assert(not pcall(function() return c.verdicts.duoble end) and not pcall(function() return c.slow_node end))

-- Where the base fails everywhere there is nothing.
c = await(pool:submit(asked(1, { base = { cmd = { "false" } }, other = prints(1) })))
assert(not c.ok and c.status == "nonzero_exit" and next(c.verdicts) == nil and not c.failed_nodes[node].ok)
assert(c.reason == node .. ": nonzero_exit: base: warm-up run 1: exit code 1", c.reason)

local function refused(blocks, more, what)
  local ok, why = pcall(function() return submit(asked(blocks, more)) end)
  assert(not ok and tostring(why):find(what, 1, true), why)
end
local both = { base = prints(1), other = prints(1) }
refused(3, both, "compare: option 'blocks': 3 nodes are asked for, and pool " .. pool.id .. " has 1 (" .. node .. ")")
refused("some", both, "option 'blocks'")
refused("all", { base = prints(1), other = prints(1), host = node }, "'host' and 'blocks'")
pool:close()
