-- Programs end as records, never as errors.
local here = spawn {}.workers[1].host
local function run(options) return await(submit(exec(options))) end

local r = run { cmd = { "echo", "hi", 1, 2.5, 1 / 3, 1e300 }, name = "hello", params = { b = 2, a = "x" } }
assert(r.ok and r.status == "ok" and r.exit_code == 0 and r.signal == nil and r.reason == nil)
assert(r.stdout == "hi 1 2.5 0.3333333333333333 1e+300\n", r.stdout)
assert(r.kind == "exec" and r.host == here and r.wall_s > 0 and r.stdout_bytes == #r.stdout and r.argv[2] == "hi")
assert(tostring(r):find("^hello a=x b=2: ok in "), tostring(r))

r = run { shell = "echo err >&2; exit 3" }
assert(not r.ok and r.status == "nonzero_exit" and r.exit_code == 3 and r.stderr == "err\n")
assert(tostring(r) == "exec: nonzero_exit: exit code 3; the end of its standard error: err", tostring(r))
assert(run({ shell = "exit 3", ok_codes = { 0, 3 } }).ok)
r = run { shell = "kill -SEGV $$" }
assert(r.status == "signal" and r.signal == 11 and r.exit_code == nil)
r = run { cmd = { "sleep", "60" }, timeout = "50 ms" }
assert(r.status == "timeout" and not r.ok)
r = run { cmd = { "/no/such/program" } }
assert(r.status == "spawn_failed" and r.reason:find("/no/such/program", 1, true) and r.stdout == "" and r.wall_s == nil)

assert(run({ cmd = { "cat" }, stdin = "from \0 Lua\xff" }).stdout == "from \0 Lua\xff")
assert(run({ shell = "echo $A", env = { A = 5 } }).stdout == "5\n")
assert(run({ cmd = { "echo" }, stdout = "null" }).stdout == "")

-- What is left ends before it begins something else.
r = run { shell = "for i in $(seq 200); do (sleep 60; echo later) & done; echo now" }
assert(r.ok and r.stdout == "now\n" and r.leftovers >= 200, tostring(r) .. r.stdout)

-- A call's value as an argument, pending or done; what failed before it.
local five = submit(function() return 5 end)
assert(run({ cmd = { "echo", five } }).stdout == "5\n" and run({ cmd = { "echo", five } }).stdout == "5\n")
-- A number is the same text as a literal, as a value that is known, and as one that is not yet.
for _, x in ipairs { 1e-5, 64.0, 2.0 ^ 50, 5e-324, 1.5e-7, 1e-310, -0.0, 0.1, 1 / 3, 1e15, 1e100, 2 ^ 53, -1e-4, math.huge } do
  local f = submit(function() return x end)
  local pending = run { cmd = { "echo", f } }
  await(f)
  local known, literal = run { cmd = { "echo", f } }, run { cmd = { "echo", x } }
  assert(pending.stdout == literal.stdout and known.stdout == literal.stdout, pending.stdout .. known.stdout .. literal.stdout)
  assert(tonumber(literal.stdout) == x or x == math.huge)
end
local t = submit(function() return {} end)
r = run { cmd = { "echo", t } }
assert(r.status == "setup_failed" and r.reason:find("neither a string nor a number", 1, true), r.reason)
r = run { cmd = { "echo", t } }
assert(r.status == "setup_failed" and r.reason:find("neither a string nor a number", 1, true), r.reason)
local bad = submit(function() error("oh", 0) end)
r = run { cmd = { "echo", bad } }
assert(r.status == "skipped" and r.cause.message == "oh", tostring(r))
local again = submit(exec { cmd = { "echo", bad } })
assert(again:done() and again:status() == "skipped" and await(again).cause.message == "oh")

-- A scratch folder: files go there and come back by their content.
r = run { shell = "cat programs.lua | wc -l > n; pwd", cwd = "scratch", inputs = { "programs.lua" }, outputs = { "n" } }
assert(r.ok and #r.outputs.n == 32, tostring(r))
r = run { cmd = { "true" }, cwd = "scratch", inputs = { "missing.dat" } }
assert(r.status == "setup_failed" and r.reason:find("^input `missing.dat` not found in /"), r.reason)
