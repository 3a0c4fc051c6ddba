-- How well does a program scale? Strong and weak scaling over threads or MPI ranks, into a CSV file.
--
--   mpirun -n 1 harness campaigns/scaling.lua --threads=1,2,4,8 --csv=scaling.csv
--   harness campaigns/scaling.lua --ranks=1,2,4,8,16        in a job of several nodes
--
-- With threads the program is an OpenMP kernel on one node, with ranks an MPI one on as many nodes as it takes. Repetitions
-- are interleaved, every number in turn, so that what changes slowly (a warm processor, a neighbour on the network) hits
-- all of them alike and cannot be taken for scaling.
local harness = require "harness"
local scaling = require "lib.scaling"
local args = harness.args {
  threads = { { 0 }, "numbers of threads; 0: 1, 2, 4, ... up to the cores there are" },
  ranks = { { 0 }, "numbers of MPI ranks instead; 0: threads" },
  mpicc = { "mpicc", "compiler for ranks" },
  launcher = { "auto", "what starts the ranks" },
  repetitions = { 3, "rounds over all of them" },
  runs = { 3, "timed runs in each round" },
  size = { 1500, "bodies with one thread or rank" },
  csv = { "", "file for all samples, relative to where you are; none if empty" },
}
local over = args.ranks[1] == 0 and "threads" or "ranks"
local pool <close> = spawn { per_node = 1 }

-- As many cores as this job has on the node, which may be fewer than the node has.
local cores = assert(pool.workers[1]).cores
local counts = args[over][1] == 0 and scaling.counts(cores) or args[over]

local program = submit(compile {
  sources = { "kernels/nbody.c" },
  compiler = over == "ranks" and args.mpicc or "gcc",
  flags = { "-O3", over == "ranks" and "-DRANKS" or "-fopenmp" },
  libs = { "m" },
})
local built = await(program)
if not built.ok then
  local needed = over == "ranks" and "the C compiler of an MPI" or "a C compiler with OpenMP"
  error(needed .. " is needed: " .. built.reason, 0)
end

-- The measurement of a number of threads, or of ranks on as few nodes as have the cores for them.
local function timed(count, options)
  options.metrics = { gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" } }
  -- It has to have had the threads it was to have; a job with fewer cores gives fewer, in silence.
  options.verify = { pattern = ("%s: %d\n"):format(over, count) }
  if over == "threads" then
    options.env = scaling.pinned(count)
    return measure(options)
  end
  local nodes = math.ceil(count / cores)
  while count % nodes > 0 do
    nodes = nodes + 1
  end
  options.ranks, options.nodes, options.launcher = count, nodes, args.launcher
  return measure(options)
end

-- Strong scaling: the same work for more of them. Weak: the same work for each; the pairs grow as the square of
-- the bodies, so the bodies grow as the root of the number.
local kinds = {
  {
    name = "strong",
    bodies = function() return args.size end,
  },
  {
    name = "weak",
    bodies = function(count) return math.floor(args.size * math.sqrt(count) + 0.5) end,
  },
}
for _, kind in ipairs(kinds) do
  local study = scaling.study {
    kind = kind.name,
    counts = counts,
    rounds = args.repetitions,
    measure = function(count, round)
      local bodies = kind.bodies(count)
      return timed(count, {
        name = kind.name,
        params = { [over] = count, bodies = bodies, round = round },
        cmd = { program, bodies },
        runs = args.runs,
        warmup = round == 1 and 1 or 0,
      })
    end,
  }
  print(scaling.table(study, over))
end
if cores == 1 and over == "threads" then print("this job has one core: ask for more to see anything scale") end
if args.csv ~= "" then print(("%d rows in %s"):format(harness.results():csv(args.csv, { rows = "samples" }), args.csv)) end
