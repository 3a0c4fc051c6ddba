-- Why a future has not ended.
local harness = require "harness"
local pool <close> = spawn { slots = 1, resources = { license = 1 } }
local host = pool.workers[1].host
local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir " .. folder))
local function says(f, ...)
  local why = harness.explain(f)
  for _, text in ipairs { ... } do
    assert(why:find(text, 1, true), ("no `%s` in `%s`"):format(text, why))
  end
end

-- What runs ends when the file `go` is there.
local hold = ("touch %s/began; while [ ! -e %s/go ]; do sleep 0.01; done"):format(folder, folder)
local first = submit(exec { name = "blocker", params = { n = 1 }, shell = hold, timeout = 60, needs = { license = 1 } })
repeat until io.open(folder .. "/began")
says(first, "blocker n=1 (task 0): it ", " " .. host, " ago") -- its worker may not have said yet that it began
local m = submit(measure { name = "gemm", params = { tile = 8 }, cmd = { "true" }, runs = 1, warmup = 0 })
says(m, "gemm tile=8 (task 1): ", host .. " is being cleared for it; there runs blocker n=1 (task 0)")
local behind = submit(exec { cmd = { "echo", "hello" } })
says(behind, "exec `echo hello` (task 2): it needs a node with 1 core; 1 node would do", "is for gemm tile=8 (task 1) alone")
local licensed = submit(exec { name = "licensed", cmd = { "true" }, needs = { license = 1 } })
says(licensed, "it needs license = 1, and 0 of 1 are free; used, or waited for before it, by blocker n=1 (task 0)")
local long = submit(exec { shell = "printf x\nprintf y" })
says(long, "exec `printf x…` (task 4): ")
local a = submit(call { function() return 1 end, name = "slow call" })
local after = submit(call { function(v) return v end, a })
says(after, "call (task 6): it waits for what it depends on: slow call (task 5)")
local unneeded = submit(measure { name = "checked", cmd = { "true" }, verify = { reference = { "true" } } })
says(unneeded, "it waits for what it depends on: exec `true` (task 7)")

local flow = go(function() return await(licensed) end)
says(flow, "the flow of explain.lua:34 waits ", ": licensed (task 3): it needs license = 1")
says(go(function() return wait { first, m } end), ": 2 that have not ended")
local one, two
one = go(function()
  harness.now()
  await(first)
  return await(two)
end)
two = go(function() return await(one) end)
says(two, " for the flow of explain.lua:", ": the flow of explain.lua:38 waits at explain.lua:40: blocker n=1")

io.open(folder .. "/go", "w"):close()
await(first)
says(first, "it has ended: ok")
one:cancel()
local ok, e = pcall(harness.explain, 5)
assert(not ok and e:find("explain.lua:50: harness.explain: expected a future, got 5", 1, true), e)
two:cancel()
wait { m, behind, licensed, long, after, unneeded }
local failed = submit(exec { cmd = { "false" } })
failed:wait()
says(failed, "it has ended: nonzero_exit")
os.execute("rm -r " .. folder)
