-- spawn{ cwd = }: the folder of calls, programs and measurements of the pool that name none themselves.
local harness = require "harness"
local folder = assert(harness.fs.tempdir())
assert(harness.fs.write(folder .. "/only-here", "1.5"))

local pool = spawn { cwd = folder, slots = 1 }
assert(await(submit(exec { cmd = { "cat", "only-here" } })).stdout == "1.5")
assert(await(submit(exec { shell = "pwd", cwd = "/" })).stdout == "/\n")
assert(await(submit(function() return io.open("only-here"):read "a" end)) == "1.5")
local m = await(submit(measure { cmd = { "cat", "only-here" }, runs = 2, metrics = { x = "([%d.]+)" }, verify = { reference = { "cat", "only-here" } } }))
assert(m.status == "verify_failed" and m.reason:find "but the figures of metrics", m.reason)
assert(await(submit(measure { cmd = { "cat", "only-here" }, runs = 2, metrics = { x = "([%d.]+)" } })).ok)
assert(await(submit(compile { cmd = { "sh", "-c", "pwd > out" }, output = "out" })).ok)

-- Of two pools each task has its own.
local other = spawn { slots = 1 }
local task = exec { shell = "ls only-here" }
assert(not await(other:submit(task)).ok and await(pool:submit(task)).ok)
other:close()
pool:close()

local nowhere <close> = spawn { cwd = folder .. "/nowhere", slots = 1 }
local ok, why = pcall(await, submit(function() end))
assert(not ok and tostring(why):find("spawn: cannot enter the folder 'cwd', " .. folder .. "/nowhere on ", 1, true), tostring(why))
assert(await(submit(exec { cmd = { "true" } })).status == "setup_failed")
