-- How near is it to what this core can do? A roofline with peaks that were measured here.
--
--   harness campaigns/cookbook/14-roofline.lua
--
-- The part of the roof is a metric of its own, computed on the node by a function of the library, which travels there.
local harness = require "harness"
local kernels = require("lib.kernels").from "../kernels"
local roofline = require "lib.roofline"
local args = harness.args { size = { 2000, "thousands of doubles in each array of the triad; 8000 and more for memory, not caches" } }

local here = "roofline" -- one node for all
local peaks = roofline.peaks(kernels, { size = args.size, group = here })
print(
  ("peak: %.1f GFLOP/s, %.1f GB/s; memory limits below %.1f operations a byte"):format(peaks.gflops, peaks.gbytes, roofline.ridge(peaks))
)

for _, study in ipairs { { "gemm", 256 }, { "jacobi2d", 1024 } } do -- yours: the kernels, and their sizes
  local kernel, size = kernels[study[1]], study[2]
  local roof, bound = roofline.roof(peaks, kernel:intensity(size))
  local function of_roof(run) return run.metrics.rate / (roofline.roof(peaks, kernel:intensity(size))) end
  local m = await(submit(kernel:measure(submit(kernel:build { flags = { "-O3", "-march=native" } }), size, {
    group = here,
    runs = 10,
    metrics = {
      rate = { kernel.rate, unit = kernel.unit, better = "more" },
      of_roof = { fn = of_roof, better = "more" },
    },
  })))
  local part = m.ok and ("%.0f %%"):format(100 * m.metrics.of_roof.stats.median) or m.status
  print(
    ("%-9s %6.2f operations a byte: %.1f GFLOP/s at the most (%s), of which it has %s"):format(
      kernel.name,
      kernel:intensity(size),
      roof,
      bound,
      part
    )
  )
end
