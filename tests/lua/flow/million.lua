--! exit 3
-- A million pending futures, and a script that leaves before they are done.
local list = {}
for i = 1, 1000000 do list[i] = submit(math.abs, i) end
assert(collectgarbage "count" < 400 * 1024)
local done, pending = wait(list, { count = 100 })
assert(#done >= 100 and #done + #pending == 1000000)
os.exit(3)
