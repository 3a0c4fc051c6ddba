-- Build, prepare, measure, evaluate: what follows what, and what becomes of it when something fails?
--
--   mpirun -n 1 harness campaigns/pipeline.lua
--
-- Everything is submitted at once; a future among a task's arguments is all that says "after that one". Three of the
-- five variants fail on purpose, each in its own way. None of them ends the script: a failure is a value
-- that says what happened, and what depended on it is skipped and names it as the cause.
local harness = require "harness"
local args = harness.args { size = { 192, "rows of the matrices" }, runs = { 5, "timed runs of each variant" } }
local pool <close> = spawn { per_node = 1 }

local variants = {
  { name = "tile 16", defines = { TILE = 16 } },
  { name = "tile 64", defines = { TILE = 64 } },
  { name = "does not compile", defines = { TILE = 0 } },
  { name = "computes nonsense", defines = { TILE = 16, BROKEN = 1 } },
  { name = "is given nonsense", defines = { TILE = 16 }, size = "many" },
}

local function build(flags, defines) return submit(compile { sources = { "kernels/gemm.c" }, flags = flags, defines = defines }) end

-- The size comes from a call: any task's result can be an argument of the next.
local size = submit(function(rows) return rows // 16 * 16 end, args.size)
local reference = submit(exec { name = "reference", cmd = { build({ "-O0" }), size } })

local runs = {}
for i, variant in ipairs(variants) do
  runs[i] = submit(measure {
    name = "gemm",
    params = { variant = variant.name },
    cmd = { build({ "-O3" }, variant.defines), variant.size or size },
    metrics = { gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" } },
    objective = "gflops",
    verify = { reference = reference, rtol = 1e-9 },
    runs = args.runs,
  })
end

-- By default a task whose dependency failed is skipped ...
local strict = submit(function(...) return select("#", ...) end, table.unpack(runs))
-- ... and with accept_failed it is handed their records: a report wants those, too. It runs on a worker as
-- soon as the last of them has ended, and its result is what the records come to.
local evaluation = submit(call {
  accept_failed = true,
  function(...)
    local good, bad = {}, {}
    for _, record in ipairs { ... } do
      local list = record.ok and good or bad
      list[#list + 1] = record
    end
    table.sort(good, function(a, b) return a.stats.median > b.stats.median end)
    return good, bad
  end,
  table.unpack(runs),
})

for _, record in as_completed(runs) do
  print(record)
end -- in the order they end

local good, bad = await(evaluation)
print(("\n%d of %d variants have a figure; the best is '%s'"):format(#good, #runs, good[1].params.variant))
for _, record in ipairs(bad) do
  print(("  %-18s %s: %s"):format(record.params.variant, record.status, record.reason:match "[^\n]*"))
end

-- A call that was skipped raises, as one that failed does: programs end in records, functions in errors. `cause` is
-- what failed before it, which may have been skipped in its turn.
---@type boolean, any
local ok, problem = pcall(await, strict)
assert(not ok and problem.kind == "skipped")
local culprit = problem.cause
while culprit.cause do
  culprit = culprit.cause
end
print(("\nwithout accept_failed the evaluation is skipped; the first failure: %s %s"):format(culprit.kind, culprit.status))
assert(#good == 2 and #bad == 3)
