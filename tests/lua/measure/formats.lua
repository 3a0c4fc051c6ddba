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

-- A pattern that matches twice: the first counts, as for string.match; of JSON and CSV the last. What is no finite number is
-- no figure.
m = measured("t=1\nt=2\n", { first = "t=(%d)", last = ".*t=(%d)" })
assert(m.ok and m.metrics.first.stats.median == 1 and m.metrics.last.stats.median == 2)
m = measured('{"t": 1}\n{"t": 2}\n', { t = { json = "t" } })
assert(m.ok and m.metrics.t.stats.median == 2)
for text, told in pairs {
  ["t=nan"] = "gives 'nan', which is not a finite number",
  ["t=inf"] = "gives 'inf', which is not a finite number",
  ["t=-inf"] = "gives '-inf', which is not a finite number",
  ["t=1e999"] = "gives '1e999', which is not a finite number",
  ["t=1.2.3"] = "gives '1.2.3', which is not a finite number",
  [""] = "is not in the output; its standard output is empty",
} do
  m = measured(text, { t = "t=(%S+)" })
  assert(m.status == "metric_missing" and m.stats == nil and m.reason:find(told, 1, true), m.reason)
end
m = measured("", { t = { json = "t" } })
assert(m.status == "metric_missing" and m.reason:find("its standard output is empty", 1, true), m.reason)
m = measured("", { t = { csv = "t" } })
assert(m.status == "metric_missing" and m.reason:find("no line of the output has a column 't'", 1, true), m.reason)
m = measured('{"t": null}', { t = { json = "t" } })
assert(m.status == "metric_missing" and m.reason:find("'t' in its JSON is null, which is not a number", 1, true), m.reason)
m = measured("t\nNaN\n", { t = { csv = "t" } })
assert(m.status == "metric_missing" and m.reason:find("not a finite number", 1, true), m.reason)

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
refuses('metrics.x\': give one of a Lua pattern, json = "a.b", csv = "column" and fn = function(run) ... end, not several', { "(%d)", json = "a" })
refuses('metrics.x\': give one of a Lua pattern, json = "a.b", csv = "column" and fn = function(run) ... end', { unit = "s" })
refuses("metrics.x.json': expected names with dots between", { json = "a..b" })
refuses("metrics.x: unknown option 'jsn' (did you mean 'json'?)", { jsn = "a" })
