-- A build that the machine failed is no answer: the same submission is tried again, and not taken from the journal.
local harness = require "harness"
local pool <close> = spawn { slots = 1 }
local flag = os.tmpname()
local function build()
  return await(submit(compile { output = "out", key = "same",
    cmd = { "sh", "-c", 'test -s "$0" && echo made > out || { echo "cc1: fatal error: No space left on device" >&2; exit 1; }', flag } }))
end
local first = build()
assert(first.status == "setup_failed" and first.reason:find("the machine failed it, not the source: cc1: fatal error", 1, true), first.reason)
assert(harness.fs.write(flag, "space"))
local second = build()
assert(second.ok, second.reason)
os.remove(flag)
