-- Each wrong option table, with its text.
local wrong = {}
local function says(text, fn, ...)
  local ok, e = pcall(fn, ...)
  if ok then
    wrong[#wrong + 1] = "no error: " .. text
  elseif not tostring(e):find(text, 1, true) or not tostring(e):find("^errors%.lua:%d+: ") then
    wrong[#wrong + 1] = ("expected `%s`, got `%s`"):format(text, tostring(e))
  end
end
local cmd = { "true" }
local function build() return submit(compile { cmd = { "cp", "a", "b" }, output = "b" }) end

says("errors.lua:15: measure: unknown option 'warmpu' (did you mean 'warmup'?)", function()
  measure { cmd = cmd, warmpu = 2 }
end)
says("measure: unknown option 'counter' (did you mean 'counters'?)", measure, { cmd = cmd, counter = { "cycles" } })
says("compile: unknown option 'ranks' (an option of compare, exec and measure)", compile, { sources = { "a.c" }, ranks = 2 })
for text, o in pairs {
  ["5 ranks do not spread evenly over 2 nodes: ask for 4 or 6"] = { nodes = 2, ranks = 5 },
  ["1 ranks do not spread evenly over 4 nodes: ask for 4"] = { nodes = 4, ranks = 1 },
  ["6 ranks do not divide into nodes with ranks_per_node = 4: ask for 4 or 8 ranks"] = { ranks = 6, ranks_per_node = 4 },
  ["nodes = 1000 times ranks_per_node = 100 is more than the 65535 that can be asked for"] = { nodes = 1000, ranks_per_node = 100 },
  ["ranks_per_node = 256 times cores = 256 is more than the 65535 that can be asked for"] = { ranks_per_node = 256, cores = 256 },
  ["nodes = 2 times ranks_per_node = 2 is 4 ranks, and ranks = 8; leave one"] = { nodes = 2, ranks_per_node = 2, ranks = 8 },
  ['cwd = "scratch" is a folder of one node, and the ranks are on 2'] = { nodes = 2, cwd = "scratch" },
  ["option 'launcher': unknown launcher 'mpiexce' (did you mean 'mpiexec'?); there are aprun, auto, "] = { launcher = "mpiexce" },
  ["option 'launcher': unknown placeholder 'rank' (did you mean 'ranks'?); there are {gpus_per_rank}, "] = { launcher = "run {rank}" },
  ["option 'nodes': expected a whole number from 1, got 0"] = { nodes = 0 },
} do
  o.cmd = cmd
  says("exec: " .. text, exec, o)
  says("measure: " .. text, measure, o)
end
says("measure: 'objective': of an MPI application 'user_s' is not known", measure, { cmd = cmd, ranks = 2, objective = "user_s" })
says("exec: 'limits': of an MPI application they would be the launcher's", exec, { cmd = cmd, ranks = 2, limits = { cpu_time = 1 } })
says("compare: base: 'limits': of an MPI application they would be", compare,
  { nodes = 1, limits = { cpu_time = 1 }, base = { cmd = cmd }, other = { cmd = cmd } })
for text, limits in pairs {
  ["limits: unknown option 'memroy' (did you mean 'memory'?)"] = { memroy = 1 },
  ["option 'limits': expected a table, got '2 GiB'"] = "2 GiB",
  ["option 'limits.memory': expected bytes or a size like \"64 MiB\", \"2 GiB\", from 1 MiB (in B, KiB, MiB, GiB or TiB), got '2 GB'"] = { memory = "2 GB" },
  ["option 'limits.file_size': expected bytes or a size like \"64 MiB\", \"2 GiB\", got -1"] = { file_size = -1 },
  ["option 'limits.cpu_time': expected a time on processors from \"1 s\", got '500 ms'"] = { cpu_time = "500 ms" },
  ["option 'limits.processes': expected a whole number from 1, got 0"] = { processes = 0 },
  ["option 'limits.open_files': expected a whole number from 8, got 3"] = { open_files = 3 },
} do
  says("exec: " .. text, exec, { cmd = cmd, limits = limits })
end
says("call: unknown option 'limits' (what a call may take is what its slot may: spawn { memory = \"2 GiB\" })", call,
  { print, limits = {} })
says("exec: expected a table of options, got 'true'", exec, "true")
says("exec: expected a table of options, got nil", exec)
says('exec: there is no option [1]; a program and its arguments go into cmd: { cmd = { "./a.out", "8" } }', exec, { "true" })
says("spawn: there is no option [1]; options have names: { name = value }", spawn, { 2 })
says("call: there is no option [0]; options have names: { name = value }", call, { print, [0] = 1 })
says("call: there is no option [-1]; options have names: { name = value }", call, { print, [-1] = 1 })
-- What a metatable has would not be seen.
says("call: expected a table of options, got a table with a metatable", call, setmetatable({ print }, { __index = { timeout = 1 } }))
says("measure: option 'verify': expected a table, got a table with a metatable", measure, {
  cmd = { "true" },
  verify = setmetatable({}, { __index = { stdout = "x" } }),
})
says("exec: option 'params.tile': [2] is missing: expected a list without names and gaps", exec, { cmd = { "true" }, params = { tile = { 1, nil, 3 } } })
says("exec: give either 'cmd' or 'shell'", exec, {})
says("exec: give either 'cmd' or 'shell', not both", exec, { cmd = cmd, shell = "true" })
says("exec: option 'cmd': expected a list of strings, numbers and futures, got 'true'", exec, { cmd = "true" })
says("exec: option 'cmd': expected a program and its arguments, not an empty list, got a table", exec, { cmd = {} })
says("exec: option 'cmd[2]': expected a string, a number or a future, got true", exec, { cmd = { "echo", true } })
says("exec: option 'cmd[2]': expected the future of a call or a compile, got the future of an exec", exec,
  { cmd = { "echo", submit(exec { cmd = cmd }) } })
says("exec: option 'env.A': expected a string, got a table", exec, { cmd = cmd, env = { A = {} } })
says("exec: option 'timeout': expected seconds or a duration like \"500 ms\", \"2 s\", \"1 min\", \"2 h\", got '2 parsecs'",
  exec, { cmd = cmd, timeout = "2 parsecs" })
says("exec: option 'cores': expected a whole number from 1, got 0", exec, { cmd = cmd, cores = 0 })
says("exec: option 'cores': expected a whole number from 1, got 1.5", exec, { cmd = cmd, cores = 1.5 })
says("exec: option 'exclusive': expected \"node\" or false, got 'socket'", exec, { cmd = cmd, exclusive = "socket" })
says("exec: option 'params.x.y': expected a finite number, got inf", exec, { cmd = cmd, params = { x = { y = math.huge } } })
says("exec: option 'params.x[16]': expected a name as its key, got 1", exec, { cmd = cmd, params = { x = { [16] = 1 } } })
says("exec: option 'params.x['a']': expected a list without names and gaps, got 3", exec, { cmd = cmd, params = { x = { 1, a = 3 } } })
says("exec: option 'name': expected text in UTF-8, got '\\xff'", exec, { cmd = cmd, name = "\xff" })
says("exec: option 'params.f': expected a string, a number, a boolean or a table of those, got a function", exec,
  { cmd = cmd, params = { f = print } })
says("exec: option 'ok_codes[1]': expected an exit code, 0 to 255, got 'x'", exec, { cmd = cmd, ok_codes = { "x" } })
says("exec: unknown option 'metrics' (an option of compare and measure)", exec, { cmd = cmd, metrics = {} })
says("compile: unknown option 'cwd' (an option of compare, exec and measure)", compile, { sources = { "a.c" }, cwd = "x" })
-- One text where a list belongs.
says("compile: option 'flags': expected a list of strings, got '-O2': write { \"-O2\" }", compile, { sources = { "a.c" }, flags = "-O2" })
says("compile: option 'sources': expected a list of strings, got 'a.c': write { \"a.c\" }", compile, { sources = "a.c" })
says("exec: option 'cmd': expected a list of strings, numbers and futures, got 'ls -l': write { \"ls\", \"-l\" }, or for a shell: shell = \"ls -l\"",
  exec, { cmd = "ls -l" })
local shells = select(2, pcall(exec, { cmd = "echo 'a b' | wc" }))
assert(shells:find("got 'echo 'a b' | wc'$"), shells)
-- Variables of a build, said as if they were options.
local recipes = require "harness.recipes"
says("recipes.make: unknown option 'CFLAGS' (a variable goes into vars: vars = { CFLAGS = \"...\" })", recipes.make, { dir = ".", output = "x", CFLAGS = "-O2" })
says("recipes.cmake: unknown option 'CMAKE_C_FLAGS' (a variable goes into defines, or into env: defines = { CMAKE_C_FLAGS = ", recipes.cmake,
  { dir = ".", output = "x", CMAKE_C_FLAGS = "-O2" })
says("recipes.cargo: unknown option 'RUSTFLAGS' (a variable goes into env: env = { RUSTFLAGS = ", recipes.cargo, { dir = ".", output = "x", RUSTFLAGS = "" })
says("compile: unknown option 'CFLAGS' (a variable goes into env: env = { CFLAGS = \"...\" }, flags into flags", compile, { sources = { "a.c" }, CFLAGS = "" })
says("recipes.make: option 'needs': unknown resource 'license'; ", function() submit(recipes.make { dir = ".", output = "x", needs = { license = 1 } }) end)
says("recipes.make: option 'flags': expected a list of strings, got '-k': write { \"-k\" }", recipes.make, { dir = ".", output = "x", flags = "-k" })
local cycle = {}
cycle.a = cycle
says("exec: option 'params" .. (".a"):rep(20) .. "': expected 20 levels of tables at the most (does it hold itself?), got a table", exec,
  { cmd = cmd, params = cycle })
says("exec: option 'cmd': expected a list of strings, numbers and futures, got a table with a metatable", exec, { cmd = setmetatable({}, { __index = {} }) })
says("exec: option 'cmd['n']': expected a list of strings, numbers and futures without gaps and names, got 3", exec, { cmd = { "echo", "a", n = 3 } })
says("exec: option 'params.x': expected a string, a number, a boolean or a table of those, got a json.null", exec,
  { cmd = cmd, params = { x = require("harness").json.null } })
says("exec: option 'cmd': expected a list of strings, numbers and futures, got a list of results", exec, { cmd = require "harness".results() })
says("exec: expected a table of options, got the future of a call", exec, submit(print))
says("submit: exec is the constructor of a task: did you mean submit(exec { ... })?", submit, exec)
says("call: exec is the constructor of a task: did you mean submit(exec { ... })?", call, { exec, { cmd = cmd } })
says("map: exec is the constructor of a task: did you mean submit(exec { ... })?", map, exec, { { cmd = cmd } })
says("submit: recipes.make is the constructor of a task: did you mean submit(recipes.make { ... })?", submit, recipes.make)
says("exec: expected a table of options, got a sweep", exec, require("harness").sweep.cross { n = { 1 } })
says("exec: expected a table of options, got a task", exec, exec { cmd = cmd })
says("measure: option 'metrics.gflops.better': expected \"less\" or \"more\", got 5", measure,
  { cmd = cmd, metrics = { gflops = { "(%d)", better = 5 } } })
says("exec: option 'ok_codes': with no code at all nothing could end well", exec, { cmd = cmd, ok_codes = {} })
for shown, code in pairs { ["256"] = 256, ["-1"] = -1, ["1.5"] = 1.5 } do
  says("exec: option 'ok_codes[2]': expected an exit code, 0 to 255, got " .. shown, exec, { cmd = cmd, ok_codes = { 0, code } })
  says("measure: option 'verify.exit_code': expected an exit code, 0 to 255, got " .. shown, measure, { cmd = cmd, verify = { exit_code = code } })
end
for shown, time in pairs { ["0"] = 0, ["0.0"] = 0.0, ["1e-300"] = 1e-300, ["'0 s'"] = "0 s", ["'0.5 us'"] = "0.5 us" } do
  says("exec: option 'timeout': expected a time limit of at least 1 us, got " .. shown, exec, { cmd = cmd, timeout = time })
end
local long = ("9"):rep(400) .. " s"
for _, time in ipairs { math.huge, 0 / 0, "-1 s", "1 parsec", "1 M", "1.2.3 s", "s", long, {} } do
  says("exec: option 'timeout': expected seconds or a duration like \"500 ms\", \"2 s\", \"1 min\", \"2 h\", got ", exec,
    { cmd = cmd, timeout = time })
end
says("exec: option 'timeout': expected a time that is not negative, got -1", exec, { cmd = cmd, timeout = -1 })
says("exec: option 'env[1]': expected a name as its key, got 'A=1': write { A = \"1\" }", exec, { cmd = cmd, env = { "A=1" } })
says("exec: option 'cmd[2]': a task has a future once it is submitted: submit(exec { ... })", exec, { cmd = { "cat", exec { cmd = cmd } } })
says("compare: 'variants' holds variants: each stands in the table of compare itself, y = { cmd = { ... } }", compare,
  { base = { cmd = cmd }, variants = { y = { cmd = cmd } } })
says([[exec: option 'timeout': expected 5 without quotes for seconds, or "5 s", got '5']], exec, { cmd = cmd, timeout = "5" })
says("measure: option 'precision': expected a number from 0, 0.02 for 2 %, got '2%'", measure, { cmd = cmd, precision = "2%" })
for pattern, class in pairs { [ [[GFLOPS: (\d+)]] ] = "%d", [ [[(x)\.]] ] = "%.", [ [[\b(x)]] ] = "%f[%w]" } do
  says("measure: option 'metrics.g[1]': in a Lua pattern it is " .. class .. ", and a backslash itself is %\\", measure,
    { cmd = cmd, metrics = { g = { pattern } } })
end
assert(pcall(measure, { cmd = cmd, metrics = { g = { [[C:%\data (x)]] } } }))
says("measure: option 'max_time': expected a time limit of at least 1 us, got 0", measure, { cmd = cmd, max_time = 0 })
says("exec: 'outputs' travel to and from a scratch folder: add cwd = \"scratch\"", exec, { cmd = cmd, outputs = { "x" } })
says("compile: give either 'sources' or 'cmd'", compile, {})
says("compile: 'sources' is empty", compile, { sources = {} })
says("compile: 'output' is needed with 'cmd': the file the command leaves", compile, { cmd = { "make" } })
says("compile: 'flags' goes with 'sources'; put it into 'cmd'", compile, { cmd = { "make" }, output = "x", flags = {} })
says("compile: 'outputs': a build has one artefact, got 2", compile, { cmd = { "make" }, outputs = { "x", "y" } })
says("compile: option 'defines.N': expected a string, got true", compile, { sources = { "a.c" }, defines = { N = true } })
says("measure: option 'metrics.x': the pattern captures nothing: put parentheses around the number", measure,
  { cmd = cmd, metrics = { x = "%d+" } })
says("measure: option 'metrics.x': `%b` (balanced text) is not possible here", measure, { cmd = cmd, metrics = { x = "%b()" } })
says("measure: option 'metrics.x.better': expected \"less\" or \"more\", got 'higher'", measure,
  { cmd = cmd, metrics = { x = { "(%d)", better = "higher" } } })
says("measure: metrics.x: unknown option 'pattern' (it goes without a name: { \"rate: ([%d.]+)\", unit = \"GB/s\" })", measure,
  { cmd = cmd, metrics = { x = { pattern = "(%d)" } } })
says("measure: metrics.x: unknown option 'units' (did you mean 'unit'?)", measure,
  { cmd = cmd, metrics = { x = { "(%d)", units = "s" } } })
says("measure: 'metrics.wall_s': every run has this figure; take another name", measure, { cmd = cmd, metrics = { wall_s = "(%d)" } })
says("measure: unknown objective 'gflop' (did you mean 'gflops'?)", measure,
  { cmd = cmd, metrics = { gflops = "(%d)" }, objective = "gflop" })
says("measure: 'runs' fixes the number of samples; 'precision' would decide it", measure, { cmd = cmd, runs = 3, precision = 0.1 })
says("measure: 'runs' fixes the number of samples; 'max_time' ends none of them: 'timeout' ends all", measure,
  { cmd = cmd, runs = 3, max_time = "1 s" })
says("measure: 'min_runs' (200) is above 'max_runs' (100)", measure, { cmd = cmd, min_runs = 200 })
local NOTHING = "'verify' compares nothing: give what tells a right run, exit_code, files, fn, hash, pattern, reference, stdout"
says("measure: " .. NOTHING, measure, { cmd = cmd, verify = {} })
says("measure: " .. NOTHING, measure, { cmd = cmd, verify = { every = true, files = {} } })
says("measure: 'verify.rtol' needs 'verify.reference'", measure, { cmd = cmd, verify = { rtol = 1e-6 } })
says("measure: option 'verify.reference': expected the future of an exec or a call (for a build give { build }), got the future of a compile",
  measure, { cmd = cmd, verify = { reference = build() } })
says("measure: verify: unknown option 'outptu'", measure, { cmd = cmd, verify = { outptu = "x" } })
says("measure: verify: unknown option 'func'", measure, { cmd = cmd, verify = { func = print } })
says("measure: option 'verify': expected a table, got 'x'", measure, { cmd = cmd, verify = "x" })
says("measure: option 'verify.reference[2]': expected a string, a number or a future, got a table", measure,
  { cmd = cmd, verify = { reference = { "echo", {} } } })
says("measure: option 'verify.reference[2]': expected the future of a call or a compile, got the future of an exec", measure,
  { cmd = cmd, verify = { reference = { "cat", submit(exec { cmd = cmd }) } } })
says("measure: option 'verify.hash': expected 32 hex digits, got 'abc'", measure, { cmd = cmd, verify = { hash = "abc" } })
says("spawn: option 'start': expected \"auto\" or \"local\" or \"spawn\" or \"static\" or \"srun\" or \"ssh\", got 'rsh'", spawn, { start = "rsh" })
says("spawn: unknown option 'worker' (did you mean 'workers'?)", spawn, { worker = 2 })
says("call: expected call{ function, arguments... }, got a string first", call, { "print" })
says("call: [4294967296] is no argument: there are at most 100000; pass a table", call, { print, [1 << 32] = 1 })
says("call: unknown option 'key_' (did you mean 'key'?)", call, { print, key_ = 1 })
says("wait: option 'count': expected a whole number from 1 or \"all\", got 0", wait, {}, { count = 0 })
says("results: unknown option 'nmae' (did you mean 'name'?)", require "harness".results, { nmae = "x" })

-- Bytes that are not text, where there has to be text.
says("exec: unknown option '\\xff'", exec, { cmd = cmd, ["\xff"] = 1 })
says("exec: option 'env': a name is not text in UTF-8: '\\xff'", exec, { cmd = cmd, env = { ["\xff"] = "x" } })
says("exec: option 'env.A': expected text in UTF-8, got '\\xff'", exec, { cmd = cmd, env = { A = "\xff" } })
says("exec: option 'params': a name is not text in UTF-8: '\\xff'", exec, { cmd = cmd, params = { ["\xff"] = "x" } })
says("exec: option 'params.x': a name is not text in UTF-8: '\\xff'", exec, { cmd = cmd, params = { x = { ["\xff"] = "x" } } })
says("measure: option 'metrics': a name is not text in UTF-8: '\\xff'", measure, { cmd = cmd, metrics = { ["\xff"] = "(%d)" } })
says("exec: option 'host': expected text in UTF-8, got '\\xff'", exec, { cmd = cmd, host = "\xff" })
says("exec: option 'shell': expected text in UTF-8, got '\\xff'", exec, { shell = "\xff" })
says("spawn: option 'hosts[1]': expected text in UTF-8, got '\\xff'", spawn, { hosts = { "\xff" } })
says("spawn: option 'hosts': expected host names, not an empty list, got a table", spawn, { hosts = {} })
-- What no program can be given.
says("exec: option 'cmd[2]': expected text without a zero byte, got 'a\\x00b'", exec, { cmd = { "echo", "a\0b" } })
says("exec: option 'env.A': expected text without a zero byte, got 'a\\x00b'", exec, { cmd = cmd, env = { A = "a\0b" } })
says("exec: option 'env': a name cannot be empty or have '=' in it: 'A=B'", exec, { cmd = cmd, env = { ["A=B"] = "x" } })

-- What is unusual and right.
local r = await(submit(exec { cmd = { "printf", "%s", "\xff\xfe" }, params = { list = { 1, 2.5, { a = true } }, empty = {} } }))
assert(r.stdout == "\xff\xfe" and r.params.list[3].a == true)

-- A list is one whatever it is marked with, and whether its length stands beside it.
local function marked(list) return setmetatable(list, { __jsontype = "array" }) end
r = await(submit(exec { cmd = marked(table.pack("printf", "%s", "x")), params = marked { list = marked { 1, 2 }, packed = table.pack("a", "b") } }))
assert(r.stdout == "x" and #r.params.list == 2 and #r.params.packed == 2 and r.params.packed.n == nil)
assert(await(submit(exec(marked { cmd = cmd }))).ok)
local both = compare(marked { base = marked { cmd = cmd }, other = marked { cmd = cmd }, metrics = marked { n = marked { "(%d)" } } })
assert(tostring(both) == "compare task 'true' (not submitted)", tostring(both))
local results, n = map(function(x) return x * 2 end, marked(table.pack(1, 2)))
assert(n == 2 and results[2] == 4)

assert(#wrong == 0, "\n" .. table.concat(wrong, "\n"))
