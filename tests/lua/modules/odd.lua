-- Modules that require each other, return odd things, come from elsewhere, or are edited meanwhile.
local pool <close> = spawn { workers = 1, slots = 1 }
local function get(...) return await(submit(...)) end

for _, run in ipairs { pcall, function(f, ...) return get(function(...) return pcall(...) end, f, ...) end } do
  local ok, e = run(require, "cycle_a")
  assert(not ok and e:find("module 'cycle_a' requires itself: cycle_a -> cycle_b -> cycle_a", 1, true), e)
  ok, e = run(require, "cycle_a") -- asked again it says the same
  assert(not ok and e:find("requires itself", 1, true), e)
end
assert(require("late_cycle").again() and get(function() return require("late_cycle").again() end))

assert(require "returns_false" == false and get(function() return (require "returns_false") end) == false)
local count = require "returns_function"
assert(count() == 1 and count() == 2)
assert(get(function() return count() end) == 1 and get(function() return require "returns_function" == count end))

-- Where package.path leads once the script has changed it, workers follow; what was read first is what there is.
local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir " .. folder))
package.path = folder .. "/?.lua;" .. package.path
local function write(name, text)
  local file <close> = assert(io.open(folder .. "/" .. name, "w"))
  file:write(text)
end
write("edited.lua", "return { version = 1 }")
assert(require("edited").version == 1)
write("edited.lua", "return { version = 2 }")
assert(get(function() return require("edited").version end) == 1)
package.loaded.edited = nil
assert(require("edited").version == 1)
write("bytecode.lua", string.dump(function() end))
local ok, e = pcall(require, "bytecode")
assert(not ok and e:find("attempt to load a binary chunk", 1, true), e)
ok, e = pcall(await, submit(function() return require "bytecode" end))
assert(not ok and e.message:find("attempt to load a binary chunk", 1, true), e.message)
os.execute("rm -r " .. folder)

-- Modules that exist only in the script's state go along by value.
package.preload.made_here = function() return { twice = function(x) return 2 * x end } end
local made_here = require "made_here"
assert(get(function() return made_here.twice(4) end) == 8)

-- What was tried is said, on the root and on the worker.
local host = pool.workers[1].host
ok, e = pcall(await, submit(function() return require "no.such" end))
assert(e.message:find("module 'no.such' not found:\n\tno field package.preload['no.such']\n\ton the root, where Lua files come from:\n\tno file '", 1, true), e.message)
assert(e.message:find("\n\ton " .. host .. ":\n\tno file '", 1, true), e.message)
