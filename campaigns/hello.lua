-- Where do tasks land?
--
--   mpirun -n 1 harness campaigns/hello.lua
local harness = require "harness"
local args = harness.args { tasks = { 100, "calls to send" } }

local pool <close> = spawn { per_node = 1 }
print(pool)

local function here() -- runs in a slot; `harness.worker` is that slot's own table
  local me = harness.worker
  return ("host %s, worker %s, slot %s"):format(me.host, me.id, me.slot)
end

local tasks = {}
for i = 1, args.tasks do
  tasks[i] = pool:submit(here)
end

local count, places = {}, {}
for _, place in as_completed(tasks) do
  if not count[place] then places[#places + 1] = place end
  count[place] = (count[place] or 0) + 1
end

table.sort(places)
for _, place in ipairs(places) do
  print(("%s: %d tasks"):format(place, count[place]))
end
