-- A future is not what it gives: to read, join or compare it raises at the author's line and says what to type.
local function says(text, fn, ...)
  local ok, e = pcall(fn, ...)
  assert(not ok and e:find(text, 1, true), ("expected `%s`, got `%s`"):format(text, tostring(e)))
  return e
end
local run, call = submit(exec { cmd = { "true" } }), submit(function() return 1, 2 end)
for _ = 1, 2 do -- before its end, and after
  for _, field in ipairs { "ok", "value", "stats", "samples", "stdout", "reason", "exit_code", "metrics", "verdicts", "artefact" } do
    says(("unknown field '%s' of a future: await it first"):format(field), function() return run[field] end)
    says(("unknown field '%s' of a future: await it first"):format(field), function() return call[field] end)
  end
  says("unknown field 1 of a future: await it first", function() for _ in ipairs(call) do end end)
  local text = "this is a future and no value yet: await it first"
  local at = says(text, function() return "it is " .. call end)
  assert(at:find "^futures_are_no_values%.lua:15: ", at)
  says(text, function() return call + 1 end)
  says(text, function() return call < 2 end)
  wait { run, call }
end
assert(await(run).ok and await(call) == 1 and select(2, await(call)) == 2)
local flow = go(function() return "x" end)
says("unknown field 'statsu' of a future (did you mean 'status'?)", function() return run:statsu() end)
says("this is a future and no value yet: await it first", function() return #run end)
says("unknown field 'ok' of a future", function() return flow.ok end)
assert(run:status() == "ok" and await(run).status == "ok")

says("await: expected a future, got a list of them: await each of them, or wait(list) for all", await, { run })
says("await: expected a future, got a record, which is what await gives: it needs no second one", await, await(run))
says("await: expected a future, got a function: await(submit(fn)) runs it on a worker, await(go(fn)) in the script", await, print)
says("await: expected a future, got 'x'", await, "x")
says('await takes one future and nothing else: f:wait "1 s" waits that long at the most, and says whether', await, run, "1 s")
says("await takes one future and nothing else: await each of them, or wait(list) for all", await, run, call)
says("submit: this is a future, so it was submitted: await(future)", submit, run)
says("submit: this is a future, so it was submitted: await(future)", function() spawn({}):submit(run) end)
says("and no value yet: await it first, or give it to a program as a word of its own in cmd", function() return "x" .. submit(exec { cmd = { "true" } }) end)
says([[exec: option 'shell': a line has no place for it; a command has: cmd = { "sh", "-c", '"$1" | sort', "sh", future }]], exec, { shell = run })
local program = submit(function() return "echo" end)
assert(await(submit(exec { cmd = { "sh", "-c", '"$1" b a | tr " " "-"', "sh", program } })).stdout == "b-a\n")
