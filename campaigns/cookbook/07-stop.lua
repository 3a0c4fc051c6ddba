-- Enough runs, and enough settings: when to stop.
--
--   harness campaigns/cookbook/07-stop.lua
--
-- A measurement ends when the interval of its median is narrow enough. The search ends when two larger tiles in turn were
-- not clearly better: their intervals are compared, not their medians.
local function run(tile)
  local program = submit(compile { sources = { "../kernels/gemm.c" }, flags = { "-O2" }, defines = { TILE = tile } })
  return submit(measure {
    name = "gemm",
    params = { tile = tile },
    cmd = { program, 128 },
    metrics = { gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" } },
    objective = "gflops",
    precision = 0.05, -- ± 5 %: yours
    min_runs = 10,
    max_runs = 40,
    max_time = "2 s", -- however noisy the node is
  })
end

local best, in_vain, tile = nil, 0, 4
while in_vain < 2 and tile <= 512 do
  local m = await(run(tile))
  local better = m.ok and (not best or m.stats.ci.lo > best.stats.ci.hi)
  print(
    ("tile %3d: %s, %s"):format(
      tile,
      m.ok and ("stopped: %s after %d runs"):format(m.stop_reason, m.stats.n) or m.status,
      better and "better" or "not clearly better"
    )
  )
  if better then
    best, in_vain = m, 0
  else
    in_vain = in_vain + 1
  end
  tile = tile * 2
end
print(best and "best: " .. best.summary or "nothing ran")
