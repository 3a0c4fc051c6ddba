--! exit 1
--! says harness: figures_of_a_failed_run.lua:10: attempt to index a nil value (field 'stats'): the record has none, for it says `gemm tile=8: nonzero_exit: sample 1: exit code 3`; look at its `ok` first
-- To ask whether there are figures is right; to go on as if there were any is explained.
local function run(code)
  return submit(measure { shell = "exit " .. code, name = "gemm", params = { tile = 8 }, runs = 1, warmup = 0, exclusive = false, ok_codes = { 0, code - 1 } })
end
local failed = await(run(3))
assert(not failed.ok and not failed.stats and failed.verdicts == nil)
assert(await(run(1)).stats == nil)
print(failed.stats.median)
