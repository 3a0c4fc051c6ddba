-- Measurements that ask for it run side by side on one node, each on cores of its own; nothing else runs there.
local pool <close> = spawn { slots = 2 }
local place = os.tmpname()

if pool.workers[1].cores < 2 then
  local m = await(submit(measure { cmd = { "true" }, runs = 2, exclusive = "cores", cores = 2 }))
  assert(m.status == "refused" and m.reason:find("at most 1 core ", 1, true), m.reason)
  os.remove(place)
  return
end

local function has(list, wanted)
  for _, item in ipairs(list or {}) do
    if item == wanted then return true end
  end
  return false
end

-- A line of the shell that waits until these marks are there too, 20 s at the most, with one of its own meanwhile.
local function meeting(own, ...)
  local lines = { string.format("touch %s.%s %s.%s.runs; i=0", place, own, place, own) }
  for _, mark in ipairs { ... } do
    local wait = "until [ -e %s.%s ]; do [ $i = 2000 ] && exit 9; i=$((i + 1)); sleep 0.01; done"
    lines[#lines + 1] = string.format(wait, place, mark)
  end
  lines[#lines + 1] = string.format("rm %s.%s.runs", place, own)
  return table.concat(lines, "; ")
end

-- Where a process may run; without its number: the program that asks.
local function where(pid) return string.format("$(grep Cpus_allowed_list /proc/%s/status | cut -f2)", pid or "self") end
local function anywhere()
  local r = await(submit(exec { shell = "echo " .. where() }))
  assert(r.ok, r.reason)
  return r.stdout
end
local all = anywhere()

-- The two meet, and do not end before everything else is submitted.
local function own(line) return submit(measure { shell = line, runs = 1, warmup = 0, exclusive = "cores" }) end
local a, b = own(meeting("a", "b", "go")), own(meeting("b", "a", "go"))
local call = submit(function(path)
  local met = {}
  for _, mark in ipairs { "a", "b", "last" } do
    local file = io.open(path .. "." .. mark .. ".runs")
    if file then
      file:close()
      met[#met + 1] = mark
    end
  end
  return table.concat(met, " ")
end, place)
local met_none = string.format("[ ! -e %s.a.runs ] && [ ! -e %s.b.runs ] && [ ! -e %s.last.runs ]", place, place, place)
local build = submit(compile {
  cmd = { "/bin/sh", "-c", met_none .. " && touch " .. place .. ".built && echo > made" },
  output = "made",
  cache = false,
})
-- A higher priority lets it go before the two, into the place of the first that ends.
local untouched = "touch %s.last.runs; sleep 0.05; [ ! -e %s.built ] && rm %s.last.runs"
local last = submit(measure {
  shell = string.format(untouched, place, place, place),
  runs = 3,
  warmup = 0,
  exclusive = "cores",
  priority = 1,
})
assert(io.open(place .. ".go", "w")):close()
a, b, last = await(a), await(b), await(last)
assert(a.ok and b.ok and last.ok, a.reason or b.reason or last.reason)
assert(a.conditions.cpus:match "^%d+$" and b.conditions.cpus:match "^%d+$", a.conditions.cpus)
assert(a.conditions.cpus ~= b.conditions.cpus, "both on " .. a.conditions.cpus)
assert(has(a.flags, "side_by_side") and has(b.flags, "side_by_side"))
assert(#a.conditions.neighbours >= 1 and a.conditions.others_cpu_s == nil)
call, build = await(call), await(build)
assert(call == "", "the call met " .. call)
assert(build.ok, "the build met a measurement")

-- One that asks for the node, or for all its cores, is alone.
local function alone(options)
  local watch = "i=0; while [ $i -lt 20 ]; do [ -e %s.d ] && exit 9; i=$((i + 1)); sleep 0.01; done"
  options.shell, options.runs, options.warmup = string.format(watch, place), 1, 0
  local c = submit(measure(options))
  local d = submit(measure { shell = "touch " .. place .. ".d", runs = 1, warmup = 0, exclusive = "cores", key = options.exclusive })
  c, d = await(c), await(d)
  assert(c.ok and d.ok, c.reason or d.reason)
  assert(not has(c.flags, "side_by_side") and (c.conditions.neighbours or d.conditions.neighbours) == nil)
  os.remove(place .. ".d")
end
alone { exclusive = "node" }
alone { exclusive = "cores", cores = 2 }

-- A comparison has cores of its own too, and a program that has a socket all of them.
local line = meeting("e", "f")
local both = submit(compare { base = { shell = line }, other = { shell = line }, max_rounds = 2, warmup = 0, exclusive = "cores" })
b = own(meeting("f", "e"))
both, b = await(both), await(b)
assert(both.ok and b.ok and both.conditions.cpus ~= b.conditions.cpus, both.reason or b.reason)
local m = await(submit(measure { cmd = { "true" }, runs = 2, exclusive = "socket" }))
assert(m.ok and m.conditions.cpus and m.conditions.smt == "all", m.reason)

-- Its keeper stands on other cores meanwhile, and who comes after them all has all again, in whatever lane.
line = string.format('own=%s; keeper=%s; [ "$keeper" != "$own" ] && [ "$keeper" != "%s" ]', where(), where "$PPID", all:gsub("%s", ""))
m = await(submit(measure { shell = line, runs = 2, exclusive = "cores" }))
assert(m.ok, m.reason)
a, b = submit(exec { shell = meeting("g", "h") .. "; echo " .. where() }), submit(exec { shell = meeting("h", "g") .. "; echo " .. where() })
a, b = await(a), await(b)
assert(a.stdout == all and b.stdout == all, a.stdout .. b.stdout)
for _, mark in ipairs { "", ".a", ".b", ".go", ".built", ".e", ".f", ".g", ".h" } do
  os.remove(place .. mark)
end

-- More than there is, and what cannot share a node so.
m = await(submit(measure { cmd = { "true" }, runs = 2, exclusive = "cores", cores = 3 }))
assert(m.status == "refused" and m.reason:find("it asks for 3 cores of one worker", 1, true), m.reason)
local function says(text, options)
  options.cmd = { "true" }
  local ok, why = pcall(measure, options)
  assert(not ok and why:find(text, 1, true), why)
end
local only = "only what needs cores alone shares a node so"
says("measure: 'ranks' and exclusive = \"cores\": " .. only, { ranks = 2, exclusive = "cores" })
says("measure: 'gpus' and exclusive = \"socket\": " .. only, { gpus = 1, exclusive = "socket" })
says("measure: 'nodes' and exclusive = \"cores\": " .. only, { nodes = 2, exclusive = "cores" })
says("measure: 'energy': a package counts all its cores", { energy = true, exclusive = "cores" })
says("measure: option 'exclusive': expected \"node\" or \"socket\" or \"cores\" or false, got 'core'", { exclusive = "core" })
