-- A program that asks for cores is kept on them, and what comes after it is not.
local pool <close> = spawn { slots = 2 }
local WHERE = "grep Cpus_allowed_list /proc/self/status | cut -f2"

local function where(options)
  options.shell = WHERE
  local r = await(submit(exec(options)))
  assert(r.ok, r.reason)
  return (r.stdout:gsub("%s", "")), r
end

local all, r = where {}
assert(r.conditions == nil, "nothing was asked for")
local one
one, r = where { smt = false }
assert(one:match "^%d+$" and r.conditions.cpus == one and r.conditions.smt == "one-per-core", one)
assert(r.conditions.mems == nil and r.conditions.freq_hz == nil)
one, r = where { smt = true }
assert(one:match "^%d+$" and r.conditions.smt == "all", one)
assert(where {} == all, "who comes after it has all again")

-- A measurement that says how many cores it has is kept on so many, one that does not is not.
local m = await(submit(measure { shell = WHERE .. " | sed 's/^/cpu /'", runs = 2, cores = 1, metrics = { cpu = "cpu (%d+)\n" } }))
assert(m.ok, m.reason)
assert(m.conditions.cpus == string.format("%d", m.metrics.cpu.stats.median) and m.metrics.cpu.value[1] == m.metrics.cpu.value[2])
m = await(submit(measure { cmd = { "true" }, runs = 2 }))
assert(m.ok and m.conditions.cpus == nil)
assert(where {} == all)
local c = await(submit(compare { base = { cmd = { "true" } }, a = { cmd = { "true" } }, max_rounds = 2, cores = 1, smt = false }))
assert(c.ok and c.conditions.cpus:match "^%d+$", c.reason)

-- What can never be had is refused with the figures; what only says how many is kept nowhere.
r = await(submit(exec { cmd = { "true" }, cores = 2, smt = true }))
if pool.workers[1].cores < 2 then
  assert(r.status == "refused" and r.reason:find("it asks for 2 cores, and its worker may use 1 core", 1, true), r.reason)
  r = await(submit(measure { cmd = { "true" }, runs = 2, cores = 2 }))
  assert(r.ok and r.conditions.cpus == nil)
  return
end
assert(r.ok and (r.conditions.cpus:match "^%d+[-,]%d+$"), r.reason)

-- Side by side they are on different ones: each waits for the other to be there.
local place = os.tmpname()
local function meet(own, other)
  local wait = "touch %s.%s; i=0; until [ -e %s.%s ] || [ $i = 2000 ]; do i=$((i + 1)); sleep 0.01; done; "
  local line = string.format(wait, place, own, place, other)
  return submit(exec { shell = line .. WHERE, smt = false })
end
local a, b = meet("a", "b"), meet("b", "a")
a, b = await(a), await(b)
for _, mark in ipairs { "", ".a", ".b" } do
  os.remove(place .. mark)
end
assert(a.ok and b.ok and a.conditions.cpus ~= b.conditions.cpus, "both on " .. a.conditions.cpus)

local ok, why = pcall(exec, { cmd = { "true" }, ranks = 2, smt = false })
assert(not ok and why:find("'smt': the ranks of an MPI application are placed by their launcher", 1, true), why)
ok, why = pcall(measure, { cmd = { "true" }, numa = "near" })
assert(not ok and why:find("option 'numa': expected \"local\", got", 1, true), why)
