-- compare of MPI applications, with `env` for a launcher: each variant has its ranks, its launcher's arguments and its
-- environment, and the nodes are those of all.
local pool <close> = spawn { slots = 8 }
local line = "env R={ranks} N={nodes} P={ranks_per_node} F={hostfile}"
local rate = { metrics = { rate = "rate=(%d+)" }, objective = "rate", better = "more" }
local function asked(options)
  for key, value in pairs(rate) do
    if options[key] == nil then options[key] = value end
  end
  options.max_rounds = options.max_rounds or 12
  options.launcher = options.launcher or line
  return compare(options)
end

local c = await(submit(asked {
  name = "app",
  ranks = 2,
  shell = "[ $(wc -l < $F) = $R ] && [ $HARNESS_NUM_RANKS = $R ] && echo rate=$R$X",
  base = {},
  four = { ranks = 4 },
  eight = { ranks_per_node = 8 },
  args = { launcher_args = { "X=0" } },
  own = { env = { X = 1 } },
  crash = { shell = "exit 3" },
}))
assert(c.ok, c.reason)
for name, ratio in pairs { four = 2, eight = 4, args = 10, own = 10.5 } do
  local v = c.verdicts[name]
  assert(v.verdict == "faster" and math.abs(v.ratio - ratio) < 1e-9, name .. ": " .. tostring(v.ratio))
end
assert(c.verdicts.crash.verdict == "nonzero_exit")
local base, args = c.variants.base, c.variants.args
assert(base.ranks == 2 and c.variants.four.ranks == 4 and c.variants.eight.ranks == 8 and #base.hosts == 1)
assert(#base.launcher_argv == 5 and args.launcher_argv[6] == "X=0" and base.launcher_argv[5] == args.launcher_argv[5])
assert(base.launcher_argv[5] ~= c.variants.four.launcher_argv[5], "each has its host file")
-- Of the kernel's figures only the wall time is the program's.
assert(#base.samples.wall_s == c.rounds and base.samples.user_s == nil and base.samples.maxrss_bytes == nil)
assert(base.floor_s and base.maxrss_floor_bytes == nil and c.conditions.others_cpu_s == nil)

-- One variant that has ranks makes all of them MPI applications.
c = await(submit(asked { base = { shell = "echo rate=$R" }, two = { shell = "echo rate=$R", ranks = 2 } }))
assert(c.ok and c.variants.base.ranks == 1 and c.verdicts.two.ratio == 2, c.reason)

-- Where one cannot be launched there is no comparison.
c = await(submit(asked { ranks = 2, launcher = "auto", base = { cmd = { "true" }, env = { PATH = "/nowhere" } }, other = { cmd = { "true" } } }))
assert(c.status == "spawn_failed" and c.reason:find("^base: there is neither `mpiexec`"), c.reason)
c = await(submit(asked { ranks = 2, base = { cmd = { "true" } }, wide = { cmd = { "true" }, ranks = 9 } }))
assert(c.status == "refused" and c.reason:find("it asks for 9 cores of one worker", 1, true), c.reason)

local function refuses(expected, options)
  local ok, why = pcall(asked, options)
  assert(not ok and why:find(expected, 1, true), why)
end
local one, other = { shell = "echo rate=1" }, { shell = "echo rate=1" }
refuses("compare: a: 3 ranks do not spread evenly over 2 nodes", { nodes = 2, base = one, a = { cmd = { "x" }, ranks = 3 } })
refuses("compare: a: unknown option 'nodes' (an option of", { base = one, a = { cmd = { "x" }, nodes = 3 } })
refuses("compare: 'blocks' are single nodes, and the variants have 2", { nodes = 2, blocks = "all", base = one, a = other })
refuses("compare: base: 'numa': the ranks of an MPI application are placed by their launcher", { ranks = 2, numa = "local", base = one, a = other })
refuses("compare: base: 'counters': of an MPI application harness sees the launcher alone", { ranks = 2, counters = { "cycles" }, base = one, a = other })
refuses("compare: base: 'objective': of an MPI application 'user_s' is not known", { ranks = 2, objective = "user_s", base = one, a = other })
refuses("compare: 'launcher' and exclusive = \"cores\"", { exclusive = "cores", base = one, a = other })
local ok, why = pcall(compare, { exclusive = "cores", base = one, a = { cmd = { "x" }, ranks = 2 } })
assert(not ok and why:find("compare: a: 'ranks' and exclusive = \"cores\"", 1, true), why)
