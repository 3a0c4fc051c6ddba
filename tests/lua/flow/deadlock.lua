--! exit 1
--! says harness: deadlock: nothing is running and everybody waits:
--! says   the main script waits at deadlock.lua:12 for the flow of deadlock.lua:12
--! says   the flow of deadlock.lua:7 waits at deadlock.lua:10 for the flow of deadlock.lua:12
--! says   the flow of deadlock.lua:12 waits at deadlock.lua:12 for the flow of deadlock.lua:7
local first
local second = go(function()
  await(submit(function() return 1 end)) -- so that `first` is there
  local _ <close> = setmetatable({}, { __close = function() io.stderr:write("") end })
  await(first)
end)
first = go(function() await(second) end) await(first)
