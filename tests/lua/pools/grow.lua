-- A pool gets further workers: they run what the pool runs, with its `init`, and the old ones keep theirs.
local function there() return require("harness").worker.state.made, require("harness").worker.id end
local pool <close> = spawn {
  workers = 1,
  slots = 1,
  init = function(worker) worker.state.made = "made" end,
}
local first = pool.workers[1]
assert(await(pool:submit(there)) == "made")

local new = pool:grow { workers = 2 }
assert(#new == 2 and #pool.workers == 3 and pool.workers[1] == first and pool.workers[3] == new[2])
assert(tostring(new[1]):find("worker 1 on " .. first.host .. ": 1 slot, ", 1, true), tostring(new[1]))
assert(first.measures and new[1].measures, "there is no other node")

-- Each of three tasks ends only when the others run, too: so all three workers have one.
local folder = require("harness").fs.tempdir()
local function meet(name, n)
  local fs = require("harness").fs
  assert(fs.write(folder .. "/" .. name, ""))
  local seen = 0
  repeat
    seen = 0
    for i = 1, n do
      if fs.exists(folder .. "/" .. i) then seen = seen + 1 end
    end
  until seen == n
  return require("harness").worker.state.made, require("harness").worker.id
end
local meeting = {}
for i = 1, 3 do
  meeting[i] = pool:submit(call { meet, i, 3, timeout = "60 s" })
end
local ids = {}
for _, f in ipairs(meeting) do
  local made, id = await(f)
  assert(made == "made")
  ids[#ids + 1] = id
end
table.sort(ids)
assert(table.concat(ids, " ") == "0 1 2", table.concat(ids, " "))

-- What cannot be is said, and the pool goes on.
local function refused(options, text)
  local ok, e = pcall(pool.grow, pool, options)
  assert(not ok and e:find(text, 1, true), e)
end
refused(nil, "pool:grow: every node has a worker already (" .. first.host .. "): say how many more, `workers = N` or `per_node = N`")
refused({ hosts = { "node7" } }, "pool:grow: host `node7` is not in the allocation")
refused({ worker = 1 }, "grow: unknown option 'worker' (did you mean 'workers'?)")
refused({ workers = 0 }, "grow: option 'workers'")
refused({ job = "abc" }, "pool:grow: `abc` is no job of Slurm: jobs have a number, job = \"1234\"")
refused({ job = {} }, "grow: option 'job'")
assert(#pool.workers == 3 and await(pool:submit(there)) == "made")
assert(#pool:grow { per_node = 1 } == 1 and #pool:grow { hosts = { first.host } } == 1 and #pool.workers == 5)

local other = spawn { workers = 1 }
other:close()
local ok, e = pcall(other.grow, other, { workers = 1 })
assert(not ok and e:find("pool:grow: pool 1 is closed; open another one with spawn", 1, true), e)
