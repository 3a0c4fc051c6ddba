-- Two pools in one script, side by side and one after another.
local harness = require "harness"
local function id() return harness.worker.id end
local a = spawn { workers = 1, slots = 1 }
local b = spawn { workers = 2, slots = 1 }
assert(a.id ~= b.id and #a.workers == 1 and #b.workers == 2)
local of_a, of_b = a.workers[1].id, { [b.workers[1].id] = true, [b.workers[2].id] = true }
assert(not of_b[of_a])
-- `submit` takes the newest open one; `pool:submit` its own.
for _ = 1, 4 do
  assert(await(a:submit(id)) == of_a)
  assert(of_b[await(b:submit(id))] and of_b[await(submit(id))])
end
-- Both work at once: one waits for a file that the other writes.
local file = os.tmpname()
os.remove(file)
local waits = a:submit(exec { shell = "until [ -e \"$F\" ]; do sleep 0.01; done", env = { F = file }, timeout = 60 })
local writes = b:submit(exec { cmd = { "touch", file } })
assert(await(waits).ok and await(writes).ok)
os.remove(file)
-- A result of one goes into a task of the other; a build, too.
local five = a:submit(function() return 5 end)
local build = a:submit(compile { cmd = { "sh", "-c", "echo built > it" }, output = "it" })
assert(await(b:submit(function(x) return x + 1 end, five)) == 6)
assert(await(b:submit(exec { cmd = { "cat", build } })).stdout == "built\n")
-- What is under way is finished before a pool closes.
local last = b:submit(function() os.execute "sleep 0.05" return "done" end)
b:close()
assert(await(last) == "done" and await(submit(id)) == of_a)
a:close()
-- With none open the next task opens one; a closed pool's number is not used again.
assert(await(submit(function() return "again" end)) == "again")
local c <close> = spawn { workers = 1 }
assert(c.id ~= a.id and c.id ~= b.id)
