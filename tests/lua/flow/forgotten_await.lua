-- A future is not its record: what only the record has is asked of the record.
local f = submit(exec { cmd = { "uname" } })
local ok, e = pcall(function() return f.stdout end)
assert(not ok and e == "forgotten_await.lua:3: unknown field 'stdout' of a future: await it first", e)
ok, e = pcall(function() return f.stats.median end)
assert(not ok and e:find("unknown field 'stats' of a future: await it first", 1, true), e)
assert(await(f).ok and await(f).stdout ~= "" and f.id)
assert(not pcall(function() return go(print, "").stdout end))
local failed = submit(function() error "x" end)
assert(failed:wait() and failed:status() == "error" and failed.id)

-- A dot where a colon belongs.
ok, e = pcall(function() f.wait "1 s" end)
assert(not ok and e == "forgotten_await.lua:13: wait: call it with a colon: future:wait(...)", e)
for _, method in ipairs { "done", "status", "cancel", "on_done", "wait" } do
  ok, e = pcall(f[method], print)
  assert(not ok and e:find(method .. ": call it with a colon: future:" .. method, 1, true), e)
end
local pool <close> = spawn {}
ok, e = pcall(pool.submit, print)
assert(not ok and e:find("submit: call it with a colon: pool:submit", 1, true), e)

-- An iterator is not a list.
for _, walk in ipairs { ipairs, pairs } do
  ok, e = pcall(function() for _, _ in walk(as_completed { f }) do end end)
  assert(not ok and e:find("as_completed gives an iterator, not a list: for future, result in", 1, true), e)
end
local seen = 0
for future, record in as_completed { f } do
  assert(future == f and record.ok)
  seen = seen + 1
end
assert(seen == 1)
