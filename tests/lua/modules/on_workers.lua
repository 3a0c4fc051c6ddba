-- Modules on workers: the source comes from the root, and errors say what was tried where.
local harness = require "harness"
local pool <close> = spawn { workers = 1, slots = 1 }
local function get(...) return await(submit(...)) end
local function message(...)
  local ok, e = pcall(await, submit(...))
  assert(not ok and getmetatable(e) == harness.Error and e.kind == "error", tostring(e))
  return e.message, e.traceback
end

-- Never loaded on the root; loaded once in a slot; modules of modules.
local function count() return require("counter").next() end
assert(get(count) == 1 and get(count) == 2)
assert(package.loaded.counter == nil)
local name, file, same = get(function()
  local deep = require "deep"
  return deep.name, deep.file, deep.counter == require "counter"
end)
assert(name == "deep" and file == "lua/deep/init.lua" and same, file)
assert(get(function() return (require "returns_nothing") end) == true)

-- A module as an upvalue or an argument goes by its name; its state is the slot's, not the script's.
local counter = require "counter"
assert(counter.next() == 1 and counter.next() == 2)
assert(get(function() return counter.next() end) == 3)
assert(get(function(c) return c.next() end, counter) == 4 and counter.loaded == 2)
assert(get(function() return counter end) == counter)

-- Errors name the module's own lines.
local text, trace = message(function() require("deep").where() end)
assert(text == "lua/deep/init.lua:4: here", text)
assert(trace:find("lua/deep/init.lua:4", 1, true) and trace:find("on_workers.lua:", 1, true), trace)
text = message(function() return require "raises" end)
assert(text:find("lua/raises.lua:1: this module does not load", 1, true), text)
text = message(function() return require "wrong" end)
assert(text:find("error loading module 'wrong'", 1, true) and text:find("lua/wrong.lua:1: <name> expected near '='", 1, true), text)
text = message(function() return require "no.such.module" end)
assert(text:find("module 'no.such.module' not found:", 1, true) and text:find("/modules/no/such/module.lua'", 1, true), text)
text = message(function() return require "harness.nothing" end)
assert(text:find("module 'harness.nothing' not found:", 1, true), text)
assert(get(function() return pcall(require, "raises") end) == false)

-- The library inside a call: the slot's own part of it.
assert(get(function() return require("harness").worker.host end) == pool.workers[1].host)
assert(get(function() return type(require("harness").now()) end) == "number")
text = message(function() return require("harness").spawn() end)
assert(text:find("tasks cannot submit tasks: return a value and submit from the script", 1, true), text)
