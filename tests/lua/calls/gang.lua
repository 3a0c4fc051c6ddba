-- A call that asks for nodes has them to itself, and its environment says which and how to start programs there.
local pool <close> = spawn { slots = 2, env = { OWN = "x" } }
local host = pool.workers[1].host

local function look()
  local told = io.popen("echo $HARNESS_NODELIST $HARNESS_NUM_NODES $HARNESS_NUM_RANKS; cat $HARNESS_HOSTFILE; echo $HARNESS_TASK_ID")
  local text = told:read "a"
  told:close()
  return os.getenv "HARNESS_NODELIST", os.getenv "HARNESS_RANKS_PER_NODE", os.getenv "HARNESS_POOL_ID", text
end
local before = os.getenv "HARNESS_NODELIST"
local nodes, per_node, id, text = await(submit(call { look, nodes = 1 }))
assert(nodes == host and per_node == "1" and id == tostring(pool.id), nodes)
assert(text:match("^" .. host:gsub("%p", "%%%0") .. " 1 1\n" .. host:gsub("%p", "%%%0") .. "\n%d+%.1\n$"), text)
assert(before == nil)

-- The same slot, a moment later.
local function left()
  local names = {}
  for line in io.popen("env"):lines() do
    local name = line:match "^(HARNESS_[%u_]+)="
    if name and name ~= "HARNESS_CACHE" then names[#names + 1] = name end
  end
  table.sort(names)
  return os.getenv "HARNESS_NODELIST", os.getenv "OWN", table.concat(names, " ")
end
local none, own, names = await(submit(left))
assert(none == nil and own == "x", tostring(none))
assert(not names:find("HARNESS_GANG", 1, true) and not names:find("PREFIX", 1, true), names)

-- A line that starts something there, where a launcher is on the search path.
local prefix = await(submit(call { function() return os.getenv "HARNESS_MPI_PREFIX" end, nodes = 1 }))
if prefix then assert(prefix:find(host, 1, true), prefix) end

-- It has the node to itself: a second one begins when the first has ended.
local function busy(name)
  local fs = require("harness").fs
  local other = fs.exists "busy"
  assert(fs.write("busy", name))
  for _ = 1, 1e6 do end
  os.remove "busy"
  return other
end
local one, two = submit(call { busy, "one", nodes = 1 }), submit(call { busy, "two", nodes = 1 })
assert(await(one) == false and await(two) == false)

-- What it leaves behind ends with it.
local pid = await(submit(call { function()
  local p = io.popen "setsid sleep 600 > /dev/null 2>&1 & echo $!"
  local pid = p:read "n"
  p:close()
  return pid
end, nodes = 1 }))
local alive = exec { shell = "ps -o stat= -p " .. pid .. " | grep -v Z", ok_codes = { 1 } }
assert(await(submit(alive)).ok)

local ok, e = pcall(await, submit(call { look, nodes = 2 }))
assert(not ok and e.kind == "refused" and e.message:find("it asks for nodes = 2", 1, true), tostring(e))
ok, e = pcall(call, { look, nodes = 0 })
assert(not ok and e:find("call: option 'nodes'", 1, true), e)
