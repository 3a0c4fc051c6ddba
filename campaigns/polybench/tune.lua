-- A search for the fastest way to write a loop nest, and to compile it.
--
--   mpirun -n 1 harness campaigns/polybench/tune.lua --kernel=gemm --strategy=genetic
--
-- Eight small kernels in the manner of PolyBench, each with an order of its loops, tiles, an unroll factor and flags of the
-- compiler: 324 variants. Nobody says which of them are legal: a variant counts only if it computes what the kernel
-- as it was written does. The search ends with a comparison of its best ones, afresh, with -O2 of that kernel.
-- With --record it measures every variant and writes a table: those in tables/ are what strategies are judged by.
local harness = require "harness"
local search, sweep = harness.search, harness.sweep
local args = harness.args {
  kernel = { "gemm", "2mm, atax, correlation, fdtd-2d, gemm, jacobi-2d, lu or seidel-2d" },
  strategy = { "bandit", "how the search goes on" },
  budget = { 40, "variants that are tried" },
  compiler = { "cc", "a C compiler that takes options as gcc and clang do" },
  runs = { 3, "timed runs of each variant" },
  rounds = { 30, "of the comparison at the end, at the most" },
  record = { "", "a CSV file for a table of all variants instead" },
}

local space = {
  order = { 0, 1, 2 },
  tile_i = { 8, 32, 96 }, -- of 96 iterations: the last is no tile at all
  tile_j = { 8, 32, 96 },
  unroll = { 1, 2, 4 },
  flags = { "-O1", "-O2", "-O3", "-O3 -march=native -ffast-math" },
}
local plain = { order = 0, tile_i = 96, tile_j = 96, unroll = 1, flags = "-O2" }

local pool <close> = spawn { per_node = 1 }

local function build(flags, defines)
  local words = {}
  for word in flags:gmatch "%S+" do
    words[#words + 1] = word
  end
  return submit(compile {
    sources = { ("%s.c"):format(args.kernel) },
    inputs = { "kernel.h" },
    compiler = args.compiler,
    flags = words,
    defines = defines,
    libs = { "m" },
  })
end
local reference = build("-O1", {})

local function evaluate(p)
  local program = build(p.flags, { ORDER = p.order, TILE_I = p.tile_i, TILE_J = p.tile_j, UNROLL = p.unroll })
  return measure {
    name = args.kernel,
    params = p,
    cmd = { program },
    group = "polybench", -- all on one node: figures of two cannot be compared
    metrics = { time = { "time: ([%d.e+-]+)", unit = "s" } },
    objective = "time",
    verify = { reference = { reference }, rtol = 1e-9 },
    runs = args.runs,
    warmup = 0,
    timeout = "1 min",
  }
end

if args.record == "" then
  print(search.run {
    name = args.kernel,
    space = space,
    evaluate = evaluate,
    strategy = args.strategy,
    budget = args.budget,
    start = { plain },
    baseline = plain,
    confirm = { max_rounds = args.rounds },
  })
  return
end

local all = search.run { name = args.kernel, space = space, evaluate = evaluate, strategy = "grid", confirm = false }
local names = { "order", "tile_i", "tile_j", "unroll", "flags" }
local lines = { table.concat(names, ",") .. ",time" }
for _, trial in ipairs(all.trials) do
  local row = {}
  for i, name in ipairs(names) do
    row[i] = trial.point[name]
  end
  row[#row + 1] = trial.value and ("%.4g"):format(trial.value) or assert(trial.record).status
  lines[#lines + 1] = table.concat(row, ",")
end
assert(harness.fs.write(args.record, table.concat(lines, "\n") .. "\n"))
print(("%s: %s"):format(args.record, all.search))
