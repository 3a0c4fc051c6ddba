-- An MPI program, by ranks: under srun, mpiexec or mpirun, whichever is here.
--
--   harness campaigns/cookbook/11-mpi.lua
--   harness campaigns/cookbook/11-mpi.lua --ranks=32,64,128        in a job of several nodes
--
-- The launcher is the task's own; harness itself need not have been built with an MPI. Where there is none, or it starts
-- nothing, that is said and nothing else happens.
local harness = require "harness"
local args = harness.args {
  ranks = { { 1, 2 }, "numbers of ranks" },
  size = { 400, "bodies" },
  mpicc = { "mpicc", "the C compiler of the MPI" },
  launcher = { "auto", "what starts the ranks" },
}
local program = submit(compile { sources = { "../kernels/nbody.c" }, compiler = args.mpicc, flags = { "-O3", "-DRANKS" }, libs = { "m" } })
local built = await(program)
if not built.ok then
  print("skipped: no program: " .. built.reason:match "[^\n]*")
  return
end
for _, ranks in ipairs(args.ranks) do
  local m = await(submit(measure {
    name = "nbody",
    params = { ranks = ranks },
    cmd = { program, args.size }, -- yours
    ranks = ranks, -- nodes = 4, ranks_per_node = 16 says where they are
    launcher = args.launcher,
    metrics = { gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" } }, -- timed by itself: the launcher takes longer
    objective = "gflops",
    verify = { pattern = ("ranks: %d\n"):format(ranks) }, -- not `ranks` programs of one rank each
    env = { OMPI_MCA_rmaps_base_oversubscribe = 1 }, -- Open MPI: more ranks than cores, for a small machine
    timeout = "2 min",
    runs = 5,
  }))
  if m.status == "spawn_failed" then
    print("skipped: no launcher: " .. m.reason:match "[^\n]*")
    return
  end
  print(m)
end
