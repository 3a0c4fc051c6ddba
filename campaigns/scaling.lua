-- How well does a program scale? Strong and weak scaling over threads or MPI ranks, into a CSV file.
--
--   mpirun -n 1 harness campaigns/scaling.lua --threads=1,2,4,8 --csv=scaling.csv
--   harness campaigns/scaling.lua --ranks=1,2,4,8,16        in a job of several nodes
--
-- With threads the program is an OpenMP kernel on one node, with ranks an MPI one on as many nodes as it takes. Repetitions
-- are interleaved, every number in turn, so that what changes slowly (a warm processor, a neighbour on the network) hits
-- all of them alike and cannot be taken for scaling.
local harness = require "harness"
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
local counts = args[over]
if counts[1] == 0 then
  counts = {}
  local n = 1
  while n < cores do
    counts[#counts + 1] = n
    n = n * 2
  end
  counts[#counts + 1] = cores
end

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
    options.env = { OMP_NUM_THREADS = count, OMP_PROC_BIND = "close", OMP_PLACES = "cores" }
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
local runs = {}
for round = 1, args.repetitions do
  for _, kind in ipairs(kinds) do
    for _, count in ipairs(counts) do
      local bodies = kind.bodies(count)
      runs[#runs + 1] = submit(timed(count, {
        name = kind.name,
        params = { [over] = count, bodies = bodies, round = round },
        cmd = { program, bodies },
        runs = args.runs,
        warmup = round == 1 and 1 or 0,
      }))
    end
  end
end
wait(runs)

-- The least time of a round's runs is what the machine can do; between rounds the median is robust.
local function median(list)
  table.sort(list)
  local middle = #list // 2
  return #list % 2 == 1 and list[middle + 1] or (list[middle] + list[middle + 1]) / 2
end

print(("%-7s %8s %8s %12s %9s %11s"):format("", over, "bodies", "time", "speed-up", "efficiency"))
for _, kind in ipairs(kinds) do
  local base, least -- time and number of the first that has a figure
  for _, count in ipairs(counts) do
    local times = {}
    local function here(record) return record.params[over] == count end
    for _, record in ipairs(harness.results { name = kind.name, status = "ok", where = here }) do
      times[#times + 1] = assert(record.stats).min
    end
    if times[1] then
      local time = median(times)
      base, least = base or time, least or count
      -- Weak scaling is ideal if the time stays; strong, if it shrinks as the number grows.
      local speedup = kind.name == "strong" and base / time or base / time * count / least
      print(
        ("%-7s %8d %8d %10.2fms %8.2fx %10.0f%%"):format(
          kind.name,
          count,
          kind.bodies(count),
          1e3 * time,
          speedup,
          100 * speedup * least / count
        )
      )
    else
      print(("%-7s %8d  no figure"):format(kind.name, count))
    end
  end
end
if cores == 1 and over == "threads" then print("this job has one core: ask for more to see anything scale") end
if args.csv ~= "" then print(("%d rows in %s"):format(harness.results():csv(args.csv, { rows = "samples" }), args.csv)) end
