-- What one task leaves behind for the next, what not, and how to be rid of it.
local harness = require "harness"
local pool <close> = spawn { workers = 1, slots = 1, init = function(worker) worker.state.made = true end }
local pid = function() return (io.open "/proc/self/stat"):read "n" end
local function here(fn, ...) return await(submit(fn, ...)) end

-- Undone after each task: globals, the locale, the collector, where io writes and reads, hooks.
here(function()
  leaked, _G.also, print = 1, 2, nil
  rawset(_G, "third", 3)
  os.setlocale("C.UTF-8")
  collectgarbage "stop"
  collectgarbage "generational"
  io.output(io.tmpfile())
  io.input(io.tmpfile())
  debug.sethook(function() end, "l")
  math.randomseed(5)
end)
here(function()
  assert(leaked == nil and also == nil and third == nil and print)
  assert(os.setlocale() == "C", os.setlocale())
  assert(collectgarbage "isrunning" and collectgarbage "incremental" == "incremental")
  assert(io.output() == io.stderr and io.input() == io.stdin)
  assert(debug.gethook() == nil)
end)

-- Not undone: what is shared by design, or not ours to know. A fresh process knows nothing of it.
local before = here(pid)
here(function()
  harness.worker.state.extra = true
  string.shout = function(s) return s:upper() .. "!" end
  getmetatable("").__add = function(a, b) return a .. b end
  package.loaded.invented = { number = 5 }
end)
local function leftovers()
  local has_add = pcall(function() return "a" + "b" end)
  return harness.worker.state.extra or false, string.shout ~= nil, has_add, package.loaded.invented ~= nil, harness.worker.state.made
end
local function text(...) return table.concat({ tostring((...)), tostring((select(2, ...))), tostring((select(3, ...))), tostring((select(4, ...))), tostring((select(5, ...))) }, " ") end
assert(text(here(leftovers)) == "true true true true true" and here(pid) == before)
assert(text(await(submit(call { leftovers, fresh = true }))) == "false false false false true")
-- The slot goes on in the new process; many in a row have one each.
assert(here(pid) ~= before and text(here(leftovers)) == "false false false false true")
local list, seen = {}, {}
for i = 1, 6 do list[i] = submit(call { pid, fresh = true }) end
for i = 1, 6 do
  local id = await(list[i])
  assert(not seen[id], "two fresh calls in one process")
  seen[id] = true
end
-- Among others each call still ends.
for i = 1, 40 do list[i] = submit(call { pid, fresh = i % 8 == 0 }) end
for i = 1, 40 do assert(await(list[i])) end
