-- How well does a program scale? Strong and weak scaling over threads, into a CSV file.
--
--   mpirun -n 1 harness campaigns/scaling.lua --threads=1,2,4,8 --csv=scaling.csv
--
-- The program is an OpenMP kernel on one node: harness does not place the ranks of an MPI program yet. Repetitions
-- are interleaved, every number of threads in turn, so that what changes slowly (a warm processor, a neighbour on
-- the network) hits all of them alike and cannot be taken for scaling.
local harness = require "harness"
local args = harness.args {
  threads = { { 0 }, "numbers of threads; 0: 1, 2, 4, ... up to the cores there are" },
  repetitions = { 3, "rounds over all of them" },
  runs = { 3, "timed runs in each round" },
  size = { 1500, "bodies with one thread" },
  csv = { "", "file for all samples, relative to where you are; none if empty" },
}
local pool <close> = spawn { per_node = 1, slots = 1 } -- one task at a time; its threads have the cores

-- As many cores as this job has on the node, which may be fewer than the node has.
local cores = assert(pool.workers[1]).cores
local counts = args.threads
if counts[1] == 0 then
  counts = {}
  local n = 1
  while n < cores do
    counts[#counts + 1] = n
    n = n * 2
  end
  counts[#counts + 1] = cores
end

local program = submit(compile { sources = { "kernels/nbody.c" }, compiler = "gcc", flags = { "-O3", "-fopenmp" }, libs = { "m" } })
local built = await(program)
if not built.ok then error("a C compiler with OpenMP is needed: " .. built.reason, 0) end

-- Strong scaling: the same work for more threads. Weak: the same work for each; the pairs grow as the square of
-- the bodies, so the bodies grow as the root of the threads.
local kinds = {
  {
    name = "strong",
    bodies = function() return args.size end,
  },
  {
    name = "weak",
    bodies = function(threads) return math.floor(args.size * math.sqrt(threads) + 0.5) end,
  },
}
local runs = {}
for round = 1, args.repetitions do
  for _, kind in ipairs(kinds) do
    for _, threads in ipairs(counts) do
      local bodies = kind.bodies(threads)
      runs[#runs + 1] = submit(measure {
        name = kind.name,
        params = { threads = threads, bodies = bodies, round = round },
        cmd = { program, bodies },
        env = { OMP_NUM_THREADS = threads, OMP_PROC_BIND = "close", OMP_PLACES = "cores" },
        metrics = { gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" } },
        -- It has to have had the threads it was to have; a job with fewer cores gives fewer, in silence.
        verify = { pattern = ("threads: %d\n"):format(threads) },
        runs = args.runs,
        warmup = round == 1 and 1 or 0,
      })
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

print(("%-7s %8s %8s %12s %9s %11s"):format("", "threads", "bodies", "time", "speed-up", "efficiency"))
for _, kind in ipairs(kinds) do
  local base, least -- time and threads of the first that has a figure
  for _, threads in ipairs(counts) do
    local times = {}
    local function here(record) return record.params.threads == threads end
    for _, record in ipairs(harness.results { name = kind.name, status = "ok", where = here }) do
      times[#times + 1] = assert(record.stats).min
    end
    if times[1] then
      local time = median(times)
      base, least = base or time, least or threads
      -- Weak scaling is ideal if the time stays; strong, if it shrinks as the threads grow.
      local speedup = kind.name == "strong" and base / time or base / time * threads / least
      print(
        ("%-7s %8d %8d %10.2fms %8.2fx %10.0f%%"):format(
          kind.name,
          threads,
          kind.bodies(threads),
          1e3 * time,
          speedup,
          100 * speedup * least / threads
        )
      )
    else
      print(("%-7s %8d  no figure"):format(kind.name, threads))
    end
  end
end
if cores == 1 then print("this job has one core: ask for more to see anything scale") end
if args.csv ~= "" then print(("%d rows in %s"):format(harness.results():csv(args.csv, { rows = "samples" }), args.csv)) end
