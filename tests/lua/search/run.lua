-- search.run: what `evaluate` may give, no barrier, limits, cutoff, the confirmation.
local harness = require "harness"
local search = harness.search
local range = harness.sweep.range

-- Figures, and results of calls: of one number or by name.
local plain = search.run { space = { x = range(0, 30) }, strategy = "hill_climb", budget = 25, evaluate = function(p) return (p.x - 7) ^ 2 + 1 end }
assert(plain.best.point.x == 7 and #plain.trials == 25 and plain.winner == plain.best and not plain.confirmed and not plain.shrunk)
assert(tostring(plain):find("search of 25 trials (25 ok)\nbest: { x = 7 }, trial ", 1, true), tostring(plain))
assert(tostring(plain):find("not confirmed", 1, true))
local calls = search.run {
  space = { x = range(1, 8) },
  strategy = "grid",
  maximise = "y",
  in_flight = 4,
  evaluate = function(p)
    return submit(function(x)
      if x > 6 then error "boom" end
      if x == 6 then return nil, "failed", "as it likes" end
      return { y = x, z = 2 * x }
    end, p.x)
  end,
}
assert(calls.best.point.x == 5 and calls.best.values.y == 5 and #calls.trials == 8)
assert(calls.trials[7].status == "failed" and calls.trials[7].reason:find "boom" and calls.trials[6].reason == "as it likes")

-- A mistake in it names the point.
local ok, mistake = pcall(search.run, { space = { x = { 7 } }, budget = 1, evaluate = function(p) return p.x.y.z end })
assert(not ok and mistake:find("run.lua:%d+: attempt to index .* %(of the point { x = 7 }%)"), mistake)

-- A `return` that was forgotten.
local nothing = search.run { space = { x = { 1, 2 }, y = { 3 } }, budget = 1, evaluate = function() end }
assert(nothing.trials[1].status == "failed" and nothing.trials[1].reason == "'evaluate' gave nil: is a `return` missing?")

-- No barrier: the first trial ends after ten others have.
local told = 0
local slow = search.run {
  space = { x = range(1, 40) },
  strategy = "genetic",
  budget = 20,
  in_flight = 3,
  evaluate = function(p, trial)
    while trial.id == 1 and told < 10 do
      await(submit(exec { cmd = { "true" } }))
    end
    await(submit(exec { cmd = { "true" } }))
    told = told + 1
    return p.x
  end,
}
assert(#slow.trials == 20 and slow.trials[1].status == "ok")

-- Measurements: what fails is a trial that failed, by its status; what takes too long beside the best is censored.
local function nap(p, trial)
  local shell = p.ms == 99 and "exit 3" or ("sleep %g; echo v=%d"):format(p.ms / 1000, p.ms)
  return measure {
    name = "nap",
    params = p,
    shell = shell,
    runs = 2,
    warmup = 0,
    exclusive = false,
    metrics = { v = { "v=(%d+)", unit = "ms" } },
    objective = "v",
  }, trial
end
local naps = search.run {
  name = "naps",
  space = { ms = { 200, 99, 600000, 201 } },
  strategy = "grid",
  budget = 4,
  in_flight = 1,
  cutoff = 8,
  evaluate = function(p, trial) return (nap(p, trial)) end,
  confirm = { top = 2, max_rounds = 7 },
  start = { { ms = 200 } },
  baseline = { ms = 600 },
}
local ends = {}
for i, trial in ipairs(naps.trials) do ends[i] = trial.status end
assert(table.concat(ends, " ") == "ok failed censored ok", table.concat(ends, " "))
assert(naps.trials[2].reason:find "^nonzero_exit" and naps.trials[3].reason:find "the cutoff" and naps.trials[3].value == 1600)
assert(naps.trials[3].record.status == "timeout" and naps.trials[3].limit > 0)
assert(naps.best.value == 200 and naps.best.record.stats.median == 200)
-- The confirmation: `v` is the same in every run, so its verdicts are sure.
assert(naps.winner == naps.best and naps.runner_up.point.ms == 201 and naps.fresh == 200)
local function near(a, b) return math.abs(a - b) < 1e-9 end
assert(near(naps.over_baseline.ratio, 3) and naps.over_baseline.verdict == "faster" and near(naps.over_runner_up.ratio, 1.005))
assert(naps.confirmed.ok and naps.confirmed.name == "nap confirm" and naps.confirmed.rounds == 7)
assert(tostring(naps):find "measured afresh: median 200[^\n]*, n = %d+[^\n]*\n  beside the baseline: 3.000x", tostring(naps))

assert(naps.baseline == 600 and naps.name == "naps" and naps.failures.nonzero_exit == 1 and naps.failures.censored == 1)
assert(tostring(naps):find("\nwithout a figure: 1 censored, 1 nonzero_exit\n", 1, true), tostring(naps))
-- Of several searches a row each.
local rows = search.table { naps, calls }
local expected = {
  "search  baseline  best  afresh  beside the baseline  95 % CI         trials  without a figure            point",
  "naps         600   200     200  3.000x faster        [3.000, 3.000]       4  1 censored, 1 nonzero_exit  ms=200",
  "2              -     5       -  not compared         -                    8  2 error, 1 failed           x=5",
}
assert(rows == table.concat(expected, "\n"), rows)
local words = search.run { space = search.sequences { actions = { "b", "a" }, max = 2 }, budget = 6, strategy = "mcts", evaluate = function(p)
  if #p.steps == 1 then return nil, "failed", "illegal: too short" end
  return p.steps[1] == "a" and 1 or 2
end }
assert(words.failures.illegal == 2 and search.table({ words }):find("  2 illegal         [ab], [ab]$"), search.table { words })
for why, given in pairs {
  ["expected a list of what search.run gave, got a table"] = {},
  ["[1]: expected what search.run gave, got 1"] = { 1 },
} do
  local ok, said = pcall(search.table, given)
  assert(not ok and said:find("run.lua:%d+: search.table: ") and said:find(why, 1, true), said)
end

-- Luck of the search is not repeated: the runner-up wins afresh. Who is best in the search says 1 in it alone.
local function lucky(p, trial)
  local v = p.id == 1 and (trial.status == "running" and 1 or 9) or 3 + p.id
  return measure { name = "lucky", params = p, shell = "echo v=" .. v, runs = 2, warmup = 0, exclusive = false, metrics = { v = "v=(%d+)" }, objective = "v" }
end
local luck = search.run { space = { id = range(1, 5) }, strategy = "grid", evaluate = lucky, confirm = { max_rounds = 7 } }
assert(luck.best.point.id == 1 and luck.winner.point.id == 2 and luck.runner_up.point.id == 3 and luck.fresh == 5)
assert(tostring(luck):find("measured afresh: { id = 2 }, trial 2: median 5", 1, true), tostring(luck))

-- Who is best in the search scatters so much afresh that nobody can tell what it is worth; the next is faster than the baseline
-- beyond doubt, and wins.
local turns = assert(harness.fs.tempdir()) .. "/turns"
local function moody(p, trial)
  local echo = p.id > 1 and "echo v=" .. 25 * p.id
    or trial.status == "running" and "echo v=1"
    or ("echo >>%s; [ $(($(wc -l <%s) %% 2)) = 0 ] && echo v=1 || echo v=400"):format(turns, turns)
  return measure { name = "moody", params = p, shell = echo, runs = 2, warmup = 0, exclusive = false, metrics = { v = "v=(%d+)" }, objective = "v" }
end
local sure = search.run {
  space = { id = { 1, 2, 3 } },
  strategy = "grid",
  evaluate = moody,
  baseline = { id = 4 },
  confirm = { top = 2, max_rounds = 9 },
}
assert(sure.best.point.id == 1 and sure.winner.point.id == 2 and sure.over_baseline.verdict == "faster", tostring(sure))
local sides = sure.confirmed.variants -- each says which point it is
assert(sides.base.params.id == 4 and sides["trial 1"].params.id == 1 and sides["trial 2"].params.id == 2)
assert(tostring(sure):find "measured afresh: { id = 2 }, trial 2: .-\n  beside the baseline: 2.000x.-\n  trial 1 beside the baseline: .-: unresolved\n", tostring(sure))

-- Nothing to compare, or a comparison that failed: the best stays the winner, and nothing is said to be fresh.
local function once(p, trial)
  local shell = trial.status == "running" and "echo v=" .. p.id or "exit 3"
  return measure { name = "once", params = p, shell = shell, runs = 2, warmup = 0, exclusive = false, metrics = { v = "v=(%d+)" }, objective = "v" }
end
local alone = search.run { space = { id = { 5 } }, budget = 1, evaluate = once }
assert(alone.winner == alone.best and alone.winner.point.id == 5 and not alone.confirmed and not alone.fresh)
local failed = search.run { space = { id = { 5, 6 } }, strategy = "grid", evaluate = once, baseline = { id = 7 } }
assert(failed.winner == failed.best and failed.winner.point.id == 5 and failed.confirmed and not failed.fresh and not failed.over_baseline)
assert(tostring(failed):find("\nnot confirmed: once confirm: nonzero_exit", 1, true), tostring(failed))
assert(search.table({ failed }):find("not compared", 1, true), search.table { failed })

-- The record of a build that failed is how its trial ended, and no figure that could not be compared.
local built = search.run {
  name = "built",
  space = { id = { 1, 2 } },
  strategy = "grid",
  baseline = { id = 2 },
  evaluate = function(p, trial)
    if p.id == 1 then return await(submit(exec { cmd = { "false" } })) end
    return once(p, trial)
  end,
}
assert(built.best.point.id == 2 and built.failures.nonzero_exit == 1, tostring(built))

-- The shrunk figure: points that differ by less than their runs scatter are drawn together, others hardly.
local function scattered(step)
  return search.run {
    space = { id = range(1, 8) },
    strategy = "grid",
    confirm = false,
    evaluate = function(p)
      local count = "i=$(cat n 2>/dev/null || echo 0); echo $((i + 40)) >n; "
      return measure {
        name = "scattered by " .. step,
        params = p,
        shell = count .. "echo v=$((1000 + i + " .. p.id * step .. "))",
        cwd = "scratch",
        runs = 4,
        warmup = 0,
        exclusive = false,
        metrics = { v = "v=(%d+)" },
        objective = "v",
      }
    end,
  }
end
local close, apart = scattered(2), scattered(400)
assert(close.shrunk and close.shrunk > close.best.value, tostring(close))
assert(math.abs(apart.shrunk / apart.best.value - 1) < 0.01, tostring(apart))

-- Pruned on the way.
local pruned = search.run {
  space = { x = range(1, 12) },
  strategy = "grid",
  in_flight = 1,
  evaluate = function(p, trial)
    if trial:report(p.x) then return nil, "pruned" end
    return p.x
  end,
}
assert(pruned.trials[5].status == "ok" and pruned.trials[12].status == "pruned" and pruned.best.point.x == 1)

-- What counts is better in the direction of the search, also in its records; who says both ways is asked which.
local function rated(better)
  return function(p)
    local rate = { "rate=(%d+)", unit = "op/s", better = better }
    return measure { name = "rated", params = p, shell = "echo rate=" .. p.id, runs = 2, warmup = 0, exclusive = false, metrics = { rate = rate } }
  end
end
local rates = { space = { id = { 1, 2 } }, strategy = "grid", evaluate = rated(), maximise = "rate", baseline = { id = 1 }, confirm = { max_rounds = 7 } }
local most = search.run(rates)
assert(most.winner.point.id == 2 and most.winner.record.metrics.rate.better == "more" and most.over_baseline.verdict == "faster", tostring(most))
for _, verb in ipairs { "minimise", "maximise" } do
  local other = verb == "minimise" and "maximise" or "minimise"
  local against = verb == "minimise" and "more" or "less"
  local asked = { space = rates.space, evaluate = rated(against), strategy = "grid", [verb] = "rate" }
  local ok, why = pcall(search.run, asked)
  local told = '%s = "rate", and of this metric %s is better: say %s = "rate" or, in its metric, better = "%s"'
  assert(not ok and why:find(told:format(verb, against, other, verb == "minimise" and "less" or "more"), 1, true), why)
end
-- The same of a record that was awaited; of one that says nothing nobody knows better.
local function awaited(better)
  local described = rated(better)
  return function(p) return await(submit(described(p))) end
end
local told = { space = rates.space, strategy = "grid", evaluate = awaited "more", minimise = "rate" }
local ok, why = pcall(search.run, told)
assert(not ok and why:find('minimise = "rate", and of this metric more is better: say maximise = "rate"', 1, true), why)
told = { space = rates.space, strategy = "grid", evaluate = awaited(), maximise = "rate" }
assert(search.run(told).best.point.id == 2)

-- Who hangs afresh is waited for as long as the measurements might have taken, and the search has its end.
local function hangs(p, trial)
  local shell = trial.status == "running" and "echo v=" .. p.id or "sleep 1000"
  return measure { name = "hangs", shell = shell, timeout = "2 s", runs = 2, warmup = 0, exclusive = false, metrics = { v = "v=(%d+)" }, objective = "v" }
end
for _, confirm in ipairs { { max_rounds = 2 }, { timeout = "1 s" } } do
  local hung = search.run { space = { id = { 1, 2 } }, strategy = "grid", evaluate = hangs, confirm = confirm }
  assert(hung.best.point.id == 1 and hung.confirmed.status == "timeout" and not hung.fresh, tostring(hung))
  assert(hung.confirmed.reason:find(confirm.timeout and "timeout of 1 s" or "timeout of 4 s", 1, true), hung.confirmed.reason)
end

-- Limits other than trials, and a budget that is shared.
local shared = harness.budget { trials = 5 }
local first = search.run { space = { x = range(1, 99) }, budget = shared, in_flight = 1, evaluate = function() return submit(function() return 1 end) end }
assert(#first.trials == 5 and shared:done())

local function refuses(expected, given)
  local ok, why = pcall(search.run, given)
  assert(not ok and why:find("run.lua:%d+: ") and why:find(expected, 1, true), why)
end
local function one() return 1 end
local space = { x = { 1, 2 } }
refuses("search.run: 'evaluate' is missing", { space = space })
refuses("search.run: 'budget' is missing: a number of trials", { space = space, evaluate = one })
refuses("search.run: budget: unknown option 'trails' (did you mean 'trials'?)", { space = space, evaluate = one, budget = { trails = 3 } })
refuses("search.run: confirm: unknown option 'topp' (did you mean 'top'?)", { space = space, evaluate = one, budget = 1, confirm = { topp = 1 } })
-- What cannot be measured afresh is known with the first point, and said then.
local only = ", and only what it gives as measure{ ... }, not submitted, is measured afresh at the end (of the point { x = "
refuses("search.run: option 'confirm': 'evaluate' gave 1" .. only, { space = space, evaluate = one, budget = 2, confirm = {} })
for what, gives in pairs {
  ["1"] = one,
  ["a task"] = function() return exec { cmd = { "true" } } end,
  ["the future of a call"] = function() return submit(function() return 1 end) end,
} do
  local asked = 0
  local function counted(...)
    asked = asked + 1
    return gives(...)
  end
  refuses("option 'baseline': 'evaluate' gave " .. what .. only, { space = space, evaluate = counted, budget = 2, in_flight = 1, baseline = { x = 3 } })
  assert(asked == 1)
end
refuses("search.run: option 'baseline': with several objectives nothing is measured afresh", {
  space = space,
  evaluate = one,
  budget = 2,
  minimise = { "a", "b" },
  baseline = { x = 3 },
})
search.run { space = space, evaluate = one, budget = 2, baseline = { x = 3 }, confirm = false }
refuses("search: tell: expected a number, numbers by name or the record of a measurement, got 'fast'", { space = space, evaluate = function() return "fast" end, budget = 1 })
-- A mistake in `evaluate` is no failure of a point: it ends the search, and the tasks it has under way.
local began = {}
local ok, mistake = pcall(search.run, {
  space = { x = range(1, 9) },
  budget = 9,
  in_flight = 3,
  strategy = "grid",
  evaluate = function(p)
    if p.x == 3 then return p.x.y.z end
    began[p.x] = submit(exec { cmd = { "sleep", 600 } })
    return began[p.x]
  end,
})
assert(not ok and mistake:find "^run.lua:%d+: attempt to index a number value", mistake)
assert(await(began[1]).status == "cancelled" and await(began[2]).status == "cancelled" and #began == 2)
