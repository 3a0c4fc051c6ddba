--! says harness: 9 tasks: 4 ok, 4 verify_failed, 1 setup_failed
-- Files that a run must have written.
local harness = require "harness"
local right = os.tmpname()
assert(harness.fs.write(right, "n 3\nsum 4.0\n"))
local function run(shell, files, more)
  local options = { shell = shell, cwd = "scratch", runs = 2, verify = { files = files } }
  for key, value in pairs(more or {}) do options[key] = value end
  return await(submit(measure(options)))
end

local m = run("printf 'n 3\\nsum  4.0' > out", { out = right })
assert(m.ok and m.verify.status == "ok" and m.verify.method == "files" and m.verify.max_abs_err == 0, m.reason)
m = run("mkdir d; printf 'n 3\\nsum 4.0001\\n' > d/out", { ["d/out"] = { reference = right, rtol = 1e-3 } }, { warmup = 0, runs = 1 })
assert(m.ok and m.verify.max_abs_err > 9e-5, m.reason)
m = run("printf 'n 3\\nsum 4.1\\n' > out", { out = { reference = right, atol = 0.01 } })
assert(m.status == "verify_failed" and m.verify.status == "failed")
assert(m.reason == "warm-up run 1: file `out` differs in line 2: expected `sum 4.0`, got `sum 4.1`", m.reason)
m = run("true", { out = right })
assert(m.status == "verify_failed" and m.reason == "warm-up run 1: file `out` was not written", m.reason)

-- What an earlier run wrote shows nothing.
local once = "test -e done || printf 'n 3\\nsum 4.0\\n' > out; touch done"
m = run(once, { out = right })
assert(m.ok, m.reason)
local every = { shell = once, cwd = "scratch", runs = 2, verify = { files = { out = right }, every = true } }
m = await(submit(measure(every)))
assert(m.status == "verify_failed" and m.reason == "sample 1: file `out` was not written", m.reason)

-- The output is looked at first.
m = run("echo 1; printf 'n 3\\nsum 4.0\\n' > out", nil, { verify = { stdout = "1\n", files = { out = right } } })
assert(m.ok and m.verify.method == "stdout+files")
m = run("echo 2", nil, { verify = { stdout = "1\n", files = { out = right } } })
assert(m.status == "verify_failed" and m.reason:find("output differs", 1, true), m.reason)
m = run("true", { out = "missing.tmp" })
assert(m.status == "setup_failed" and m.reason:find("^reference `missing.tmp` not found"), m.reason)
os.remove(right)

local function refuses(expected, options)
  options.cmd = { "true" }
  local ok, why = pcall(measure, options)
  assert(not ok and why:find(expected, 1, true), why)
end
refuses("measure: 'verify.files' are those of a scratch folder: add cwd = \"scratch\"", { verify = { files = { out = right } } })
refuses("'verify.files': '../out' is not a path inside the scratch folder", { cwd = "scratch", verify = { files = { ["../out"] = right } } })
refuses("'verify.files': '/out' is not a path inside", { cwd = "scratch", verify = { files = { ["/out"] = right } } })
refuses("'verify.files': 'in.txt' is among 'inputs'", { cwd = "scratch", inputs = { "in.txt" }, verify = { files = { ["in.txt"] = right } } })
refuses("option 'verify.reference': expected text in UTF-8, got '\\xff'", { verify = { reference = "\xff" } })
refuses("option 'verify.files.out': 'reference' is missing", { cwd = "scratch", verify = { files = { out = { rtol = 1 } } } })
refuses("verify.files.out: unknown option 'rtl'", { cwd = "scratch", verify = { files = { out = { reference = right, rtl = 1 } } } })
refuses("option 'verify.files.out': expected the path of a reference or { reference =, rtol =, atol = }, got 5", { verify = { files = { out = 5 } } })
