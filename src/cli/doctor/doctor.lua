-- The doctor's campaign: a pool as `spawn {}` makes it, then to each of its nodes small calls, large ones, and a
-- look at the node itself. One line of tab-separated words for each node; the verdict is not made here.
local out, program, token = assert(arg[1], "a file to write to"), arg[2], arg[3]
local LARGE = 16 * 1024 * 1024

local harness = require "harness"
local now = harness.now

local function fastest(times, f)
  local best = math.huge
  for _ = 1, times do
    local began = now()
    f()
    best = math.min(best, now() - began)
  end
  return best
end

local function median(times, f)
  local all = {}
  for i = 1, times do all[i] = fastest(1, f) end
  table.sort(all)
  return all[(#all + 1) // 2]
end

local file <close> = assert(io.open(out, "w"))
local pool <close> = spawn {}
local seen = {}
for _, worker in ipairs(pool.workers) do
  local host = worker.host
  if not seen[host] then
    seen[host] = true
    local function run(fn, ...) return await(pool:submit(call { fn, ..., host = host, timeout = "60 s" })) end
    run(function() end)
    local latency = median(50, function() run(function() end) end)
    local text = ("harness "):rep(LARGE // 8)
    local there = fastest(3, function() run(function(s) return #s end, text) end)
    local back = fastest(3, function() run(function(n) return ("harness "):rep(n // 8) end, LARGE) end)
    -- The clock is read somewhere between the two moments; the shortest of several says it best.
    local between, probe, middle = math.huge, nil, 0.0
    for _ = 1, 5 do
      local began = now()
      local record = await(pool:submit(exec { cmd = { program, "__probe", token }, cwd = "/", host = host, timeout = "60 s" }))
      local took = now() - began
      if not record.ok then
        probe = nil
        file:write("failed\t", host, "\t", (tostring(record):gsub("%s+", " ")), "\n")
        break
      end
      if took < between then between, probe, middle = took, record.stdout, began + took / 2 end
    end
    if probe then
      local words = { "worker", host, worker.start, worker.slots, worker.cores, worker.gpus, latency, LARGE / there, LARGE / back, middle, between }
      file:write(table.concat(words, "\t"), "\t", (probe:gsub("\n", "")), "\n")
    end
  end
end
file:write("end\n")
