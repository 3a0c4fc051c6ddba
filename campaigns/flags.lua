-- Which compiler, and which flags?
--
--   mpirun -n 1 harness campaigns/flags.lua --kernel=jacobi2d
--
-- A screening and a final. Every build is timed a few times; only those near the best are then measured until
-- their interval is narrow. So the time goes where the decision is. What computes something else than -O0
-- does is out, however fast: -ffast-math has to earn its place.
local harness = require "harness"
local args = harness.args {
  kernel = { "jacobi2d", "one of campaigns/kernels: gemm, jacobi2d, triad" },
  size = { 1024, "its first argument" },
  compilers = { { "gcc", "clang", "icx", "nvc" }, "those that are not there are left out" },
  near = { 1.3, "up to how many times the best time a build is in the final" },
  precision = { 0.02, "of the final: half-width of the interval, as a part of the median" },
}
local flag_sets = {
  { "-O1" },
  { "-O2" },
  { "-O3" },
  { "-O3", "-march=native" },
  { "-O3", "-march=native", "-funroll-loops" },
  { "-Ofast", "-march=native" },
}
-- The line of a kernel's output that differs from run to run; all other lines have to be those of the reference.
local rate = ({ triad = "GB/s: ([%d.]+)" })[args.kernel] or "GFLOPS: ([%d.]+)"
local source = ("kernels/%s.c"):format(args.kernel)

local pool <close> = spawn { per_node = 1 }

-- A compiler counts if it can build an executable here; a login node may know more of them than a compute node.
local present = {}
for _, compiler in ipairs(args.compilers) do
  local build = await(submit(compile { sources = { source }, compiler = compiler, flags = { "-O0" } }))
  if build.ok then
    present[#present + 1] = compiler
  else
    print(("%s is left out: %s"):format(compiler, build.reason:match "[^\n]*"))
  end
end
assert(present[1], "none of the compilers can build " .. source)
local reference = submit(compile { sources = { source }, compiler = present[1], flags = { "-O0" } }) -- from the cache

-- One round: `how` is what decides when a measurement stops.
local function time(params, program, how)
  return submit(measure {
    name = args.kernel .. " " .. how.name,
    params = params,
    cmd = { program, args.size },
    group = "flags", -- all on one node: figures of two nodes cannot be compared
    verify = { reference = { reference, args.size }, rtol = 1e-9 },
    metrics = { rate = { rate, better = "more" } },
    runs = how.runs,
    precision = how.precision,
    max_time = "5 s",
  })
end

local candidates, screening = {}, {}
for i, build in ipairs(harness.sweep.cross { compiler = present, flags = flag_sets }) do
  local params = { compiler = build.compiler, flags = table.concat(build.flags, " ") }
  local program = submit(compile { sources = { source }, compiler = build.compiler, flags = build.flags })
  screening[i] = time(params, program, { name = "screening", runs = 3 })
  candidates[i] = { params = params, program = program, run = screening[i] }
end

local best = math.huge
for _, record in as_completed(screening) do -- builds still go on while the first are timed
  if record.ok then best = math.min(best, record.stats.min) end
end
assert(best < math.huge, "nothing ran well")

local final, out = {}, {}
for _, candidate in ipairs(candidates) do
  local record, params = await(candidate.run), candidate.params
  if record.ok and record.stats.min <= best * args.near then
    final[#final + 1] = time(params, candidate.program, { name = "final", precision = args.precision })
  else
    local why = record.ok and ("%.2fx the best time"):format(record.stats.min / best) or (record.cause or record).reason
    out[#out + 1] = ("  %-6s %-38s %s"):format(params.compiler, params.flags, why:match "[^\n]*")
  end
end
print("not in the final:\n" .. table.concat(out, "\n"))

wait(final)
local list = harness.results { name = args.kernel .. " final", status = "ok" }
local winner = assert(list:min(), "no build of the final ran well")
local least = assert(winner.stats).ci
table.sort(list, function(a, b) return a.stats.median < b.stats.median end)
print(("\n%-6s %-38s %10s %22s"):format("", "final", "median", "95 % CI"))
for _, record in ipairs(list) do
  local params, stats = assert(record.params), assert(record.stats)
  local ci = stats.ci
  -- Two builds differ only if their intervals do not overlap.
  local tied = ci and least and ci.lo <= least.hi
  print(
    ("%-6s %-38s %8.2fms %22s%s"):format(
      params.compiler,
      params.flags,
      1e3 * stats.median,
      ci and ("[%.2f, %.2f]ms"):format(1e3 * ci.lo, 1e3 * ci.hi) or "-",
      record == winner and "  <- best" or tied and "  no slower, as far as measured" or ""
    )
  )
end
