-- A tree with a makefile is built in a copy of it: with these variables, everything anew, again when a source changed.
local harness = require "harness"
local recipes, fs = require "harness.recipes", harness.fs
assert(recipes == harness.recipes)
local pool <close> = spawn { slots = 2 }
local dir = assert(fs.tempdir()) .. "/app"
assert(fs.mkdir(dir .. "/src") and fs.mkdir(dir .. "/data"))
local function write(path, text) assert(fs.write(dir .. "/" .. path, text)) end
write("Makefile", [[
WHO = nobody
prog: main.o
	$(CC) -o $@ $^
main.o: src/main.c src/who.h
	$(CC) $(CFLAGS) -DWHO='"$(WHO)"' -c -o $@ $<
flags:
	echo '$(MAKEFLAGS)' > flags
.PHONY: flags
]])
write("src/main.c", '#include <stdio.h>\n#include "who.h"\nint main(void) { printf(GREETS, WHO); return 0; }\n')
write("src/who.h", '#define GREETS "hello %s\\n"\n')
-- What a build in the tree itself left is not taken for one of ours.
write("main.o", "no object")
write("prog", "no program")
write("data/much", "not needed")

local function says(build)
  local r = await(submit(exec { cmd = { build } }))
  assert(r.ok, tostring(r))
  return r.stdout
end
local function make(options)
  options.dir, options.output = options.dir or dir, options.output or "prog"
  options.except = { "data" }
  return submit(recipes.make(options))
end
assert(says(make { target = "prog" }) == "hello nobody\n")
local build = make { vars = { WHO = "you", CFLAGS = "-O2" }, name = "app", params = { who = "you" } }
assert(says(build) == "hello you\n")
local r = await(build)
assert(r.kind == "compile" and r.name == "app" and r.cache == "miss" and #r.messages == 0, tostring(r))
assert(table.concat(r.argv, " "):find " %-j1 CFLAGS=%-O2 WHO=you$", table.concat(r.argv, " "))
-- The compiler counts, not make alone.
assert(r.compiler:find "/make %(GNU Make .*%); /%S*/cc %(", r.compiler)
r = await(make { tools = { "gcc", "ld" }, target = "flags", output = "flags" })
assert(r.compiler:find "/gcc %(.*; /%S*/ld %(", r.compiler)

-- Nothing changed, what is no source changed: an earlier build. A header changed: a new one.
write("data/much", "still not needed")
assert(await(make { vars = { WHO = "you", CFLAGS = "-O2" }, key = "again" }).cache == "hit")
write("src/who.h", '#define GREETS "good morning, %s\\n"\n')
build = make { vars = { WHO = "you", CFLAGS = "-O2" }, key = "changed" }
assert(says(build) == "good morning, you\n" and await(build).cache == "miss")

-- As many jobs as it has cores, whatever a make above us has told.
local flags = says(submit(compile { cmd = { "sh", "-c", 'printf \'#!/bin/sh\\ncat %s\\n\' "$0" > cat; chmod +x cat', make { target = "flags", output = "flags", cores = 2 } }, output = "cat" }))
assert(flags:find "B" and flags:find "%-j2 ", flags)

-- What the compiler says is told as of any build.
write("src/main.c", "int main(void) { return none; }\n")
r = await(make {})
assert(r.status == "compile_failed" and r.reason:find "error: .*none.* undeclared", r.reason)
local m = r.messages[1]
assert(m.file == "src/main.c" and m.line == 1 and m.severity == "error", tostring(m.file))
r = await(make { dir = "nowhere" })
assert(r.status == "setup_failed" and r.reason:find "^source tree `nowhere` not found in /", r.reason)
r = await(make { target = "prog", output = "other" })
assert(r.status == "compile_failed", tostring(r))

-- The copy is the tree: its empty folders, and which of two files with one content may be run.
assert(fs.mkdir(dir .. "/bare/obj/deep") and fs.mkdir(dir .. "/bare/w"))
write("bare/Makefile", "prog:\n\tprintf '#!/bin/sh\\necho \"' > obj/deep/o && ls -l w | cut -c1-10 | grep rw | sort | tr '\\n' ' ' >> obj/deep/o\n"
  .. "\techo '\"' >> obj/deep/o && chmod +x obj/deep/o && cp obj/deep/o prog\n")
write("bare/w/data.txt", "#!/bin/sh\n")
write("bare/w/gen.sh", "#!/bin/sh\n")
local function bare(key) return submit(recipes.make { dir = dir .. "/bare", output = "prog", key = key }) end
assert(says(bare "1") == "-rw-r--r-- -rw-r--r-- \n")
assert(os.execute("chmod +x " .. dir .. "/bare/w/gen.sh"))
local modes = says(bare "2")
assert(modes == "-rw-r--r-- -rwxr-xr-x \n", modes)
assert(os.execute("chmod -x " .. dir .. "/bare/w/gen.sh"))
assert(await(bare "3").cache == "hit" and says(bare "4") == "-rw-r--r-- -rw-r--r-- \n")
assert(fs.mkdir(dir .. "/bare/more") and await(bare "5").cache == "miss")

-- Folders linked crosswise are no end of a tree.
for i = 0, 18 do
  assert(fs.mkdir(string.format("%s/lat/l%d", dir, i)))
  for _, name in ipairs { "a", "b" } do
    assert(os.execute(string.format("ln -s ../l%d %s/lat/l%d/%s", i + 1, dir, i, name)))
  end
end
r = await(submit(recipes.make { dir = dir .. "/lat", output = "prog" }))
assert(r.status == "setup_failed" and r.reason:find("^source tree `/.*/lat` has more than 20000 files and folders"), r.reason)

local function raises(text, fn, ...)
  local ok, why = pcall(fn, ...)
  assert(not ok and why == text, why)
end
raises("make.lua:98: recipes.make: 'output' is missing: the file it builds", function() recipes.make { dir = "x" } end)
raises("make.lua:99: recipes.make: 'dir' is missing: the source tree", function() recipes.make { output = "x" } end)
raises("make.lua:100: recipes.make: unknown option 'var' (did you mean 'vars'?)", function() recipes.make { var = {} } end)
raises("make.lua:101: recipes.make: 'output': '../x' is not a path inside what is built", function() recipes.make { dir = "x", output = "../x" } end)
raises("make.lua:102: recipes.make: 'dir' is empty: the source tree, \".\" for the folder of the script", function() recipes.make { dir = "", output = "x" } end)
raises("make.lua:103: recipes.make: 'output': '' is no file: name the one it builds", function() recipes.make { dir = "x", output = "" } end)
raises("make.lua:104: recipes.cargo: 'output': './.' is no file: name the one it builds", function() recipes.cargo { dir = "x", output = "./." } end)
