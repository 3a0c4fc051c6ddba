-- Where the time of a call goes, for benches/budget: budget.lua CALLS CORES. What each part of harness was on a processor for
-- each of so many calls that do nothing, submitted one by one and then awaited (us), and how much of the machine that was.
local harness = require "harness"
local calls, cores = assert(tonumber(arg[1])), assert(tonumber(arg[2]))

local function first_line(path)
  local file <close> = assert(io.open(path))
  return file:read "l"
end

-- Seconds on a processor: of a thread, by the scheduler's own count; of a process with all its threads, in hundredths.
local function of_thread(path) return first_line(path .. "/schedstat"):match "^%d+" * 1e-9 end
local function of_process(pid)
  local user, system = first_line("/proc/" .. pid .. "/stat"):match "^%d+ %b() %a %d+ %d+ %d+ %d+ [-%d]+ %d+ %d+ %d+ %d+ %d+ (%d+) (%d+)"
  return (user + system) / 100
end

local function nothing() end
-- Its process, and the one that started it.
local function here()
  local file <close> = assert(io.open "/proc/self/stat")
  return file:read("l"):match "^(%d+) %b() %a (%d+)"
end

local pool <close> = spawn { workers = 1, slots = 2 }
local slots, keeper = {}, nil
repeat
  local both = { pool:submit(here), pool:submit(here) }
  for _, future in ipairs(both) do
    local slot, parent = await(future)
    slots[slot], keeper = true, parent
  end
until next(slots, (next(slots)))
local worker = first_line("/proc/" .. keeper .. "/stat"):match "^%d+ %b() %a (%d+)"
local root = first_line("/proc/self/stat"):match "^%d+"

local parts = {
  { "script", function() return of_thread "/proc/thread-self" end },
  { "root beside it", function() return of_thread("/proc/self/task/" .. root) end },
  { "worker", function() return of_process(worker) end },
  { "keeper", function() return of_process(keeper) end },
  {
    "slots",
    function()
      local sum = 0
      for slot in pairs(slots) do
        sum = sum + of_process(slot)
      end
      return sum
    end,
  },
}

local began, futures, before = harness.now(), {}, {}
for i, part in ipairs(parts) do
  before[i] = part[2]()
end
for i = 1, calls do
  futures[i] = pool:submit(nothing)
end
for i = 1, calls do
  await(futures[i])
end
local elapsed, total = harness.now() - began, 0.0
for i, part in ipairs(parts) do
  local used = part[2]() - before[i]
  total = total + used
  print(("%-16s %6.2f us"):format(part[1], used / calls * 1e6))
end
print(("%-16s %6.2f us   %.0f %% of %d cores"):format("all", total / calls * 1e6, 100 * total / elapsed / cores, cores))
print(("%-16s %6.2f us   %.0f calls/s"):format("one each", elapsed / calls * 1e6, calls / elapsed))
