-- Many settings, stopped and gone on with at any time, within a budget.
--
--   harness campaigns/cookbook/06-sweep.lua --measurements=6
--   harness campaigns/cookbook/06-sweep.lua --measurements=12      the first 6 come from the journal
--
-- Ctrl-C in the middle is no loss: the same line goes on. So does a line with more tiles.
local harness = require "harness"
local args = harness.args {
  measurements = { 6, "to make at the most, those in the journal among them" },
  tiles = { { 4, 8, 16, 32, 64, 128 }, "sizes of tiles" },
}
local points = harness
  .sweep
  .cross({ level = { "-O2", "-O3" }, tile = args.tiles, size = { 64, 96 } }) -- yours
  :where(function(p) return p.tile <= p.size end) -- what makes no sense is left out
local shuffled = harness.random("order"):shuffle(points) -- so that a part tells of the whole; in one order for one journal

local budget = harness.budget { measurements = args.measurements, seconds = "5 min" }
for _, p in ipairs(shuffled) do
  if budget:done() then break end
  local program = submit(compile { sources = { "../kernels/gemm.c" }, flags = { p.level }, defines = { TILE = p.tile } })
  await(submit(measure {
    name = "gemm",
    params = p,
    cmd = { program, p.size },
    metrics = { gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" } },
    objective = "gflops",
    runs = 7,
  }))
end

local list = harness.results { name = "gemm", status = "ok" }
print(("%d of %d settings measured"):format(#list, #points))
local best = list:max "gflops"
if best then print("best so far: " .. best.summary) end
