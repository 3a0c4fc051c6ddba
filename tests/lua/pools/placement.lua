-- Who goes first, and where a task may run.
local pool <close> = spawn { slots = 1 }
local host = pool.workers[1].host
local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir " .. folder))

-- While the first holds the only slot the others line up: higher priority first, else as they were submitted.
local hold = ("touch %s/began; while [ ! -e %s/go ]; do sleep 0.01; done"):format(folder, folder)
local tasks = { submit(exec { shell = hold, timeout = 60 }) }
repeat until io.open(folder .. "/began")
local function line_up(name, o)
  o.shell = ("echo %s >> %s/order"):format(name, folder)
  tasks[#tasks + 1] = submit(exec(o))
end
line_up("plain", {})
line_up("low", { priority = -5 })
line_up("high", { priority = 10 })
line_up("also-plain", { priority = 0 })
line_up("higher", { priority = 11 })
local m = submit(measure { shell = ("echo measured >> %s/order"):format(folder), priority = 20, runs = 1, warmup = 0 })
local function note(name, path)
  local file <close> = io.open(path, "a")
  file:write(name, "\n")
end
tasks[#tasks + 1] = submit(call { note, "called", folder .. "/order", priority = 15 })
io.open(folder .. "/go", "w"):close()
for _, f in ipairs(tasks) do
  await(f)
end
assert(await(m).ok)
local file <close> = io.open(folder .. "/order")
local order = file:read("a"):gsub("\n", " ")
assert(order == "measured called higher high plain also-plain low ", order)
os.execute("rm -r " .. folder)

-- Hosts.
local r = await(submit(exec { cmd = { "hostname" }, host = host }))
assert(r.ok and r.host == host)
r = await(submit(exec { cmd = { "hostname" }, not_on = "elsewhere" }))
assert(r.ok and r.host == host)
local function refused(text, o)
  o.cmd = { "true" }
  local bad = await(submit(exec(o)))
  assert(bad.status == "refused" and bad.reason:find(text, 1, true), bad.reason)
end
refused(("pool 0 has no worker on `elsewhere`; its hosts are %s"):format(host), { host = "elsewhere" })
refused("pool 0 has 0 of that kind besides `" .. host .. "`, and 1 worker in all", { not_on = host })
refused(("its `host` and its `not_on` are both `%s`; drop either"):format(host), { host = host, not_on = host })
