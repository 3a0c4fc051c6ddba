-- Events of a program and all it starts, from its exec on; what cannot be counted is absent and says why.
local events = { "page-faults", "task-clock", "context-switches", "instructions" }
local function counted(loops)
  local shell = "i=0; while [ $i -lt " .. loops .. " ]; do /bin/true; i=$((i + 1)); done"
  local m = await(submit(measure { shell = shell, runs = 3, warmup = 0, counters = events }))
  assert(m.ok and #m.samples.wall_s == 3, m.reason)
  return m
end
local few, many = counted(1), counted(20)
for _, event in ipairs(events) do
  local c = many.counters[event]
  assert(#c.value == 3 or type(c.note) == "string", event)
  if c.note then print(event, c.note) end
end
local a, b = few.counters["page-faults"], many.counters["page-faults"]
if #b.value == 3 then
  -- Each /bin/true has tens of faults: those of what the shell started are in it, and ours are not.
  assert(b.value[1] > a.value[1] + 19 * 20, a.value[1] .. " " .. b.value[1])
  assert(b.value[1] < many.samples.minflt[1] * 2 + 200, b.value[1] .. " " .. many.samples.minflt[1])
  assert(b.pcnt_running[1] == 100)
  assert(many.counters["task-clock"].value[1] > 1e5)
end

-- The most memory of all processes together: of the two here neither has as much alone.
local touch = 'x=$(head -c 20000000 /dev/zero | tr "\\0" y)'
local m = await(submit(measure { shell = touch .. "; sh -c '" .. touch .. "; :'; :", runs = 1, warmup = 0, counters = { "memory-peak", "page-faults" } }))
local peak = m.counters and m.counters["memory-peak"]
assert(m.ok and peak and #m.counters["page-faults"].value == 1, m.reason)
if peak.note then
  print("memory-peak", peak.note)
else
  assert(#peak.value == 1 and peak.value[1] > 38e6 and m.samples.maxrss_bytes[1] < peak.value[1], peak.value[1])
end

-- A run for counters that fails is seen as such.
m = await(submit(measure { shell = 'echo x >> n; [ "$(wc -l < n)" -lt 4 ]', cwd = "scratch", runs = 3, warmup = 0, counters = { "page-faults" } }))
assert(m.status == "nonzero_exit" and m.reason:find("^run 1 for counters: ") and m.stats == nil, m.reason)

local ok, why = pcall(measure, { cmd = { "true" }, counters = { "instrutions" } })
assert(not ok and why:find("unknown event 'instrutions' (did you mean 'instructions'?)", 1, true), why)
ok, why = pcall(measure, { cmd = { "true" }, ranks = 2, counters = { "cycles" } })
assert(not ok and why:find("'counters': of an MPI application harness sees the launcher alone", 1, true), why)

-- Energy needs the packages alone.
m = await(submit(measure { cmd = { "true" }, runs = 2, energy = true, exclusive = false }))
assert(m.status == "refused" and m.reason:find("this measurement shares its node", 1, true), m.reason)
m = await(submit(measure { cmd = { "true" }, runs = 2, energy = true }))
if m.ok then
  local note, joules = m.conditions.energy_note, m.samples.energy_pkg_j
  assert((note == nil) == (joules ~= nil) and (not joules or #joules == 2))
else
  assert(m.status == "refused" and m.reason:find("for whole nodes", 1, true), m.reason)
end
