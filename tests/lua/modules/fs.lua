-- harness.fs: whole files and folders; what the system refuses is nil and why.
local fs = require "harness.fs"
assert(fs == require("harness").fs)

local folder = assert(fs.tempdir())
local path = folder .. "/a/b/text"
assert(not fs.exists(path))
local written, why = fs.write(path, "x")
assert(written == nil and why:find("cannot write " .. path .. ": No such file or directory", 1, true), why)
assert(fs.mkdir(folder .. "/a/b") and fs.mkdir(folder .. "/a/b"))
local bytes = "one\0\xff\n"
assert(fs.write(path, bytes) and fs.read(path) == bytes and fs.exists(path))
assert(fs.write(path, "two") and fs.read(path) == "two")
assert(fs.write(folder .. "/a/b/first", ""))
assert(table.concat(assert(fs.list(folder .. "/a/b")), " ") == "first text") -- and no file half written
local names, no_folder = fs.list(path)
assert(names == nil and no_folder:find "cannot list")
assert(select(2, fs.read(folder)):find "cannot read")
assert(select(2, fs.mkdir(path)):find "cannot make the folder")

-- A file keeps its permissions when it is written again.
assert(os.execute("chmod 750 " .. path) and fs.write(path, "three"))
assert(io.popen("stat -c %a " .. path):read "n" == 750)

-- Relative paths begin in the campaign's folder, in tasks too.
local function here() return fs.exists "fs.lua" end
assert(here() and await(submit(here)))

local ok, problem = pcall(fs.write, path)
assert(not ok and problem:find "fs.lua:%d+: fs.write: expected the text to write, got nil", problem)
