-- Fast, but is it right?
--
--   harness campaigns/cookbook/03-verify.lua
--
-- What a variant prints is compared with what a build without optimisation prints. One that computes something else has a
-- reason where its figure would stand, and no figure.
local function build(flags, defines) return submit(compile { sources = { "../kernels/gemm.c" }, flags = flags, defines = defines }) end

local reference = build { "-O0" }
local variants = { -- yours
  { name = "-O3", build = build { "-O3" } },
  { name = "-Ofast", build = build { "-Ofast", "-march=native" } }, -- may round in another order
  { name = "careless", build = build({ "-O3" }, { BROKEN = 1 }) }, -- leaves out the last tiles
  {
    name = "crashing",
    build = submit(compile { cmd = { "sh", "-c", "printf '#!/bin/sh\nkill -SEGV $$\n' > p; chmod +x p" }, output = "p" }),
  },
}
local runs = {}
for i, variant in ipairs(variants) do
  runs[i] = submit(measure {
    name = variant.name,
    cmd = { variant.build, 96 },
    metrics = { gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" } }, -- this line may differ
    objective = "gflops",
    verify = { reference = { reference, 96 }, rtol = 1e-9 }, -- numbers in all others by so much: yours
    timeout = "1 min", -- for one that hangs
    runs = 10,
  })
end
for _, run in ipairs(runs) do
  local m = await(run)
  print(("%-9s %-14s %s"):format(m.name, m.status, m.ok and m.stats.median .. " GFLOP/s" or m.reason:match "[^\n]*"))
end
