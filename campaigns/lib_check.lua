-- The tests of campaigns/lib, a campaign like any other: harness campaigns/lib_check.lua
--
-- What computes is tested on numbers that are known; what measures only on what does not depend on time.
local kernels = require("lib.kernels").from "kernels"
local matrix = require "lib.matrix"
local roofline = require "lib.roofline"
local scaling = require "lib.scaling"

local function near(value, expected) assert(math.abs(value - expected) < 1e-9, ("%s, not %s"):format(value, expected)) end

-- kernels
near(kernels.gemm:intensity(512), 32)
near(kernels.triad:intensity(8000), 1 / 12)
assert(kernels.gemm.source == "kernels/gemm.c" and kernels.triad.unit == "GB/s" and kernels.nbody.unit == "GFLOP/s")
local right = submit(kernels.gemm:build { flags = { "-O0" } })
local broken = submit(kernels.gemm:build { defines = { BROKEN = 1, TILE = 8 } })
local judged = await(submit(kernels.gemm:measure(broken, 16, { right = right, runs = 1 })))
assert(judged.status == "verify_failed", judged)

-- matrix
local found = matrix.run {
  compilers = { "gcc", "no-such-compiler" },
  flags = { { "-O1" }, { "-O1", "-DUNUSED" }, { "-DTILE=0" } },
  build = function(compiler, flags) return kernels.gemm:build { compiler = compiler, flags = flags } end,
  measure = function(build, params) return kernels.gemm:measure(build, 16, { params = params, runs = 1, group = "matrix" }) end,
}
local rows = found.rows
assert(#rows == 3 and rows[2].same == rows[1] and not rows[1].same and rows[3].record.status == "skipped")
assert(#found.absent == 1 and found.absent[1].reason:find("not found", 1, true), found.absent[1].reason)
local text = matrix.table(found)
assert(text:find("the program of gcc -O1", 1, true) and text:find("TILE must be at least 1", 1, true), text)

-- scaling
assert(table.concat(scaling.counts(6), " ") == "1 2 4 6" and table.concat(scaling.counts(1), " ") == "1")
local strong = scaling.points("strong", { 1, 2, 4 }, { [1] = { 8, 9, 8 }, [2] = { 5 }, [4] = {} })
assert(#strong == 2)
near(strong[2].speedup, 1.6)
near(strong[2].efficiency, 0.8)
near(strong[2].serial, 0.25)
local weak = scaling.points("weak", { 2, 4 }, { [2] = { 3, 1 }, [4] = { 2.5 } })
near(weak[2].speedup, 1.6)
near(weak[2].efficiency, 0.8)
local study = scaling.study {
  kind = "strong",
  counts = { 1, 2 },
  rounds = 2,
  measure = function(count, round)
    return measure { name = "count", params = { n = count, round = round }, shell = ("exit %d"):format(count - 1), runs = 1 }
  end,
}
assert(#study.points == 1 and study.points[1].rounds == 2)
assert(scaling.table(study, "n"):find "strong +2  no figure: .*exit code 1", scaling.table(study))

-- roofline, and that a module travels: the worker requires it by its name
local peaks = { gflops = 100.0, gbytes = 20.0 }
local ridge, roof, bound = await(submit(function()
  local there = require "lib.roofline"
  return there.ridge(peaks), there.roof(peaks, 0.5)
end))
near(ridge, 5)
near(roof, 10)
assert(bound == "memory" and select(2, roofline.roof(peaks, 6)) == "compute")
local measured = roofline.peaks(kernels, { size = 10, steps = 1, runs = 2 })
assert(measured.gflops > 0 and measured.gbytes > 0)
print "the library does what it says"
