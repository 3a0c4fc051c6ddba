-- A family of kernels: what each computes, moves and prints is said once, here. A study names one and asks for tasks.
--
--   local kernels = require("lib.kernels").from "kernels"       -- the folder of the C files, seen from the script
--   local build = submit(kernels.gemm:build { flags = { "-O3" } })
--   submit(kernels.gemm:measure(build, 256, { params = { flags = "-O3" } }))
--
-- It submits nothing and knows no compiler: that is the study's.
---@class Kernel
---@field name string
---@field source string its C file
---@field rate string pattern of the figure it prints
---@field unit string of that figure
---@field flops fun(size: integer): number operations of one step
---@field bytes fun(size: integer): number what one step has to move to or from memory, with caches as large as can be
---@field libs string[]?
local Kernel = {}
Kernel.__index = Kernel

local GFLOPS = { rate = "GFLOPS: ([%d.]+)", unit = "GFLOP/s" }
local FAMILY = {
  gemm = { flops = function(n) return 2 * n ^ 3 end, bytes = function(n) return 4 * 8 * n ^ 2 end },
  jacobi2d = { flops = function(n) return 5 * (n - 2) ^ 2 end, bytes = function(n) return 3 * 8 * n ^ 2 end },
  nbody = { flops = function(n) return 20 * n ^ 2 end, bytes = function(n) return 2 * 48 * n end, libs = { "m" } },
  triad = {
    flops = function(n) return 2 * 1000 * n end,
    bytes = function(n) return 3 * 8 * 1000 * n end,
    rate = "GB/s: ([%d.]+)",
    unit = "GB/s",
  },
  fma = { flops = function() return math.huge end, bytes = function() return 0 end },
}

-- `options` with what is missing in it.
local function with(defaults, options)
  local all = {}
  for name, value in pairs(defaults) do
    all[name] = value
  end
  for name, value in pairs(options or {}) do
    all[name] = value
  end
  return all
end

-- A build of it, with the options of `compile`.
function Kernel:build(options) return compile(with({ sources = { self.source }, libs = self.libs }, options)) end

-- A measurement of a build with the options of `measure`, judged by the rate that the kernel prints. With `right`, another
-- build, what it computes is compared with what that one does.
function Kernel:measure(build, size, options)
  local right = options and options.right
  local task = with({
    name = self.name,
    cmd = { build, size },
    metrics = { rate = { self.rate, unit = self.unit, better = "more" } },
    objective = "rate",
    verify = right and { reference = { right, size }, rtol = 1e-9 } or nil,
  }, options)
  task.right = nil
  return measure(task)
end

-- Operations for each byte that has to be moved.
function Kernel:intensity(size) return self.flops(size) / self.bytes(size) end

local M = {}

-- The kernels by name, with their C files in `folder`.
---@return table<string, Kernel>
function M.from(folder)
  local kernels = {}
  for name, kernel in pairs(FAMILY) do
    local own = { name = name, source = ("%s/%s.c"):format(folder, name) }
    kernels[name] = setmetatable(with(with(GFLOPS, kernel), own), Kernel)
  end
  return kernels
end

return M
