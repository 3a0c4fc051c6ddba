-- How well do threads help? Strong and weak scaling, threads pinned.
--
--   harness campaigns/cookbook/04-scaling.lua
local harness = require "harness"
local kernels = require("lib.kernels").from "../kernels"
local scaling = require "lib.scaling"
local args = harness.args { size = { 600, "bodies of one thread" } }

local pool <close> = spawn()
local counts = scaling.counts(math.max(2, assert(pool.workers[1]).cores)) -- yours: { 1, 2, 4, 8 }
local program = submit(kernels.nbody:build { flags = { "-O3", "-fopenmp" } })

-- The pairs of bodies grow as their square: for the same work of each thread the bodies grow as the root.
local kinds = {
  { "strong", function() return args.size end },
  { "weak", function(threads) return math.floor(args.size * math.sqrt(threads)) end },
}
for _, kind in ipairs(kinds) do
  local name, size = kind[1], kind[2]
  local study = scaling.study {
    kind = name,
    counts = counts,
    measure = function(threads, round)
      return kernels.nbody:measure(program, size(threads), {
        name = name,
        params = { threads = threads, round = round },
        env = scaling.pinned(threads),
        verify = { pattern = ("threads: %d\n"):format(threads) }, -- it had the threads it was to have
        objective = "wall_s",
        better = "less",
        runs = 3,
      })
    end,
  }
  print(scaling.table(study, "threads"))
  for _, p in ipairs(study.points) do
    if p.serial then print(("with %d threads: serial part %.2f, where 0 is ideal and 1 is no gain"):format(p.count, p.serial)) end
  end
end
