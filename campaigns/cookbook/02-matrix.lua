-- Which compiler, which flags? And which flags do nothing?
--
--   harness campaigns/cookbook/02-matrix.lua
--
-- Every pair is built; programs that came out the same are measured once. A compiler that is not here is left out.
local kernels = require("lib.kernels").from "../kernels"
local matrix = require "lib.matrix"

local right = submit(kernels.gemm:build { flags = { "-O0" } }) -- what all others have to compute
local found = matrix.run {
  compilers = { "gcc", "clang" }, -- yours
  flags = { { "-O1" }, { "-O2" }, { "-O2", "-fomit-frame-pointer" }, { "-O3", "-march=native" } }, -- yours
  build = function(compiler, flags) return kernels.gemm:build { compiler = compiler, flags = flags } end,
  measure = function(build, params)
    return kernels.gemm:measure(build, 128, {
      params = params,
      right = right,
      group = "gemm", -- all on one node
      runs = 10,
    })
  end,
}
print(matrix.table(found))
