local function run(options) return await(submit(compile(options))) end

local build = submit(compile { sources = { "kernel/answer.c" }, flags = { "-O1" }, defines = { TILE = 8, A = "x" }, libs = { "m" } })
-- As an argument it is the path of the artefact, pending or done.
assert(await(submit(exec { cmd = { build } })).stdout == "42 8\n")
local r = await(build)
assert(r.ok and #r.artefact == 32 and r.cache == "miss" and r.diagnostics == "" and r.wall_s > 0)
assert(table.concat(r.argv, " "):find("cc -O1 -DA=x -DTILE=8 kernel/answer.c -o a.out -lm", 1, true) == 1, table.concat(r.argv, " "))
assert(tostring(r):find("^compile: ok in .* %(cache: miss%)$"), tostring(r))
assert(await(submit(exec { cmd = { build } })).stdout == "42 8\n")

r = run { sources = { "kernel/answer.c", "x.c" } }
assert(r.status == "setup_failed" and not r.ok)
assert(r.reason:find("^source `x.c` not found in /.*/tests/lua/compile$") and #r.messages == 0, r.reason)
r = run { sources = { "kernel/broken.c" }, name = "broken" }
assert(r.status == "compile_failed" and r.diagnostics:find("no_such_name", 1, true) and r.artefact == nil and r.exit_code == 1)
assert(tostring(r):find("^broken: compile_failed: .*function%)$"), tostring(r))
local said = r.messages[1]
assert(said.file == "kernel/broken.c" and said.line == 1 and said.column == 25 and said.severity == "error" and said.text:find "no_such_name")
local ok, why = pcall(function() return said.colum end)
assert(not ok and why:find("builds.lua:%d+: unknown field 'colum' %(did you mean 'column'%?%) of a message"), why)
r = run { sources = { "kernel/answer.c" }, flags = { "-Wall", "-DTILE=1", "-DTILE=2" } }
assert(tostring(r):find "ok in .* %(cache: miss%), 1 warning$" and r.messages[1].severity == "warning", r.diagnostics)
r = run { sources = { "kernel/broken.c", "kernel/answer.c" } }
assert(r.status == "compile_failed" and tostring(r):find "; [23] errors$", tostring(r))
r = run { sources = { "kernel/answer.c" }, flags = { "-O2 -g" } }
assert(r.status == "compile_failed" and r.reason:find('; "-O2 -g" is one word of the command: several flags are { "-O2", "-g" }', 1, true), r.reason)
r = run { sources = { "kernel/broken.c" }, flags = { "-DX=a -b" } }
assert(r.status == "compile_failed" and not r.reason:find("one word", 1, true), r.reason)
r = run { cmd = { "true" }, output = "out" }
assert(r.status == "compile_failed" and r.reason:find "^it exited 0 but left no file `out`", r.reason)
r = run { sources = { "kernel/answer.c" }, compiler = "no-such-compiler" }
assert(r.status == "spawn_failed" and r.reason:find("no-such-compiler", 1, true))
r = run { cmd = { "sh", "-c", "cp kernel/answer.c out" }, inputs = { "kernel/answer.c" }, output = "out" }
assert(r.ok, tostring(r))

-- What depends on a failed build is skipped, and says why.
local broken = submit(compile { sources = { "kernel/broken.c" } })
local m = await(submit(measure { cmd = { broken }, runs = 1 }))
assert(m.status == "skipped" and m.cause.status == "compile_failed", tostring(m))
m = await(submit(measure { cmd = { broken }, runs = 1 }))
assert(m.status == "skipped" and m.cause.status == "compile_failed", tostring(m))
assert(m.reason:find "^task %d+, which it depends on, ended compile_failed: .*error: .*no_such_name", m.reason)
