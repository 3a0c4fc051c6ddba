-- Which compiler, and which flags?
--
--   mpirun -n 1 harness campaigns/flags.lua --kernel=jacobi2d
--
-- A screening and a final. Every build is timed a few times; those near the best are then compared with it in turns,
-- until it is known which are faster. So the time goes where the decision is. What computes something else than
-- -O0 does is out, however fast: -ffast-math has to earn its place.
local harness = require "harness"
local args = harness.args {
  kernel = { "jacobi2d", "one of campaigns/kernels: gemm, jacobi2d, triad" },
  size = { 1024, "its first argument" },
  compilers = { { "gcc", "clang", "icx", "nvc" }, "those that are not there are left out" },
  near = { 1.3, "up to how many times the best time a build is in the final" },
  effect = { 0.01, "the least difference that matters, as a part" },
  rounds = { 40, "of the final, at the most" },
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

-- What both rounds demand of a build.
local verify = { reference = { reference, args.size }, rtol = 1e-9 }
local metrics = { rate = { rate, better = "more" } }

local candidates, screening = {}, {}
for i, build in ipairs(harness.sweep.cross { compiler = present, flags = flag_sets }) do
  local params = { compiler = build.compiler, flags = table.concat(build.flags, " ") }
  local program = submit(compile { sources = { source }, compiler = build.compiler, flags = build.flags })
  screening[i] = submit(measure {
    name = args.kernel .. " screening",
    params = params,
    cmd = { program, args.size },
    group = "flags", -- all on one node: figures of two nodes cannot be compared
    verify = verify,
    metrics = metrics,
    runs = 3,
    timeout = "1 min",
  })
  local name = ("%s %s"):format(params.compiler, params.flags)
  candidates[i] = { name = name, cmd = { program, args.size }, run = screening[i] }
end

wait(screening) -- builds still go on while the first are timed
local first = assert(harness.results({ name = args.kernel .. " screening" }):min(), "nothing ran well")
local least = assert(first.stats).min

-- The best of the screening is the base, which all others near it take turns with.
local final = { name = args.kernel .. " final", verify = verify, metrics = metrics, min_effect = args.effect, max_rounds = args.rounds }
local rivals, out = 0, {}
local base
for _, candidate in ipairs(candidates) do
  local record = await(candidate.run)
  if record == first then
    base, final.base = candidate.name, { cmd = candidate.cmd }
  elseif record.ok and record.stats.min <= least * args.near then
    rivals, final[candidate.name] = rivals + 1, { cmd = candidate.cmd }
  else
    local why = record.ok and ("%.2fx the best time"):format(record.stats.min / least) or (record.cause or record).reason
    out[#out + 1] = ("  %-42s %s"):format(candidate.name, why:match "[^\n]*")
  end
end
print("not in the final:\n" .. table.concat(out, "\n"))
if rivals == 0 then
  print(("\n%s  <- best: nothing else came near"):format(base))
  return
end

local c = await(submit(compare(final)))
assert(c.ok, c.reason)
local best, names = "base", {}
for name, verdict in pairs(c.verdicts) do
  names[#names + 1] = name
  local faster = verdict.verdict == "faster"
  if faster and (best == "base" or verdict.ratio > c.verdicts[best].ratio) then best = name end
end
local function ratio(name) return c.verdicts[name].ratio or 0 end
table.sort(names, function(a, b)
  if ratio(a) ~= ratio(b) then return ratio(a) > ratio(b) end
  return a < b
end)

-- What to know before believing it stands behind the best.
local function mark(name)
  if name ~= best then return "" end
  local flags = c.variants[name].flags
  return "  <- best" .. (#flags > 0 and "  ! " .. table.concat(flags, ", ") or "")
end
print(("\nfinal, %d rounds; above 1 is faster than %s%s"):format(c.rounds, base, mark "base"))
for _, name in ipairs(names) do
  local v = c.verdicts[name]
  local interval = v.lo and ("%.3f [%.3f, %.3f]"):format(v.ratio, v.lo, v.hi) or "-"
  print(("%-42s %-22s %s%s"):format(name, interval, v.verdict, mark(name)))
end
