-- Measurements that ask for it run side by side on one node, each on cores of its own; nothing else does.
local pool <close> = spawn { slots = 2 }
local place = os.tmpname()

local function touched(name)
  local f = io.open(place .. "." .. name)
  if f then f:close() end
  return f ~= nil
end

-- A program that waits until another one is there too, 20 s at the most, and writes on which CPUs it may run.
local function meeting(own, other)
  local line = "touch %s.%s; i=0; until [ -e %s.%s ]; do [ $i = 2000 ] && exit 9; i=$((i + 1)); sleep 0.01; done"
  return string.format(line, place, own, place, other)
end
local function meet(own, other, options)
  options.shell, options.runs, options.warmup, options.name = meeting(own, other), options.runs or 1, 0, own
  return measure(options)
end
local function remove(...)
  for _, mark in ipairs { ... } do
    os.remove(place .. "." .. mark)
  end
end

-- What refuses such a thing: on one core it is alone.
if pool.workers[1].cores < 2 then
  local m = await(submit(measure { cmd = { "true" }, runs = 2, exclusive = "cores", cores = 2 }))
  assert(m.status == "refused" and m.reason:find("at most 1 core", 1, true), m.reason)
  os.remove(place)
  return
end

-- They meet, and have different cores.
local a, b = submit(meet("a", "b", { exclusive = "cores" })), submit(meet("b", "a", { exclusive = "cores", cores = 1 }))
-- A call and a build, submitted after them, do not: each would leave its mark.
local call = submit(function(path)
  assert(io.open(path, "w")):close()
  return true
end, place .. ".call")
local build = submit(compile { cmd = { "/bin/sh", "-c", "touch " .. place .. ".build; echo > made" }, output = "made", cache = false })
local after = submit(measure {
  shell = string.format("[ ! -e %s.call ] && [ ! -e %s.build ]", place, place),
  runs = 3,
  warmup = 0,
  exclusive = "cores",
  priority = 1,
})
a, b, after = await(a), await(b), await(after)
assert(a.ok and b.ok and after.ok, a.reason or b.reason or after.reason)
local function has(list, wanted)
  for _, item in ipairs(list or {}) do
    if item == wanted then return true end
  end
  return false
end
assert(a.conditions.cpus:match "^%d+$" and b.conditions.cpus:match "^%d+$", a.conditions.cpus)
assert(a.conditions.cpus ~= b.conditions.cpus, "both on " .. a.conditions.cpus)
assert(has(a.flags, "side_by_side") and has(b.flags, "side_by_side"))
assert(#a.conditions.neighbours >= 1 and a.conditions.others_cpu_s == nil)
assert(await(call) == true and await(build).ok and touched "call" and touched "build")
remove("a", "b", "call", "build")

-- One that asks for the node is alone, and so is one that asks for all cores, or has one socket for itself: what
-- would wait for its neighbour gives up.
local function waits_in_vain(exclusive, cores)
  local line = string.format("touch %s.c; i=0; while [ $i -lt 5 ]; do [ -e %s.d ] && exit 9; i=$((i + 1)); sleep 0.01; done", place, place)
  local c = submit(measure { shell = line, runs = 2, warmup = 0, exclusive = exclusive, cores = cores })
  local d = submit(measure { shell = "touch " .. place .. ".d", runs = 2, warmup = 0, exclusive = "cores", key = exclusive })
  c, d = await(c), await(d)
  assert(c.ok and d.ok, c.reason or d.reason)
  assert(not has(c.flags, "side_by_side") and c.conditions.neighbours == nil)
  remove("c", "d")
end
waits_in_vain "node"
waits_in_vain("cores", pool.workers[1].cores < 4 and 2 or nil or 2)
waits_in_vain "socket"

-- A comparison can too, and a program that has a socket may use all of it.
a = submit(compare { base = { shell = meeting("e", "f") }, other = { shell = meeting("e", "f") }, max_rounds = 2, warmup = 0, exclusive = "cores" })
b = submit(meet("f", "e", { exclusive = "cores" }))
a, b = await(a), await(b)
assert(a.ok and b.ok and a.conditions.cpus ~= b.conditions.cpus, a.reason or b.reason)
remove("e", "f")
local all = await(submit(measure { shell = "grep -c ^processor /proc/cpuinfo", runs = 2, exclusive = "socket" }))
assert(all.ok and all.conditions.cpus and all.conditions.smt == "all")
os.remove(place)

-- More than there is, and what cannot share a node so.
local m = await(submit(measure { cmd = { "true" }, runs = 2, exclusive = "cores", cores = 3 }))
assert(m.status == "refused" and m.reason:find("it asks for 3 cores of one worker", 1, true), m.reason)
local function says(text, options)
  options.cmd = options.cmd or { "true" }
  local ok, why = pcall(measure, options)
  assert(not ok and why:find(text, 1, true), why)
end
says("measure: 'ranks' and exclusive = \"cores\": only what needs cores alone shares a node so", { ranks = 2, exclusive = "cores" })
says("measure: 'gpus' and exclusive = \"socket\"", { gpus = 1, exclusive = "socket" })
says("measure: 'energy': a package counts all its cores", { energy = true, exclusive = "cores" })
says('option \'exclusive\': expected "node" or "socket" or "cores" or false, got \'core\'', { exclusive = "core" })
