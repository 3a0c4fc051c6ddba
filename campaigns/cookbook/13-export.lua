-- The figures in other hands: CSV from the script; Parquet, SQLite, LaTeX and questions in SQL from its journal.
--
--   harness campaigns/cookbook/13-export.lua
--   harness query campaigns/cookbook/13-export.lua 'select params, median, unit, ci_lo, ci_hi from measurements'
--   harness export campaigns/cookbook/13-export.lua -o triad.parquet
local harness = require "harness"
local args = harness.args { csv = { "triad.csv", "file to write, relative to where you are" } }

local program = submit(compile { sources = { "../kernels/triad.c" }, flags = { "-O3" } })
local runs = {}
for i, size in ipairs { 1, 10, 100 } do -- thousands of doubles: from the caches towards memory
  runs[i] = submit(measure {
    name = "triad",
    params = { size = size },
    cmd = { program, size, 20 }, -- yours
    metrics = { rate = { "GB/s: ([%d.]+)", unit = "GB/s", better = "more" } },
    objective = "rate",
    runs = 8,
  })
end
wait(runs)

local list = harness.results { name = "triad", status = "ok" }
print(list)
print(list:csv(args.csv) .. " rows in " .. args.csv)
print(list:csv(args.csv .. ".samples", { rows = "samples" }) .. " rows in " .. args.csv .. ".samples")
