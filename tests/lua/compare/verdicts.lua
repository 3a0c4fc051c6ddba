-- compare: verdicts by a figure that the programs print, what fails among the variants, and what is not one.
--! says harness: 8 tasks: 5 ok, 2 nonzero_exit, 1 verify_failed
--! says   figures crash: signal: warm-up run 1: killed by signal 11 (SIGSEGV)
local rate = { metrics = { rate = { "rate=([%d.]+)", unit = "GB/s", better = "more" } }, objective = "rate", better = "more" }
local function prints(figure) return { cmd = { "echo", "rate=" .. figure } } end
local function with(options)
  for key, value in pairs(rate) do
    options[key] = options[key] or value
  end
  return options
end

local c = await(submit(compare(with {
  name = "figures",
  base = prints(2),
  double = prints(4),
  half = prints(1),
  same = prints(2),
  little = prints(2.01),
  crash = { shell = "kill -SEGV $$" },
  silent = { cmd = { "true" } },
})))
assert(c.ok and c.kind == "compare" and c.status == "ok")
assert(c.verdicts.double.verdict == "faster" and c.verdicts.double.ratio == 2 and c.verdicts.double.lo == 2 and c.verdicts.double.hi == 2)
assert(c.verdicts.half.verdict == "slower" and c.verdicts.half.ratio == 0.5)
assert(c.verdicts.same.verdict == "equivalent" and c.verdicts.same.ratio == 1)
assert(c.verdicts.little.verdict == "different_but_small")
local crash = c.verdicts.crash
assert(crash.verdict == "signal" and crash.ratio == nil and crash.reason:find("SIGSEGV", 1, true), crash.reason)
assert(c.verdicts.silent.verdict == "metric_missing")
assert(c.rounds == 14 and c.stop_reason == "settled" and c.min_effect == 0.01, c.rounds) -- whole blocks of seven
assert(c.variants.base.stats.median == 2 and #c.variants.double.samples.rate == 14 and not c.variants.crash.ok)
assert(tostring(c):find("figures double: faster, 2.000x the base, 95 % CI [2.000, 2.000], 14 rounds", 1, true), tostring(c))
assert(not pcall(function() return c.verdicts.duoble end))

-- Each runs once in a round, in an order that is drawn.
local order = {}
for name, variant in pairs(c.variants) do
  for round, at in ipairs(variant.samples and variant.samples.t_start_s or {}) do
    order[round] = order[round] or {}
    table.insert(order[round], { name, at })
  end
end
local firsts = {}
for round, runs in ipairs(order) do
  if #runs == 5 then
    table.sort(runs, function(a, b) return a[2] < b[2] end)
    firsts[runs[1][1]] = true
    local before = order[round - 1]
    if before then assert(before[#before][2] < runs[1][2]) end
  end
end
assert(next(firsts, (next(firsts))), "always the same one first")

-- Builds, a reference for all, options for all and of one's own.
local program = submit(compile { cmd = { "sh", "-c", "printf '#!/bin/sh\\necho sum $1 $HERE' > p; chmod +x p" }, output = "p", cache = false })
c = await(submit(compare {
  name = "figures",
  env = { HERE = "x" },
  warmup = 2,
  max_rounds = 3,
  verify = { reference = { program, 5 } },
  base = { cmd = { program, 5 } },
  wrong = { cmd = { program, 6 } },
  other = { cmd = { program, 5 }, warmup = 0 },
}))
assert(c.ok and c.rounds == 3 and c.stop_reason == "max_rounds", c.reason)
assert(c.verdicts.wrong.verdict == "verify_failed" and c.verdicts.other.verdict == "unresolved" and c.verdicts.other.lo == nil)
assert(#c.variants.base.warmup.wall_s == 2 and c.variants.other.warmup.wall_s == nil)

-- Without the base, or with nobody left beside it, there is nothing.
c = await(submit(compare { base = { cmd = { "false" } }, other = { cmd = { "true" } } }))
assert(not c.ok and c.status == "nonzero_exit" and c.reason == "base: warm-up run 1: exit code 1", c.reason)
assert(c.verdicts.other.verdict == "skipped" and c.verdicts.other.rounds == 0 and c.variants.other.stats == nil)
assert(c.verdicts.other.reason == "base ended nonzero_exit")
c = await(submit(compare { base = { cmd = { "echo", "a" } }, other = { cmd = { "echo", "b" } }, verify = { stdout = "a\n" } }))
assert(c.status == "verify_failed" and c.reason:find("^other: warm%-up run 1: "), c.reason)

-- Figures without a ratio, and runs without figures.
c = await(submit(compare(with { base = prints(1), zero = prints(0), far = prints("0." .. ("0"):rep(320) .. "1"), fine = prints(2) })))
assert(c.verdicts.zero.verdict == "refused" and c.verdicts.zero.reason:find("are not above 0, or too far apart", 1, true))
assert(c.verdicts.far.verdict == "refused" and c.verdicts.fine.verdict == "faster")
local m = await(submit(measure(with { shell = "echo rate=1; exit 3", runs = 2 })))
assert(m.status == "nonzero_exit" and m.stats == nil and m.metrics.rate.stats == nil and #m.metrics.rate.value == 0)

local function refuses(expected, options)
  local ok, why = pcall(compare, options)
  assert(not ok and why:find(expected, 1, true), why)
end
refuses("verdicts.lua:87: compare: 'base' is missing", { quick = prints(1) })
refuses([[compare: a name is not text in UTF-8: '\xff']], { base = prints(1), ["\xff"] = prints(2) })
refuses("compare: give what is compared with 'base' under a name of its own", { base = prints(1) })
refuses("compare: unknown option 'max_round' (did you mean 'max_rounds'?)", { base = prints(1), a = prints(2), max_round = 5 })
refuses("compare: unknown option 'rounds' (it ends when the verdicts are out, or after max_rounds)", { base = prints(1), a = prints(2), rounds = 5 })
refuses("compare: there is no option [1]; programs have names: { base = { cmd = ... }, faster = { cmd = ... } }", { prints(1), prints(2) })
refuses("compare: a: unknown option 'cmdd' (did you mean 'cmd'?)", { base = prints(1), a = { cmdd = {} } })
refuses("compare: a: give either 'cmd' or 'shell'", { base = prints(1), a = {} })
refuses("compare: a: unknown option 'runs'", { base = prints(1), a = { cmd = { "true" }, runs = 5 } })
refuses("compare: base: unknown objective 'rat'", { base = prints(1), a = prints(2), objective = "rat" })
for _, effect in ipairs { 0, 1, 5 } do
  refuses("compare: 'min_effect' is the least difference that matters, a part between 0 and 1", { base = prints(1), a = prints(2), min_effect = effect })
end
refuses("compare: unknown option 'precision' (an option of measure)", { base = prints(1), a = prints(2), precision = 0.1 })
refuses("compare: a: unknown option 'counters' (an option of compare and measure)", { base = prints(1), a = { cmd = { "true" }, counters = { "cycles" } } })
refuses("compare: unknown option 'envv' (did you mean 'env'?)", { base = prints(1), a = prints(2), envv = {} })
refuses("compare: 'env' is an option: give the variant another name", { base = prints(1), env = prints(2) })
refuses("compare: expected a table of options, got nil")
assert(tostring(compare { base = prints(1), a = prints(2) }) == "compare task 'echo' (not submitted)")
