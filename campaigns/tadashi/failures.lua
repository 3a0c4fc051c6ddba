-- What goes wrong with generated programs, and in somebody's shared library, is known by its name, and never a time.
--
--   harness campaigns/tadashi/failures.lua --python=$(tools/tadashi)
--
-- Each kind of failure once, on purpose: an illegal transformation, what it computes all the same, a crash, a program
-- without an end; then the same of the process that holds the loops. search.lua meets them unasked.
local harness = require "harness"
local loops = require "loops"
local args = harness.args {
  python = { "python3", "a Python that has tadashi: tools/tadashi prints one" },
  size = { 400, "rows of the matrices" },
}
local options = { "-DN=" .. args.size }
local text = loops.read "kernel.c"
local pool <close> = loops.spawn(args.python, { kernel = text }, options)

local function row(name, status, what) print(("%-10s %-14s %s"):format(name, status, what)) end
local original = loops.build(text, options)
local function try(name, program, timeout)
  local record = await(submit(measure {
    name = name,
    cmd = { program },
    runs = 3,
    verify = { reference = { original }, rtol = 1e-12 },
    timeout = timeout or "60 s",
  }))
  row(name, record.status, record.ok and ("%.2f ms"):format(record.stats.median * 1e3) or record.reason:match "[^\n]*")
end

local function source(steps, ...) return await(loops.ask("source", "kernel", steps, ...)) end
try("original", original)
try("swapped", loops.build(source({ "interchange 0.2" }).source, options))
row("refused", "illegal", source({ "interchange 1.1" }).illegal)
try("forced", loops.build(source({ "interchange 1.1" }, true).source, options))
try("crashing", loops.build(text, { "-DCRASH", table.unpack(options) }))
try("hanging", loops.build(text, { "-DHANG", table.unpack(options) }), "1 s")

-- So it is with the process that holds the loops; a new one takes its place, and goes on from its `init`.
local function asked(question)
  local session = harness.worker.state.loops
  local ok, problem = pcall(session.call, session, question)
  local after = session:call { "after", "kernel", harness.json.list {}, { 16 } }
  return ok and "ok" or problem.kind, ok and "" or problem.message:match "[^\n]*", #after
end
for _, question in ipairs { { "crash" }, { "hang", timeout = "500 ms" }, { "source", "kernel", { "tile_2d 0.1 0 0" } } } do
  local status, reason, choices = await(submit(asked, question))
  row("session", status, ("%s; after it %d steps can be tried"):format(reason, choices))
end
