-- Metrics in JSON and CSV that the program prints.
local function measured(text, metrics)
  return await(submit(measure { cmd = { "printf", "%s", text }, runs = 2, warmup = 0, metrics = metrics }))
end

local m = measured('setup\n{"timing": {"total": 2.5, "steps": [1, 4]}}\n', {
  total = { json = "timing.total", unit = "s" },
  last = { json = "timing.steps.2" },
})
assert(m.ok and m.metrics.total.value[2] == 2.5 and m.metrics.total.unit == "s" and m.metrics.last.stats.median == 4)
m = measured("size,GB/s\n1,10\n2,20\n", { rate = { csv = "GB/s", better = "more" } })
assert(m.ok and m.metrics.rate.stats.median == 20 and m.metrics.rate.better == "more")

m = measured("{}\n", { total = { json = "timing.total" } })
assert(m.status == "metric_missing" and m.reason:find("neither the output nor one of its lines is JSON with 'timing.total' in it", 1, true))
m = measured("a,b\n1,2\n", { rate = { csv = "GB/s" } })
assert(m.status == "metric_missing" and m.reason:find("no line of the output has a column 'GB/s'", 1, true))

-- Lines with the figure are no part of what is compared.
m = await(submit(measure {
  shell = [[echo sum 5; echo '{"t": '$$'}']],
  runs = 2,
  metrics = { t = { json = "t" } },
  verify = { reference = { "sh", "-c", [[echo sum 5; echo '{"t": 0}']] } },
}))
assert(m.ok and m.verify.status == "ok", m.reason)

local function refuses(expected, metric)
  local ok, why = pcall(measure, { cmd = { "true" }, metrics = { x = metric } })
  assert(not ok and why:find(expected, 1, true), why)
end
refuses('metrics.x\': give one of a Lua pattern, json = "a.b" and csv = "column", not several', { "(%d)", json = "a" })
refuses('metrics.x\': give one of a Lua pattern, json = "a.b" and csv = "column"', { unit = "s" })
refuses("metrics.x.json': expected names with dots between", { json = "a..b" })
refuses("metrics.x: unknown option 'jsn' (did you mean 'json'?)", { jsn = "a" })
