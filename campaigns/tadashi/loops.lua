-- TADASHI for campaigns: kernels in every slot, questions about them as tasks, and builds of what comes back.
--
--   local loops = require "loops"
--   local pool <close> = loops.spawn(python, { gemm = loops.read "gemm.c" }, { "-DN=200" })
--   print(table.unpack(await(loops.ask("after", "gemm", { "interchange 0.2" }, { 16, 64 }))))
--
-- Steps are texts (server.py). It decides nothing: what is tried is the study's business.
local harness = require "harness"
local M = {}

-- The text of a C file, with the header beside it that it includes: a node need not see either.
function M.read(path)
  local text = assert(harness.fs.read(path))
  return (text:gsub('#include "([^"\n]+)"', function(name) return assert(harness.fs.read(path:gsub("[^/]*$", "") .. name)) end))
end

-- A pool whose slots have these programs, by name, open in a process each.
---@param python string
---@param programs table<string, string>
---@param options string[] of the compiler
function M.spawn(python, programs, options)
  local server = assert(harness.fs.read "server.py")
  return spawn {
    per_node = 1,
    slots = 2,
    init_timeout = "2 min",
    init = function(worker)
      worker.state.loops = harness.session {
        cmd = { python, "-c", server },
        timeout = "1 min",
        init = function(session)
          for name, text in pairs(programs) do
            session:call { "open", name, text, options }
          end
        end,
      }
    end,
  }
end

local function asked(question) return harness.worker.state.loops:call(question) end

-- A question about a program after these steps, submitted: the journal answers it if it was asked before.
---@param what string
---@param name string
---@param steps string[]
function M.ask(what, name, steps, ...)
  local question = { what, name, harness.json.list(table.move(steps, 1, #steps, 1, {})), ... }
  return submit(call { asked, question, key = harness.json.encode(question) })
end

-- A build of the text of a program, submitted.
---@param text string
---@param options string[]
function M.build(text, options)
  local line = 'printf %s "$1" >kernel.c && shift && exec cc -O3 -march=native "$@" kernel.c -o kernel -lm'
  local cmd = { "sh", "-c", line, "sh", text, table.unpack(options) }
  return submit(compile { cmd = cmd, output = "kernel", tools = { "cc" }, cache = true })
end

return M
