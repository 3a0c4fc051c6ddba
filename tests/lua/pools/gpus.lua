-- GPUs, which spawn is told of here: who gets which, and what programs and calls see of it.
local harness = require "harness"
local none = spawn { slots = 2 }
assert(none.workers[1].gpus == 0 and not tostring(none.workers[1]):find "GPU")
local r = await(submit(exec { cmd = { "true" }, gpus = 1 }))
assert(r.status == "refused", r.status)
assert(r.reason:find("it asks for 1 GPU of one node, and no node of pool 0 has more than 0: where they cannot be seen, spawn{ gpus", 1, true), r.reason)
none:close()

-- What another pool of the node has, or had, is not its own.
do
  local big <close> = spawn { start = "local", gpus = 4 }
  local small <close> = spawn { start = "local", slots = 4, gpus = 1 }
  local r = await(small:submit(exec { cmd = { "true" }, gpus = 2 }))
  assert(r.status == "refused" and r.reason:find("no node of pool 2 has more than 1", 1, true), r.reason)
  local all = {}
  for i = 1, 4 do all[i] = small:submit(exec { shell = "echo [$CUDA_VISIBLE_DEVICES]", gpus = 1, params = { i = i } }) end
  for i = 1, 4 do assert(await(all[i]).stdout == "[0]\n", await(all[i]).stdout) end
end
local refused, why = pcall(spawn, { gpus = 65 })
assert(not refused and tostring(why):find("a whole number from 0 to 64", 1, true), tostring(why))

local pool <close> = spawn { slots = 4, gpus = 2 }
assert(pool.workers[1].gpus == 2 and tostring(pool.workers[1]):find("2 GPUs, local", 1, true), tostring(pool.workers[1]))
r = await(submit(exec { cmd = { "true" }, gpus = 3 }))
assert(r.reason:find("it asks for 3 GPUs of one node, and no node of pool 3 has more than 2: ask for fewer", 1, true), r.reason)
local ok, e = pcall(await, submit(call { function() end, gpus = 3 }))
assert(not ok and e.kind == "refused")

local print_them = "echo $CUDA_VISIBLE_DEVICES/$ROCR_VISIBLE_DEVICES/$HIP_VISIBLE_DEVICES/$GPU_DEVICE_ORDINAL"
local function seen(o)
  o.shell = o.shell or print_them
  return (await(submit(exec(o))).stdout:gsub("\n$", ""))
end
assert(seen { gpus = 2 } == "0,1/0,1/0,1/0,1", seen { gpus = 2 })
assert(seen { gpus = 0 } == seen {}, "who asks for none sees what there was")
assert(seen { gpus = 1, env = { CUDA_VISIBLE_DEVICES = "7" } } == "7/0/0/0", "what the author sets stays")

-- Each waits for the other, so they run at a time; the third needs both GPUs.
local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir " .. folder))
local meet = "touch %s/%s; while [ ! -e %s/%s ]; do sleep 0.01; done; "
local function one(me, other)
  return submit(exec { name = "one", gpus = 1, timeout = 30, shell = meet:format(folder, me, folder, other) .. print_them })
end
local a, b = one("a", "b"), one("b", "a")
local both = submit(exec { name = "both", gpus = 2, timeout = 30, shell = print_them })
local got = { await(a).stdout, await(b).stdout }
table.sort(got)
assert(got[1] == "0/0/0/0\n" and got[2] == "1/1/0/0\n", got[1] .. got[2])
assert(await(both).stdout == "0,1/0,1/0,1/0,1\n")
os.execute("rm -r " .. folder)

-- Calls: for as long as they run, and for what they start.
local function look()
  local here = require("harness").worker
  local child = io.popen "echo $CUDA_VISIBLE_DEVICES"
  return table.concat(here.gpus, "+"), os.getenv "ROCR_VISIBLE_DEVICES", child:read "l"
end
local function told(...) return table.concat({ ... }, " ", 1, 3) end
assert(await(submit(call { function() return told(look()) end, gpus = 2 })) == "0+1 0,1 0,1")
local before = os.getenv "CUDA_VISIBLE_DEVICES"
for _ = 1, 4 do
  local gpus, cuda = table.unpack(await(submit(function() return { #require("harness").worker.gpus, os.getenv "CUDA_VISIBLE_DEVICES" } end)))
  assert(gpus == 0 and cuda == before)
end
ok, e = pcall(await, submit(call { function() error(require("harness").worker.gpus[1]) end, gpus = 1 }))
assert(not ok and tostring(e):find "0")
assert(await(submit(function() return #require("harness").worker.gpus end)) == 0, "also after an error")

-- Builds, measurements and MPI applications. These reserve for all ranks of a node.
local build = await(submit(compile { cmd = { "sh", "-c", "echo $CUDA_VISIBLE_DEVICES > out" }, output = "out", gpus = 1, cache = false }))
assert(build.ok, build.reason)
local m = await(submit(measure { shell = "echo gpus $CUDA_VISIBLE_DEVICES", gpus = 1, runs = 2, metrics = { gpu = "gpus (%d+)" } }))
assert(m.ok and m.metrics.gpu.value[1] == 0, m.reason)
local line = "env P={gpus_per_rank}"
r = await(submit(exec { shell = "echo $P $CUDA_VISIBLE_DEVICES", ranks = 2, gpus_per_rank = 1, launcher = line }))
assert(r.stdout == "1 0,1\n", r.stdout)
r = await(submit(exec { shell = "true", ranks = 2, gpus_per_rank = 2, launcher = line }))
assert(r.status == "refused" and r.reason:find("4 GPUs of one node", 1, true), r.reason)
