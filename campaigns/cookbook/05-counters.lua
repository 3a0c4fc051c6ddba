-- Why is it faster? Events counted by the kernel and the processor, beside the time.
--
--   harness campaigns/cookbook/05-counters.lua
--
-- Events are counted in runs of their own after the last round: the verdict is what it would be without. What this node
-- does not count (a virtual machine often hides the processor's) is told with its reason.
local function build(tile) return submit(compile { sources = { "../kernels/gemm.c" }, flags = { "-O3" }, defines = { TILE = tile } }) end

local result = await(submit(compare {
  name = "gemm",
  base = { cmd = { build(4), 192 } },
  large = { cmd = { build(64), 192 } },
  metrics = { gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" } },
  objective = "gflops",
  counters = { "instructions", "cache-misses", "branch-misses", "page-faults", "task-clock" }, -- yours
  max_rounds = 12,
}))
print(result)
for _, event in ipairs { "instructions", "page-faults", "task-clock" } do
  local counted = result.variants.large.counters[event]
  print(event, counted.value[1] or counted.note)
end
