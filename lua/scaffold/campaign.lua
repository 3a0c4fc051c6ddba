-- Which flags make each kernel fastest? `harness campaign.lua` runs it, `harness campaign.lua --help` lists its arguments,
-- `harness check campaign.lua` says what it would do.
local harness = require "harness"
local variants = require "variants" -- lua/variants.lua

local args = harness.args {
  size = { 200, "thousands of elements" },
  steps = { 10, "times each kernel goes over them" },
}

-- A build for each program and set of flags: those that are asked for again come from the cache.
local function build(kernel, flags) return submit(compile { sources = { "kernels/" .. kernel .. ".c" }, flags = flags }) end

local runs = {}
for _, variant in ipairs(variants()) do
  local size, steps = args.size, args.steps
  runs[#runs + 1] = submit(measure {
    name = variant.kernel,
    params = { flags = variant.flags }, -- what makes this variant this one
    group = variant.kernel, -- all of a kernel on one node: otherwise their figures cannot be compared
    cmd = { build(variant.kernel, { variant.flags }), size, steps },
    metrics = { gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" } },
    objective = "gflops",
    verify = { reference = { build(variant.kernel, { "-O0" }), size, steps }, rtol = 1e-9 },
    precision = 0.1,
    max_time = "1 s",
    timeout = "1 min",
  })
end
for _, result in as_completed(runs) do
  print(result)
end

local good = harness.results { status = "ok" }
print(good:table())
good:csv "results.csv"
