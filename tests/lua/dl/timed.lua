-- Calls that are timed in native loops: how many, what each sample is, and what a call costs that does nothing.
local harness = require "harness"
local dl = harness.dl
---@type any
local build = submit(compile { sources = { "kernel.c" }, flags = { "-O1", "-shared", "-fPIC" }, output = "libkernel.so" })
assert(await(build).ok)
local pool <close> = spawn { slots = 1, init = function(worker) worker.state.lib = dl.open(build) end }

local t, called = table.unpack(await(submit(function()
  local lib = harness.worker.state.lib
  local count = lib:fn "int count(void)"
  local t = count:time { min_time = "200 us", samples = 4 }
  return { t, count() }
end)))
assert(#t.samples_s == 4 and math.type(t.calls) == "integer" and t.calls > 1)
local sum, least = 0, math.huge
for _, s in ipairs(t.samples_s) do
  sum, least = sum + s, math.min(least, s)
end
assert(t.min_s == least and math.abs(t.mean_s - sum / 4) <= 1e-12 and t.min_s > 0 and t.floor_s > 0)
-- Every sample makes so many calls, after the first and those that find out how many (the last time, so many); the one
-- that asks comes on top.
assert(called >= 1 + 5 * t.calls + 1, called .. " calls, of " .. t.calls)

local function fails(text, given)
  local ok, e = pcall(await, submit(function() harness.worker.state.lib:fn("double dot(int, double *, double *)"):time(given) end))
  assert(not ok and e.message:find(text, 1, true), e.message)
end
fails("time: unknown option 'sample' (did you mean 'samples'?)", { sample = 3 })
fails("time: option 'min_time': expected seconds or a duration", { min_time = "soon" })
fails("dl: dot: expected 3 arguments, got 1", { 3, samples = 1 })
-- Between samples it can be stopped as any Lua can, and the slot keeps its state.
local ok, e = pcall(await, submit(harness.call {
  function() harness.worker.state.lib:fn("void nothing(void)"):time { min_time = "20 ms", samples = 1000000 } end,
  timeout = 0.3,
}))
assert(not ok and e.kind == "timeout" and e.message:find "timed%.lua:%d+", tostring(e))
