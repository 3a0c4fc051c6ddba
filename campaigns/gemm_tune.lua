-- Which compiler, flags and tile size make three small kernels fast?
--
--   mpirun -n 1 harness campaigns/gemm_tune.lua
--
-- A variant counts only if it computes what the -O0 build computes. Two are wrong on purpose: tile 0 does not
-- compile and BROKEN leaves out a part of the product. The table says so where a figure would stand.

local args = require("harness").args {
  compilers = { { "gcc", "clang" }, "those that are present are tried" },
  flags = { { "-O2", "-O3 -march=native" }, "sets of flags" },
  tiles = { { 16, 64 }, "tile sizes" },
}
local compilers, flag_sets, tiles = args.compilers, args.flags, args.tiles

local gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" }
local gbytes = { "GB/s: ([%d.]+)", unit = "GB/s", better = "more" }
local kernels = {
  { name = "gemm", args = { 384 }, rate = gflops, tiled = true },
  { name = "jacobi2d", args = { 1024, 20 }, rate = gflops, tiled = true },
  { name = "triad", args = { 2000, 10 }, rate = gbytes },
}

local pool <close> = spawn { per_node = 1 }
print(pool)

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do
    list[#list + 1] = word
  end
  return list
end

-- Builds one variant: a future whose result is the program.
local function build(kernel, params)
  return submit(compile {
    sources = { ("kernels/%s.c"):format(kernel.name) },
    compiler = params.compiler,
    flags = words(params.flags),
    defines = { TILE = params.tile, BROKEN = params.broken },
  })
end

-- Times one variant as soon as it is built. The reference itself has nothing to be compared with.
local function time(kernel, params, program, reference)
  return submit(measure {
    name = kernel.name,
    params = params,
    cmd = { program, table.unpack(kernel.args) },
    group = kernel.name, -- all variants of a kernel on the same node
    metrics = { rate = kernel.rate },
    objective = "rate",
    verify = reference and { reference = { reference, table.unpack(kernel.args) }, rtol = 1e-9 },
    max_runs = 20,
    max_time = "3 s",
  })
end

local function is_there(compiler)
  local version = await(submit(exec { cmd = { compiler, "--version" } }))
  if not version.ok then print(("%s is left out: %s"):format(compiler, version.reason)) end
  return version.ok
end

local present = {}
for _, compiler in ipairs(compilers) do
  if is_there(compiler) then present[#present + 1] = compiler end
end
assert(present[1], "no C compiler found: install gcc or clang")

-- Everything is submitted at once; the scheduler builds in parallel and measures one at a time.
local runs = {} -- by kernel: futures, the reference first
for _, kernel in ipairs(kernels) do
  local params = { compiler = present[1], flags = "-O0" }
  local reference = build(kernel, params)
  local futures = { time(kernel, params, reference) }
  runs[kernel.name] = futures

  local function try(variant)
    local program = build(kernel, variant)
    futures[#futures + 1] = time(kernel, variant, program, reference)
  end
  for _, compiler in ipairs(present) do
    for _, flags in ipairs(flag_sets) do
      for _, tile in ipairs(kernel.tiled and tiles or { false }) do
        try { compiler = compiler, flags = flags, tile = tile or nil }
      end
    end
  end
  if kernel.name == "gemm" then
    try { compiler = present[1], flags = "-O2", tile = 0 }
    try { compiler = present[1], flags = "-O2", tile = 16, broken = 1 }
  end
end

local function variant_name(params)
  local name = params.compiler .. " " .. params.flags
  if params.tile then name = name .. " TILE=" .. params.tile end
  return params.broken and name .. " BROKEN" or name
end

-- Why there is no figure, in a line: of a skipped task its cause.
local function why(result)
  local culprit = result.cause or result
  return ("%s: %s"):format(culprit.status, (culprit.reason or ""):match "[^\n]*")
end

-- What to know before believing a figure.
local function doubts(flags) return #flags > 0 and "  ! " .. table.concat(flags, ", ") or "" end

local function interval(stats) return stats.ci and ("[%.2f, %.2f]"):format(stats.ci.lo, stats.ci.hi) or "-" end

local row = "%-9s %-38s %9s %18s %3s %9s"
print("\n" .. row:format("kernel", "variant", "median", "95 % CI", "n", "speed-up"))
local winners = {}
for _, kernel in ipairs(kernels) do
  local base = await(runs[kernel.name][1]).stats -- nil if the reference failed
  local best
  for _, future in ipairs(runs[kernel.name]) do
    local result = await(future)
    local name, stats = variant_name(result.params), result.stats
    if result.ok then
      local speedup = base and ("%.2fx"):format(stats.median / base.median) or "-"
      print(row:format(kernel.name, name, ("%.2f"):format(stats.median), interval(stats), stats.n, speedup))
      if not best or stats.median > best.median then
        best = {
          median = stats.median,
          text = ("%.2f %s %s, %s the reference, with %s%s"):format(
            stats.median,
            kernel.rate.unit,
            interval(stats),
            speedup,
            name,
            doubts(result.flags)
          ),
        }
      end
    else
      print(("%-9s %-38s %s"):format(kernel.name, name, why(result)))
    end
  end
  winners[#winners + 1] = ("  %-9s %s"):format(kernel.name, best and best.text or "nothing could be measured")
end
print("\nBest of each:\n" .. table.concat(winners, "\n"))
