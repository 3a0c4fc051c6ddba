-- Loop transformations at random: state that lives in somebody's shared library stays on the worker.
--
--   mpirun -n 1 harness campaigns/tadashi/search.lua --python=$(tools/tadashi)
--
-- TADASHI keeps a kernel's loops in its polyhedral form, in a process beside each slot. A task takes a random walk of
-- legal transformations there and brings back C; the script has it built, checks it against the program as it was
-- written, measures it with a node to itself, and compares the best with the original in turns. What is illegal,
-- crashes, hangs or computes something else is seen as that, and never as a time: each happens here once on purpose.
local harness = require "harness"
local fs = harness.fs
local args = harness.args {
  python = { "python3", "a Python that has tadashi: tools/tadashi prints one" },
  variants = { 8, "random walks" },
  depth = { 3, "transformations in each" },
  size = { 400, "rows of the matrices" },
  runs = { 5, "timed runs of each variant" },
}

local function read(name) return assert(fs.read(name)) end
local kernel, server, define = read "kernel.c", read "server.py", "-DN=" .. args.size
local python = args.python

-- Texts travel with `init`: a node need not see this folder.
local pool <close> = spawn {
  per_node = 1,
  slots = 2,
  init_timeout = "2 min",
  init = function(worker)
    worker.state.kernel = harness.session {
      cmd = { python, "-c", server },
      timeout = "30 s",
      init = function(session) session:call { "open", kernel, { define } } end,
    }
  end,
}

local function ask(question) return harness.worker.state.kernel:call(question) end

-- In a slot: transformations that are legal one after another, drawn at random, and the program they lead to.
local function walk(depth)
  local steps, refused = {}, 0
  ask { "reset" }
  while #steps < depth and refused < 20 do
    local choices = ask { "available" }
    local choice = choices[math.random(#choices)]
    local sizes = {}
    for i = 1, choice.sizes do
      sizes[i] = 1 << math.random(3, 7)
    end
    if ask { "transform", choice.scop, choice.node, choice.name, table.unpack(sizes) } then
      steps[#steps + 1] = ("%s@%d.%d(%s)"):format(choice.name, choice.scop, choice.node, table.concat(sizes, ","))
    else
      refused = refused + 1
      ask { "rollback", choice.scop }
    end
  end
  return { steps = steps, refused = refused, source = ask { "generate" } }
end

local function build(source, ...)
  local line = 'printf %s "$1" >kernel.c && shift && exec cc -O3 -march=native "$@" kernel.c -o kernel'
  return submit(compile { cmd = { "sh", "-c", line, "sh", source, define, ... }, output = "kernel" })
end
local original = build(kernel)

local function run(name, program, timeout)
  return await(submit(measure {
    name = name,
    cmd = { program },
    runs = args.runs,
    verify = { reference = { original }, rtol = 1e-12 },
    timeout = timeout or "60 s",
  }))
end

local function row(name, status, what) print(("%-10s %-14s %s"):format(name, status, what)) end
local function show(name, record, what)
  row(name, record.status, record.ok and ("%8.2f ms  %s"):format(record.stats.median * 1e3, what) or record.reason:match "[^\n]*")
end

local base = run("original", original)
show("original", base, "as it was written")
---@type any
local best
local seen = 0
local walks = {}
for i = 1, args.variants do
  walks[i] = go(function()
    local found = await(submit(walk, args.depth))
    local program = build(found.source)
    local record = run("walk " .. i, program)
    show("walk " .. i, record, ("%s  (%d illegal)"):format(table.concat(found.steps, " "), found.refused))
    if not record.ok then return end
    seen = seen + 1
    if not best or record.stats.median < best.record.stats.median then
      best = { name = "walk " .. i, record = record, program = program }
    end
  end)
end
wait(walks)
for _, flow in ipairs(walks) do
  await(flow) -- a walk that failed raises here
end
assert(base.ok and best, "nothing has a figure: see the reasons above")

-- The best of many noisy figures looks better than it is: measured afresh, in turns with the original.
local verdict = await(submit(compare {
  name = "best",
  base = { cmd = { original } },
  best = { cmd = { best.program } },
  verify = { reference = { original }, rtol = 1e-12 },
  max_time = "10 s",
}))
print(("\n%d of %d walks have a figure; the best is %s, beside the original:\n%s\n"):format(seen, args.variants, best.name, verdict))

-- On purpose: what goes wrong is known by its name.
local function swap_sweep(even_if_illegal)
  ask { "reset" }
  local legal = ask { "transform", 1, 1, "interchange" }
  ---@type boolean, any
  local ok, result = pcall(ask, { "generate", even_if_illegal })
  ask { "rollback", 1 }
  return legal, ok and result or nil, not ok and result.message:match "[^\n]*" or nil
end
local legal, _, refusal = await(submit(swap_sweep, false))
row("swapped", legal and "legal" or "illegal", refusal)
local _, wrong = await(submit(swap_sweep, true))
show("forced", run("forced", build(wrong)))
show("crashing", run("crashing", build(kernel, "-DCRASH")))
show("hanging", run("hanging", build(kernel, "-DHANG"), "1 s"))

-- So it is with the process that holds the state; a new one takes its place, and goes on from its `init`.
local function try(question)
  local ok, problem = pcall(ask, question)
  local status = ok and "ok" or problem.kind
  return status, ok and "" or problem.message:match "[^\n]*", #ask { "available" }
end
for _, question in ipairs { { "crash" }, { "hang", timeout = "500 ms" }, { "transform", 0, 1, "tile_2d", 0, 0 } } do
  local status, reason, choices = await(submit(try, question))
  row("session", status, ("%s; after it %d transformations are available"):format(reason, choices))
end
