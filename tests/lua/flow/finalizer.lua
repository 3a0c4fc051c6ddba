-- A flow that a finalizer starts while the script alone waits goes on all the same: it is not the only one any more.
local long = submit(exec { cmd = { "sleep", 1000 } })
local results = {}
for i = 1, 2000 do
  results[i] = submit(function() return string.rep("x", 20000) end) -- taking them up makes the collector run
end
local flow
setmetatable({}, {
  __gc = function()
    flow = flow
      or go(function()
        await(submit(exec { cmd = { "true" } }))
        long:wait "10 ms"
        long:cancel()
      end)
  end,
})
assert(await(long).status == "cancelled")
await(flow)
