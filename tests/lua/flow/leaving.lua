--! exit 3
-- A quarter of a million pending futures (a million take as long for each, and 300 MiB), and a script that leaves
-- before they are done: what ran is killed, and its worker is not blamed for the root being busy.
local list = {}
for i = 1, 250000 do list[i] = submit(math.abs, i) end
assert(collectgarbage "count" < 100 * 1024)
local done, pending = wait(list, { count = 100 })
assert(#done >= 100 and #done + #pending == 250000)
os.exit(3)
