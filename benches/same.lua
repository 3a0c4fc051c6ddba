-- Real comparisons of a program with itself, for benches/same: same.lua COMPARISONS. How many ended with which verdict.
local number = math.tointeger(arg[1])
local loop = { "/bin/sh", "-c", "i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done" }
local pool <close> = spawn { workers = 1, slots = 1 }
local count = { faster = 0, slower = 0, equivalent = 0, different_but_small = 0, unresolved = 0 }
local rounds = {}
for i = 1, number do
  local c = await(pool:submit(compare { name = "A/A", params = { number = i }, cwd = "/", base = { cmd = loop }, same = { cmd = loop } }))
  assert(c.ok, c.reason)
  local verdict = c.verdicts.same.verdict
  count[verdict] = count[verdict] + 1
  rounds[i] = c.rounds
end
table.sort(rounds)
print(count.faster, count.slower, count.equivalent, count.different_but_small, count.unresolved, rounds[number // 2 + 1])
