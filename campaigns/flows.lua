-- Several searches at once, each deciding by what it has seen.
--
--   mpirun -n 1 harness campaigns/flows.lua
--
-- For each kernel a flow climbs to the best tile size: it measures the neighbours of the best so far and goes on until
-- both are worse. A flow reads like a script of its own, and while one waits the others go on: their builds run
-- beside each other, and each measurement has its node to itself. Run it again, after Ctrl-C too: the
-- journal answers in the recorded order, so every search takes the same path to where it was.
local harness = require "harness"
local args = harness.args {
  start = { 32, "tile size to begin with" },
  runs = { 5, "timed runs of each variant" },
  small = { false, "small problems: a quick look" },
}
local pool <close> = spawn { per_node = 1 }

local kernels = {
  { name = "gemm", cmd = args.small and { 96 } or { 384 } },
  { name = "jacobi2d", cmd = args.small and { 128, 2 } or { 1024, 20 } },
}

local function build(kernel, flags, tile)
  return submit(compile { sources = { ("kernels/%s.c"):format(kernel.name) }, flags = flags, defines = { TILE = tile } })
end

local function climb(kernel)
  local reference = build(kernel, { "-O0" }, args.start)
  local seen = {} -- median by tile; false if there is no figure
  local path = {}

  -- Measures those not seen yet, side by side as far as the nodes allow.
  local function look(tiles)
    local runs = {}
    for _, tile in ipairs(tiles) do
      if seen[tile] == nil then
        runs[#runs + 1] = submit(measure {
          name = kernel.name,
          params = { tile = tile },
          group = kernel.name,
          cmd = { build(kernel, { "-O3", "-march=native" }, tile), table.unpack(kernel.cmd) },
          metrics = { gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" } },
          objective = "gflops",
          verify = { reference = { reference, table.unpack(kernel.cmd) }, rtol = 1e-9 },
          runs = args.runs,
        })
      end
    end
    for _, record in as_completed(runs) do
      seen[record.params.tile] = record.ok and record.stats.median
    end
  end

  local best = args.start
  look { best }
  if not seen[best] then error(("%s: tile %d, where the search begins, gives no figure"):format(kernel.name, best), 0) end
  while true do
    path[#path + 1] = ("%d (%.2f)"):format(best, seen[best])
    local neighbours = { best // 2, best * 2 } -- tile 0 does not compile: a failure is only a direction not to take
    look(neighbours)
    local from = best
    for _, tile in ipairs(neighbours) do
      if seen[tile] and seen[tile] > seen[best] then best = tile end
    end
    if best == from or best > 4096 then return best, path end
  end
end

local searches = {}
for i, kernel in ipairs(kernels) do
  searches[i] = go(climb, kernel)
end

-- One that fails is reported, and the others go on.
local failures = 0
for i, kernel in ipairs(kernels) do
  ---@type boolean, any, any
  local ok, best, path = pcall(await, searches[i])
  if ok then
    print(("%-9s best tile %4d; GFLOP/s on the way: %s"):format(kernel.name, best, table.concat(path, " -> ")))
  else
    failures = failures + 1
    print(("%-9s no result: %s"):format(kernel.name, best))
  end
end
print(("%d measurements by %d searches"):format(#harness.results(), #searches))
os.exit(failures == 0)
