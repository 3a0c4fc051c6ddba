-- The campaign of the soak: tasks of all kinds at an even pace until the time is over, whatever happens to the nodes.
--
--   harness --start srun campaign.lua --tasks=100000 --seconds=3600 --began=UNIX_TIME --ledger=FILE
--
-- Each task has its line in the ledger when it begins and when it ends, and when the script hears how it ended. A worker
-- that was lost is replaced; where that does not help, the script asks to be run again (exit code 75).

local harness = require "harness"

local args = harness.args {
  tasks = { 100000, "how many in all" },
  seconds = { 3600, "over which they are spread" },
  began = { os.time(), "when the first run of this campaign began" },
  ledger = { "ledger", "file that all nodes see, to which each event appends a line" },
  in_flight = { 1000, "tasks under way at a time, at the most" },
}
local path = args.ledger

local pool <close> = spawn {
  slots = 4,
  quarantine = false, -- its nodes are hit on purpose
  init = function(worker) worker.state.usleep = harness.dl.open("libc.so.6"):fn "int usleep(uint32_t)" end,
}
print(pool)

local program = submit(compile { name = "program", sources = { "task.c" }, flags = { "-O1" } })
local ledger = assert(io.open(path, "a"))
ledger:setvbuf "line"

-- What is known of a task beforehand: how it ends, and what it gives.

local function work(key, ms, raises)
  local me = harness.worker
  local stat <close> = assert(io.open "/proc/self/stat")
  local pid, keeper = stat:read("a"):match "^(%d+) %b() %S (%d+)"
  local out <close> = assert(io.open(path, "a"))
  local function say(what) assert(out:write(("%s %s %s %s %s\n"):format(what, key, me.host, keeper, pid)) and out:flush()) end
  say "begin"
  me.state.usleep(ms * 1000)
  say "end"
  if raises then error "on purpose" end
  return key
end

local function run(name, i, ms, what, more)
  local key = name .. "-" .. i
  local options = { name = name, params = { i = i }, key = key, retries = 50, cmd = { program, path, key, ms, what } }
  for option, value in pairs(more or {}) do
    options[option] = value
  end
  return exec(options)
end

local function called(name, i, ms, raises)
  local key = name .. "-" .. i
  return call { work, key, ms, raises, name = name, params = { i = i }, key = key, retries = 50 }
end

local function measured(i, ms)
  local build = submit(compile { name = "build", params = { i = i }, sources = { "kernel.c" }, defines = { N = i }, retries = 50 })
  local measurement = measure {
    name = "kernel",
    params = { i = i },
    cmd = { build },
    runs = 3,
    warmup = 0,
    metrics = { sum = "sum (%d+)" },
    objective = "sum",
    retries = 50,
  }
  local whole = measure {
    name = "measure",
    params = { i = i },
    key = "measure-" .. i,
    cmd = { program, path, "measure-" .. i, ms, "ok" },
    runs = 3,
    warmup = 0,
    retries = 50,
  }
  return { build = build, kernel = submit(measurement), measure = submit(whole) }
end

--- The futures of number `i`, by name. Which kind it is depends on nothing else.
local function begin(i)
  local ms = 20 + i * 7919 % 181
  if i % 500 == 0 then return measured(i, ms) end
  if i % 1000 == 251 then return { gang = submit(run("gang", i, ms, "ok", { nodes = 2, launcher = "none" })) } end
  if i % 100 == 33 then return { hang = submit(run("hang", i, ms, "hang", { timeout = "500 ms" })) } end
  if i % 100 == 13 then return { file = submit(run("file", i, ms, "file", { cwd = "scratch", outputs = { "made" } })) } end
  if i % 200 == 99 then return { crash = submit(run("crash", i, ms, "crash")) } end
  if i % 100 == 66 then return { raise = submit(called("raise", i, ms, true)) } end
  if i % 50 == 7 then return { fail = submit(run("fail", i, ms, "fail")) } end
  if i % 2 == 1 then return { call = submit(called("call", i, ms, false)) } end
  return { exec = submit(run("exec", i, ms, "ok")) }
end

-- What the cluster did is no result: another run tries these again.
---@type table<string, boolean>
local unsettled = { lost_worker = true, refused = true, spawn_failed = true, setup_failed = true, cancelled = true, skipped = true }
local flying = 0

local function ended(key, future)
  flying = flying - 1
  local status = future:status()
  if unsettled[status] then
    ledger:write("unsettled ", key, " ", status, "\n")
    os.exit(75)
  end
  if status == "ok" then
    local result = await(future)
    local said = type(result) == "string" and result or result.stdout and result.stdout:match "%S+"
    if said and said ~= key then status = "wrong:" .. said end
  end
  ledger:write("reported ", key, " ", status, "\n")
end

---@type any
local feeding

-- The successors of workers that were lost: `grow` says whether there is one to start.
local growing = go(function()
  assert(await(program).ok, "task.c does not build")
  repeat
    local ok, new = pcall(pool.grow, pool)
    if ok then ledger:write("grown ", #new, "\n") end
  until feeding:wait "3 s"
end)

feeding = go(function()
  for i = 1, args.tasks do
    local due = args.began + i * args.seconds / args.tasks
    while flying >= args.in_flight or os.time() < due do
      growing:wait "0.2 s"
    end
    for name, future in pairs(begin(i)) do
      flying = flying + 1
      future:on_done(function(f) ended(name .. "-" .. i, f) end)
    end
  end
  while flying > 0 do
    growing:wait "0.2 s"
  end
end)

await(feeding)
await(growing)
ledger:write "over\n"
print "over"
