-- A call that ends its slot takes nothing with it: calls that ended there before it, and were not yet heard of, are not done again.
local pool <close> = spawn { workers = 1, slots = 2 }
local path = os.tmpname()
local function mark(i)
  local file <close> = assert(io.open(path, "a"))
  file:write(i, "\n")
  return i
end
for i = 1, 200 do
  await(submit(mark, -i)) -- known to be short, many are sent ahead
end
local ENDINGS = { [0] = function() os.exit(3) end, [1] = function() os.execute "kill -9 $PPID" end }
local futures = {}
for i = 1, 600 do
  futures[i] = submit(call { i % 50 == 0 and ENDINGS[i // 50 % 2] or mark, i, retries = 0 })
end
for i = 1, 600 do
  local ok, value = pcall(await, futures[i])
  if i % 50 == 0 then
    assert(not ok and value.kind == (i // 50 % 2 == 0 and "nonzero_exit" or "signal"), i)
  else
    assert(ok and value == i, i)
  end
end
local times = {}
for line in io.lines(path) do
  times[line] = (times[line] or 0) + 1
  assert(times[line] == 1, line .. " ran again")
end
os.remove(path)
