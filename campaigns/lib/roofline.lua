-- What a core can compute and its memory can deliver, and how near a kernel comes to it (Williams et al., 2009).
--
--   local peaks = roofline.peaks(kernels, { group = "here" })            -- measured: fma in registers, STREAM's triad
--   local roof, bound = roofline.roof(peaks, kernels.gemm:intensity(512)) -- GFLOP/s, "compute" or "memory"
--
-- A peak is a bound, so the best run counts, not the median. Both are of one core; build the kernels with the same compiler.
local M = {}

local BEST = { "-O3", "-march=native" }

-- The best run of a kernel, or an error that says why there is none.
local function best(kernel, size, o)
  local build = submit(kernel:build { compiler = o.compiler, flags = o.flags or BEST })
  local record = await(submit(kernel:measure(build, size, { name = "peak " .. kernel.name, group = o.group, runs = o.runs or 10 })))
  if not record.ok then error(("no peak: %s: %s"):format(record.name, (record.cause or record).reason), 0) end
  return record.stats.max
end

-- Options, all of them with a default: `size` (thousands of doubles in each array of the triad: four times the last cache
-- at least), `steps` (millions, of fma), `runs`, `compiler`, `flags`, `group`.
function M.peaks(kernels, options)
  local o = options or {}
  return { gflops = best(kernels.fma, o.steps or 20, o), gbytes = best(kernels.triad, o.size or 8000, o) }
end

-- Operations for each byte at which memory is no longer what limits.
function M.ridge(peaks) return peaks.gflops / peaks.gbytes end

-- The most GFLOP/s at this intensity, and what sets it.
function M.roof(peaks, intensity)
  local memory = intensity * peaks.gbytes
  if memory < peaks.gflops then return memory, "memory" end
  return peaks.gflops, "compute"
end

return M
