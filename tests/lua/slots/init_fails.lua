-- An `init` that fails ends the calls as `setup_failed`, with the reason; it is tried a few times and not for ever.
local harness = require "harness"
local log = os.tmpname()
local function tries()
  local n = 0
  for _ in io.lines(log) do n = n + 1 end
  return n
end
local function failure(options)
  io.open(log, "w"):close()
  options.workers, options.slots = 1, 1
  local init = options.init
  options.init = function(worker)
    local file <close> = assert(io.open(log, "a"))
    file:write "try\n"
    file:flush()
    init(worker)
  end
  local pool <close> = spawn(options)
  local calls = {}
  for i = 1, 50 do calls[i] = submit(function() return 1 end) end
  local last
  for _, f in ipairs(calls) do
    local ok, e = pcall(await, f)
    assert(not ok and e.kind == "setup_failed", tostring(e))
    last = e
  end
  assert(tries() == 3, tries())
  -- The pool does other work still.
  assert(await(submit(exec { cmd = { "true" } })).ok)
  return last
end

local e = failure { init = function()
  local missing
  return missing.field
end }
assert(e.message:find("^init of its slot: init_fails%.lua:%d+: attempt to index a nil value"), e.message)
assert(e.traceback:find("init_fails.lua", 1, true) and not e.traceback:find("[harness]", 1, true), e.traceback)
e = failure { init = function() error { code = 7 } end }
assert(e.value.code == 7, tostring(e))
e = failure { init_timeout = 0.2, init = function() while true do end end }
assert(e.message:find("^init of its slot: ran into its timeout of 0%.2 s at init_fails%.lua:%d+$"), e.message)
e = failure { init_timeout = 0.2, init = function() os.execute "sleep 1000" end }
assert(e.message == "init of its slot did not end within 0.2 s and could not be stopped: is it in C code that waits?", e.message)
e = failure { init = function() os.exit(4) end }
assert(e.message == "its slot ended with exit code 4 while it started (in init?) (os.exit?)", e.message)
e = failure { init = function() os.execute "kill -ABRT $PPID" while true do end end }
assert(e.message == "its slot was killed by signal 6 (SIGABRT) while it started (in init?)", e.message)

-- One that comes to itself is forgiven.
io.open(log, "w"):close()
local pool <close> = spawn { workers = 1, slots = 1, init = function(worker)
  local file <close> = assert(io.open(log, "a+"))
  file:write "try\n"
  file:seek "set"
  worker.state.tries = select(2, file:read("a"):gsub("try", ""))
  assert(worker.state.tries == 3, "not yet")
end }
assert(await(submit(function() return harness.worker.state.tries end)) == 3)
os.remove(log)

-- What cannot work is said at once.
local function refused(options, text)
  local ok, problem = pcall(spawn, options)
  assert(not ok and problem:find(text, 1, true), problem)
end
local line = coroutine.create(print)
refused({ init = function() return line end }, "spawn: init: cannot ship upvalue `line` (coroutine) of function at init_fails.lua:")
refused({ init = 5 }, "spawn: option 'init': expected a function of the worker, got 5")
refused({ init_timeout = 5 }, "spawn: 'init_timeout' is the limit of 'init', which is not given")
refused({ memory = "2 GB" }, [[spawn: option 'memory': expected bytes or a size like "64 MiB", "2 GiB", from 1 MiB (in B, KiB, MiB, GiB or TiB), got '2 GB']])
refused({ memory = 1000 }, "from 1 MiB, got 1000")
