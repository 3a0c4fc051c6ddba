--! exit 3
-- A hundred thousand pending futures (a million are ten times as long under way, and 300 MiB), and a script that leaves
-- before they are done: what ran is killed, and its worker is not blamed for the root being busy.
local list = {}
for i = 1, 100000 do list[i] = submit(math.abs, i) end
assert(collectgarbage "count" < 60 * 1024)
local done, pending = wait(list, { count = 100 })
assert(#done >= 100 and #done + #pending == 100000)
os.exit(3)
