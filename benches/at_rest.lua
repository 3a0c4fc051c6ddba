-- For benches/at_rest: at_rest.lua SECONDS CALLS. Says when the first result is there, rests for so long, and prints the median of
-- what calls take (ms) before each of which a second has passed.
local harness = require "harness"
local seconds, calls = tonumber(arg[1]) or 0, tonumber(arg[2]) or 0

local function nothing() end

local pool <close> = spawn { workers = 1, slots = 2 }
pool:submit(nothing):wait()
print("first")
io.stdout:flush()
os.execute("sleep " .. seconds)
local times = {}
for i = 1, calls do
  os.execute("sleep 1")
  local began = harness.now()
  await(pool:submit(nothing))
  times[i] = harness.now() - began
end
table.sort(times)
print(calls > 0 and times[(calls + 1) // 2] * 1e3)
