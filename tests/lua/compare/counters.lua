-- compare with counters: events are counted in runs after the rounds, and what changes is told, the largest first.
local function loops(n) return { shell = "i=0; while [ $i -lt " .. n .. " ]; do /bin/true; i=$((i + 1)); done" } end
local c = await(submit(compare {
  name = "loops",
  counters = { "page-faults", "task-clock", "context-switches", "instructions" },
  max_rounds = 3, -- fewer counted runs say of no event that it changed
  base = loops(1),
  long = loops(20),
  same = loops(1),
  crash = { cmd = { "false" } },
}))
assert(c.ok, c.reason)
for _, name in ipairs { "base", "long", "same" } do
  local variant = c.variants[name]
  assert(#variant.samples.wall_s == c.rounds, "runs for counters are no samples")
  for event, counter in pairs(variant.counters) do
    assert(#counter.value == math.min(3, c.rounds) or type(counter.note) == "string", event)
  end
end
assert(c.variants.crash.counters == nil)

local line = tostring(c):match "loops long: (counted [^\n]*)" or tostring(c):match "loops long: (not counted: [^\n]*)"
assert(line, tostring(c))
print(line)
local few, many = c.variants.base.counters, c.variants.long.counters
if not many["page-faults"].note then
  -- Each /bin/true has tens of faults. Time scatters as the machine likes.
  assert(line:find "^counted in 3 runs: ", line)
  local faults = tonumber(line:match "page%-faults ([+-][%d.]+) %%")
  local change = 100 * (many["page-faults"].value[1] / few["page-faults"].value[1] - 1)
  assert(faults > 100 and math.abs(faults / change - 1) < 0.2, line)
  assert(line:find("task-clock", 1, true), line)
end
for event, counter in pairs(many) do
  if counter.note and #counter.value == 0 then assert(line:find("not counted: .*" .. event:gsub("%-", "%%-")), line) end
end

-- One that fails then has failed, after its verdict was out.
c = await(submit(compare {
  max_rounds = 2,
  counters = { "page-faults" },
  cwd = "scratch",
  base = { cmd = { "true" } },
  tired = { shell = 'echo x >> n; [ "$(wc -l < n)" -le 3 ]' },
  other = { cmd = { "true" } },
}))
assert(c.ok and c.rounds == 2, c.reason)
assert(c.verdicts.tired.verdict == "nonzero_exit" and c.verdicts.tired.reason:find("^run 1 for counters: "), c.verdicts.tired.reason)

-- Energy: in each sample, or the reason why not; and only of a node of its own.
local both = { base = { cmd = { "true" } }, other = { cmd = { "true" } }, max_rounds = 2, energy = true }
c = await(submit(compare(both)))
if c.ok then
  local note, joules = c.conditions.energy_note, c.variants.other.samples.energy_pkg_j
  assert((note == nil) == (joules ~= nil) and (not joules or #joules == c.rounds))
else
  assert(c.status == "refused" and c.reason:find("for whole nodes", 1, true), c.reason)
end
both.exclusive = false
c = await(submit(compare(both)))
assert(c.status == "refused" and c.reason:find("this measurement shares its node", 1, true), c.reason)

local ok, why = pcall(compare, { base = { cmd = { "true" } }, a = { cmd = { "true" } }, counters = { "instrutions" } })
assert(not ok and why:find("compare: option 'counters[1]': unknown event 'instrutions' (did you mean 'instructions'?)", 1, true), why)
