-- A tree of CMake: configured with these definitions, built beside the copy of its sources.
local harness = require "harness"
local recipes, fs = require "harness.recipes", harness.fs
local pool <close> = spawn { slots = 2 }
local dir = assert(fs.tempdir()) .. "/app"
assert(fs.mkdir(dir .. "/src"))
local function write(path, text) assert(fs.write(dir .. "/" .. path, text)) end
write("CMakeLists.txt", [[
cmake_minimum_required(VERSION 3.10)
project(app C)
option(POLITE "Say please" OFF)
set(WHO "nobody" CACHE STRING "Whom to greet")
add_executable(app src/main.c)
add_executable(broken src/broken.c)
set_target_properties(broken PROPERTIES EXCLUDE_FROM_ALL ON)
target_compile_definitions(app PRIVATE WHO="${WHO}" KIND="${CMAKE_BUILD_TYPE}" POLITE=$<BOOL:${POLITE}>)
]])
write("src/main.c", '#include <stdio.h>\nint main(void) { printf("hello %s %s%s\\n", WHO, KIND, POLITE ? ", please" : ""); return 0; }\n')
write("src/broken.c", "int main(void) { return none; }\n")

local function cmake(options)
  options.dir, options.output = dir, options.output or "app"
  return submit(recipes.cmake(options))
end
local r = await(cmake { tools = { "no-such-tool" } })
assert(r.status == "spawn_failed" and r.reason:find("program `no-such-tool` not found", 1, true), r.reason)
if not os.execute "cmake --version > /dev/null 2>&1" then
  assert(not os.getenv "HARNESS_CI", "cmake is missing: tools/setup test")
  assert(await(cmake {}).status == "spawn_failed")
  io.stderr:write "no cmake here: not tested\n"
  return
end
local function says(build)
  local result = await(submit(exec { cmd = { build } }))
  assert(result.ok, tostring(result))
  return result.stdout
end
assert(says(cmake {}) == "hello nobody \n")
local build = cmake { build_type = "Release", defines = { WHO = "you", POLITE = true }, cores = 2, target = "app" }
assert(says(build) == "hello you Release, please\n")
r = await(build)
assert(r.cache == "miss" and r.compiler:find "/cmake %(cmake version .*; /%S*/cc %(", r.compiler)
assert(table.concat(r.argv, " "):find(" 2 app -DCMAKE_BUILD_TYPE=Release -DPOLITE=ON -DWHO=you", 1, true))
assert(await(cmake { build_type = "Release", defines = { WHO = "you", POLITE = true }, cores = 2, target = "app", key = "2" }).cache == "hit")

-- Files are named as in the tree, wherever the copy lay.
r = await(cmake { target = "broken", output = "broken" })
assert(r.status == "compile_failed" and not r.diagnostics:find "harness%-scratch", r.diagnostics)
local m = r.messages[1]
assert(m.file:find "app/src/broken.c$" and m.line == 1 and m.severity == "error", r.diagnostics)
write("CMakeLists.txt", "project(")
r = await(cmake {})
assert(r.status == "compile_failed" and r.reason:find "CMake Error", r.reason)
