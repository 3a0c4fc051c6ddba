-- What waits for a task that failed does not run, and says why; the cause is that task's record or error.
local harness = require "harness"
local marker = os.tmpname()
os.remove(marker)
local function touch() assert(io.open(marker, "w")):close() end
local function failed_with(f)
  local ok, e = pcall(await, f)
  assert(not ok and getmetatable(e) == harness.Error)
  return e
end

-- While it is pending and after it ended; through calls, programs and measurements.
local slow_failure = submit(exec { shell = "sleep 0.05; exit 3", name = "breaks" })
for _ = 1, 2 do
  local of_call = submit(touch, slow_failure)
  local e = failed_with(of_call)
  assert(e.kind == "skipped" and e.cause.status == "nonzero_exit" and e.cause.exit_code == 3 and e.cause.name == "breaks")
  assert(e.message:find("it depends on", 1, true) and e.message:find("ended nonzero_exit", 1, true), e.message)
  assert(of_call:status() == "skipped")
  -- The failure goes on: what waits for what was skipped is skipped.
  e = failed_with(submit(touch, of_call))
  assert(e.kind == "skipped" and e.cause.kind == "skipped" and e.cause.cause.status == "nonzero_exit")
  local m = await(submit(measure { cmd = { "touch", marker, of_call }, runs = 1 }))
  assert(m.status == "skipped" and m.cause.kind == "skipped")
end
assert(not io.open(marker), "nothing of it ran")

-- Of a long chain the first that failed is told, and not all that came between; of what has ended already, too.
local first = submit(function() error("the root of it", 0) end)
local last = first
for _ = 1, 50 do last = submit(touch, last) end
for _ = 1, 3 do
  local e = failed_with(last)
  assert(#e.message < 200 and e.message:find("the root of it", 1, true) and e.message:find("ended skipped: task", 1, true), e.message)
  last = submit(touch, last)
end

-- accept_failed: the record, or the error, takes the place of the result.
local function status_of(x) return x.status or x.kind, x.exit_code or x.message end
local status, code = await(submit(call { status_of, slow_failure, accept_failed = true }))
assert(status == "nonzero_exit" and code == 3)
local raising = submit(function() error("no luck", 0) end)
status, code = await(submit(call { status_of, raising, accept_failed = true })) -- pending
assert(status == "error" and code == "no luck", tostring(status) .. " " .. tostring(code))
status, code = await(submit(call { status_of, raising, accept_failed = true })) -- done
assert(status == "error" and code == "no luck", tostring(status) .. " " .. tostring(code))
