-- A hundred thousand futures at once: each comes out once, and a pending one costs the root little.
local function resident() -- KiB
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmRSS:%s+(%d+)"
    if kib then return tonumber(kib) end
  end
end
local before = resident()
local N = 100000
local list = {}
for i = 1, N do list[i] = submit(function(x) return x end, i) end
assert((resident() - before) / N < 4, "KiB for each")
local n, sum = 0, 0
for f, value in as_completed(list) do
  n, sum = n + 1, sum + value
  assert(f.ended)
end
assert(n == N and sum == N * (N + 1) // 2)
local done, pending = wait(list)
assert(#done == N and #pending == 0)
-- map with a bound, over an iterator.
local i = 0
local values, count = map(function(x) return -x end, function()
  i = i + 1
  if i <= 20000 then return i end
end, { in_flight = 100 })
assert(count == 20000 and values[1] == -1 and values[20000] == -20000)
