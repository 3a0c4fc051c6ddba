-- What a task depends on may end at any moment, seen or unseen by the script: the answer is the same.
for i = 1, 150 do
  local t = submit(function() return {} end)
  local bad = submit(function() error("oh", 0) end)
  for _ = 1, i * 10 do end
  local a, b = submit(exec { cmd = { "echo", t } }), submit(exec { cmd = { "echo", bad } })
  local c = submit(function(x) return x end, bad)
  local d = submit(call { function(x) return x.kind .. x.message end, bad, accept_failed = true })
  a, b = await(a), await(b)
  assert(a.status == "setup_failed", tostring(a))
  assert(b.status == "skipped" and b.cause and b.cause.message == "oh", tostring(b))
  local ok, e = pcall(await, c)
  assert(not ok and e.kind == "skipped" and e.cause and e.cause.message == "oh", tostring(e))
  assert(await(d) == "erroroh")
end
