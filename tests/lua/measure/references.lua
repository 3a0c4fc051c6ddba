--! says harness: 10 tasks: 3 ok, 1 nonzero_exit, 1 timeout, 2 cancelled, 3 skipped
-- A reference that does not end well, or does not end.
local function asked(options)
  options.runs = 1
  return submit(measure(options))
end

local m = await(asked { cmd = { "echo", 7 }, verify = { reference = { "sleep", 600 } }, timeout = "100 ms" })
assert(m.status == "skipped" and m.cause.status == "timeout", tostring(m))
assert(m.reason:find("^its reference, task %d+, ended timeout: ran into its timeout of 0.1"), m.reason)
-- It runs once for all who ask for the same: with another time limit it is another run.
m = await(asked { cmd = { "echo", 8 }, verify = { reference = { "sleep", 600 } }, timeout = "100 ms" })
assert(m.status == "skipped" and m.reason:find "^its reference, task %d+, ended timeout: ran into", m.reason)
m = await(asked { cmd = { "echo", 7 }, verify = { reference = { "sh", "-c", "exit 3" } } })
assert(m.status == "skipped" and m.reason:find("^its reference, task %d+, ended nonzero_exit: "), m.reason)

-- Nobody wants it any more: it is ended, and started anew for who asks later.
local started = os.tmpname()
local endless = { "sh", "-c", "echo run >> " .. started .. "; [ $(wc -l < " .. started .. ") = 1 ] && sleep 600; echo 7" }
local first = asked { cmd = { "echo", 7 }, params = { n = 1 }, verify = { reference = endless } }
local second = asked { cmd = { "echo", 7 }, params = { n = 2 }, verify = { reference = endless } }
await(submit(exec { shell = "until grep -q run " .. started .. "; do sleep 0.01; done" }))
first:cancel()
assert(await(first).status == "cancelled" and second:status() == "pending")
second:cancel()
assert(await(second).status == "cancelled")
m = await(asked { cmd = { "echo", 7 }, params = { n = 3 }, verify = { reference = endless } })
assert(m.ok, tostring(m))
os.remove(started)
