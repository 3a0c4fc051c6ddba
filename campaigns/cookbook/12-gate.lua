-- Has it become slower? A journal of each version, and a verdict with an exit code.
--
--   harness --journal old.journal campaigns/cookbook/12-gate.lua
--   harness --journal new.journal campaigns/cookbook/12-gate.lua --version=2
--   harness compare old.journal new.journal                         1: a regression
--
-- What counts here is what the program says it did, which is the same on every machine. Times want ten runs and more
-- sessions: docs/regressions.md.
local harness = require "harness"
local args = harness.args { version = { 1, "of the program: 1 or 2" } }

local program = submit(compile { sources = { "count.c" }, flags = { "-O2" }, defines = { VERSION = args.version } }) -- yours
for _, size in ipairs { 100, 1000 } do
  print(await(submit(measure {
    name = "sort",
    params = { size = size }, -- not the version: a row of both journals is the same name and the same parameters
    cmd = { program, size },
    metrics = { comparisons = "comparisons: (%d+)" },
    objective = "comparisons",
    runs = 10, -- fewer than 7 are no proof
  })))
end
