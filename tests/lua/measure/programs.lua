local here = spawn {}.workers[1].host
local function run(options) return await(submit(measure(options))) end

local m = run {
  cmd = { "echo", "GFLOPS: 12.5" }, name = "gemm", params = { tile = 32 }, runs = 8,
  metrics = { gflops = { "GFLOPS: ([%d.]+)", unit = "GFLOP/s", better = "more" } }, objective = "gflops",
}
assert(m.ok and m.kind == "measure" and m.name == "gemm" and m.params.tile == 32 and m.host == here)
assert(m.stats.n == 8 and m.stats.median == 12.5 and m.stats.ci.lo == 12.5 and m.stats.ci.level == 0.95)
assert(#m.samples.wall_s == 8 and #m.samples.gflops == 8 and #m.warmup.wall_s == 1 and #m.metrics.gflops.value == 8)
assert(m.metrics.gflops.unit == "GFLOP/s" and m.better == "more" and m.objective == "gflops" and m.stop_reason == "fixed")
assert(m.verify.status == "none" and type(m.flags) == "table")
assert(tostring(m):find("^gemm tile=32: median 12.50 GFLOP/s, 95 %% CI %[12.50, 12.50%], n = 8, fixed"), tostring(m))
m = run { cmd = { "true" }, runs = 3, warmup = 0 }
assert(tostring(m):find("^measure: median %S+ %S+, min %S+, max %S+, n = 3 %(n < 7, no interval%), fixed"), tostring(m))

-- Whoever is suspended meanwhile is told: here the keeper, by the program.
local function flagged() return (" " .. table.concat(m.flags, " ") .. " "):find(" suspended ", 1, true) ~= nil end
assert(not flagged())
m = run { shell = "kill -STOP $PPID; kill -CONT $PPID", runs = 3, warmup = 0 }
assert(m.ok and flagged(), table.concat(m.flags, " "))

m = run { cmd = { "echo", "nothing" }, runs = 3, metrics = { gflops = "GFLOPS: ([%d.]+)" } }
assert(m.status == "metric_missing" and m.stats == nil and m.stop_reason == "failed")
assert(tostring(m):find("measure: metric_missing: .*metric `gflops`: pattern 'GFLOPS: %(%[%%d.%]%+%)' is not in the output"), tostring(m))
m = run { shell = "exit 3", runs = 3 }
assert(m.status == "nonzero_exit" and m.exit_code == 3)
assert(run({ shell = "exit 3", runs = 1, verify = { exit_code = 3 } }).ok)
assert(run({ cmd = { "echo", "x" }, runs = 1, verify = { stdout = "x\n", pattern = "^x%s$" } }).ok)
m = run { cmd = { "echo", "x" }, runs = 1, verify = { stdout = "y\n" } }
assert(m.status == "verify_failed" and m.verify.status == "failed")

-- A reference: a command runs once for all who name it, and only if one of them runs.
local count = os.tmpname()
local reference = { "sh", "-c", "echo run >> " .. count .. "; echo 42" }
local list = {}
for i = 1, 3 do
  list[i] = submit(measure { cmd = { "echo", 42 }, runs = 1, params = { i = i }, verify = { reference = reference, rtol = 1e-9 } })
end
for _, record in as_completed(list) do assert(record.ok, tostring(record)) end
assert(run({ cmd = { "echo", 43 }, runs = 1, verify = { reference = reference } }).status == "verify_failed")
local n = 0
for _ in io.lines(count) do n = n + 1 end
os.remove(count)
assert(n == 1)
-- As a future, and a reference that failed.
local ref = submit(exec { cmd = { "echo", 7 } })
assert(run({ cmd = { "echo", 7 }, runs = 1, verify = { reference = ref } }).ok)
assert(run({ cmd = { "echo", 7 }, runs = 1, verify = { reference = ref } }).ok)
m = run { cmd = { "echo", 7 }, runs = 1, verify = { reference = { "false" } } }
assert(m.status == "skipped" and m.cause.status == "nonzero_exit", tostring(m))
m = run { cmd = { "echo", 7 }, runs = 1, verify = { reference = "missing.txt" } }
assert(m.status == "setup_failed" and m.reason:find("^reference `missing.txt` not found in /"), m.reason)
