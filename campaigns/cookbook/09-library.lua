-- A function of a shared library, called and timed where it is: no program around it.
--
--   harness campaigns/cookbook/09-library.lua
--
-- All samples of one process are one sample: where its memory lies is the same for all of them. So each process gives one
-- figure, and several are started.
local harness = require "harness"
local build = submit(compile { sources = { "dot.c" }, flags = { "-O2", "-shared", "-fPIC" }, output = "libdot.so" })
assert(await(build).ok, await(build))

local function once(name, n, library)
  local f = harness.dl.open(library):fn(("double %s(int n, const double *x, const double *y)"):format(name)) -- yours
  local x, y = harness.dl.buffer("double", n), harness.dl.buffer("double", n)
  x:fill(0.5)
  y:fill(4)
  return f(n, x, y), f:time({ n, x, y, min_time = "2 ms", samples = 5 }).mean_s
end

local function median(list)
  table.sort(list)
  return list[#list // 2 + 1]
end
for _, name in ipairs { "dot", "dot4" } do
  local calls, times, value = {}, {}, nil
  for i = 1, 7 do
    calls[i] = submit(call { once, name, 4096, build, fresh = true, exclusive = "node" })
  end
  for i, future in ipairs(calls) do
    value, times[i] = await(future)
  end
  print(
    ("%-5s = %g, median of %d processes %.0f ns, from %.0f to %.0f"):format(
      name,
      value,
      #times,
      1e9 * median(times),
      1e9 * times[1],
      1e9 * times[#times]
    )
  )
end
