-- Which loop transformations, in which order? TADASHI says what is legal, harness what is fast.
--
--   mpirun -n 1 harness campaigns/tadashi/search.lua --python=$(tools/tadashi) --strategy=mcts --kernels=gemm,lu
--
-- A genome is a sequence of transformations. What can be tried next is asked of TADASHI, which holds the loops of each
-- kernel in a process beside each slot; it brings back C, which is built, checked against the kernel as it was written,
-- and measured. What is illegal, crashes or computes something else is a failure of its kind, and never a time. The kernels
-- are searched side by side, each on a node of its own where there are several, and each search ends with its best
-- sequences afresh, in turns with the original. Run it again, after a kill too: the journal answers what was asked before.
local harness = require "harness"
local loops = require "loops"
local search = harness.search
local args = harness.args {
  python = { "python3", "a Python that has tadashi: tools/tadashi prints one" },
  kernels = { { "gemm", "2mm", "jacobi-2d", "lu" }, "of campaigns/polybench; also atax, correlation, fdtd-2d and seidel-2d" },
  strategy = { "ga", "ga, climb, mcts, or random to see what they are worth" },
  budget = { 24, "sequences of each kernel" },
  depth = { 3, "transformations in one" },
  sizes = { { 16, 64 }, "of tiles" },
  size = { 200, "rows of the matrices" },
  runs = { 5, "timed runs of each sequence" },
  rounds = { 20, "of the comparison at the end, at the most" },
}
local options = { "-DPLAIN", "-DN=" .. args.size }
local programs = {}
for _, name in ipairs(args.kernels) do
  programs[name] = loops.read(("../polybench/%s.c"):format(name))
end
local pool <close> = loops.spawn(args.python, programs, options)

-- A mutation of our own: half of the time a tile of another size, else as the library does.
local function resize(steps, random)
  local at, size = random:integer(1, #steps), random:pick(args.sizes)
  local resized, sizes = steps[at]:gsub(" %d+%f[ \0]", " " .. size)
  if sizes == 0 or random:float() < 0.5 then return nil end
  steps[at] = resized
  return steps
end

local STRATEGIES = { ga = search.genetic { population = 8, mutate = resize }, climb = "hill_climb", mcts = "mcts", random = "random" }
local strategy = STRATEGIES[args.strategy] or error("--strategy: ga, climb, mcts or random", 0)

local function tune(name)
  local original = loops.build(programs[name], options)
  local made = {} -- by sequence: the search asks for its best ones twice

  local function actions(before)
    local ok, list = pcall(await, loops.ask("after", name, before, args.sizes))
    if not ok and #before == 0 then error(list, 0) end
    return ok and list or {} -- where TADASHI itself fails a sequence ends
  end

  local function evaluate(p)
    local steps = table.concat(p.steps, ", ")
    made[steps] = made[steps] or loops.ask("source", name, p.steps)
    local found = await(made[steps])
    if found.illegal then return nil, "failed", "illegal: " .. found.illegal end
    return measure {
      name = name,
      params = { steps = steps },
      cmd = { loops.build(found.source, options) },
      group = name,
      metrics = { time = { "time: ([%d.e+-]+)", unit = "s" } },
      objective = "time",
      verify = { reference = { original }, rtol = 1e-9 },
      runs = args.runs,
      warmup = 0,
      timeout = "1 min",
    }
  end

  return search.run {
    name = name,
    space = search.sequences { actions = actions, max = args.depth },
    strategy = strategy,
    evaluate = evaluate,
    budget = args.budget,
    baseline = { steps = {} },
    confirm = { max_rounds = args.rounds },
  }
end

local searches, results = {}, {}
for i, name in ipairs(args.kernels) do
  searches[i] = go(tune, name)
end
for i, flow in ipairs(searches) do
  results[i] = await(flow)
end
print(search.table(results))
