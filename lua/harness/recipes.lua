-- `harness.recipes`: a source tree, built in a copy of it by its own build tool. Each recipe writes down the `compile{ cmd = ... }`
-- that one would write oneself, and no more.
local host, lib = ...
local failure, options, tasks = lib.failure, lib.options, lib.tasks

local M = {}

local function checked(tool, given)
  local who = "recipes." .. tool
  local o = options.check(who, given, false, tool)
  for _, key in ipairs { "dir", "output" } do
    if not o[key] then
      failure.raise(string.format("%s: '%s' is missing: %s", who, key, key == "dir" and "the source tree" or "the file it builds"))
    end
  end
  if o.dir == "" then failure.raise(who .. ": 'dir' is empty: the source tree, \".\" for the folder of the script") end
  if host.scratch_name(o.output) == "." then
    failure.raise(string.format("%s: 'output': %s is no file: name the one it builds", who, failure.quoted(o.output)))
  end
  if string.sub(o.output, 1, 1) == "/" or string.find("/" .. o.output .. "/", "/../", 1, true) then
    failure.raise(string.format("%s: 'output': %s is not a path inside what is built", who, failure.quoted(o.output)))
  end
  return o
end

-- `folder/path`, where `.` is no folder.
local function below(folder, path) return folder == "." and path or folder .. "/" .. path end

-- The C compiler that make and CMake take: the first word of `set`, or of the variable CC.
local function compiler(set, env)
  local given = set or env and env.CC or os.getenv "CC" or ""
  return string.match(given, "%S+") or "cc"
end

local function add(argv, list)
  for _, item in ipairs(list or {}) do
    argv[#argv + 1] = item
  end
end

-- All files of the tree come along but `except`; `output` is where the scratch folder has it. The versions of `tools`
-- count, and those of the compilers, which the author may know better.
local function build(tool, o, argv, output, tools, compilers, except)
  add(tools, o.tools or compilers)
  local passed = { cmd = argv, output = output, tools = tools, inputs = o.inputs, env = o.env, cache = o.cache, limits = o.limits }
  for key in pairs(options.TASK) do
    passed[key] = o[key]
  end
  local task = tasks.compile(passed)
  add(except, o.except)
  task.options.tree, task.options.recipe = { dir = o.dir, except = except }, "recipes." .. tool
  return task
end

-- `{ "A=1", "B=2" }`, by name.
local function settings(set, form)
  local list = {}
  for i, name in ipairs(failure.sorted_keys(set or {})) do
    local value = set[name]
    if type(value) == "boolean" then value = value and "ON" or "OFF" end
    list[i] = string.format(form, name, value)
  end
  return list
end

--- A build by make.
function M.make(given)
  local o = checked("make", given)
  local dir, vars = host.scratch_name(o.dir), o.vars or {}
  -- -B: objects that lie in the tree are of another build.
  local argv = { "make", "-B", "-C", dir, "-j" .. (o.cores or 1) }
  add(argv, o.flags)
  add(argv, settings(vars, "%s=%s"))
  argv[#argv + 1] = o.target
  o.env = o.env or {}
  o.env.MAKEFLAGS = o.env.MAKEFLAGS or "" -- those of a make that runs harness are none of it
  return build("make", o, argv, below(dir, o.output), {}, { compiler(vars.CC, o.env) }, { o.output })
end

-- $1 source, $2 jobs, $3 target; the rest is for configuring.
local CMAKE = [[
src=$1 jobs=$2 target=$3
shift 3
cmake -S "$src" -B harness-build "$@" && exec cmake --build harness-build --parallel "$jobs" --target "$target"]]

--- A build by CMake, in a folder beside the copy of its sources.
function M.cmake(given)
  local o = checked("cmake", given)
  local defines = o.defines or {}
  local argv = { "/bin/sh", "-c", CMAKE, "sh", host.scratch_name(o.dir), tostring(o.cores or 1), o.target or "all" }
  if o.generator then add(argv, { "-G", o.generator }) end
  if o.build_type then argv[#argv + 1] = "-DCMAKE_BUILD_TYPE=" .. o.build_type end
  add(argv, settings(defines, "-D%s=%s"))
  add(argv, o.flags)
  local set = type(defines.CMAKE_C_COMPILER) == "string" and defines.CMAKE_C_COMPILER or nil
  return build("cmake", o, argv, "harness-build/" .. o.output, { "cmake" }, { compiler(set, o.env) }, {})
end

-- Where cargo puts what is built by a profile that has another name than its folder.
local FOLDER = { dev = "debug", test = "debug", bench = "release" }

--- A build by cargo.
function M.cargo(given)
  local o = checked("cargo", given)
  local profile = o.profile or "release"
  -- Settings of the tree (.cargo, rust-toolchain.toml) are looked for where cargo is started.
  local argv = { "/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", host.scratch_name(o.dir), "cargo", "build" }
  add(argv, { "--profile", profile, "--jobs", tostring(o.cores or 1), "--target-dir", "harness-build", "--message-format", "short" })
  if o.features and #o.features > 0 then add(argv, { "--features", table.concat(o.features, ",") }) end
  add(argv, o.flags)
  local output = below(host.scratch_name(o.dir), "harness-build/" .. (FOLDER[profile] or profile) .. "/" .. o.output)
  return build("cargo", o, argv, output, { "cargo" }, { "rustc" }, { "target" })
end

for name, recipe in next, M do
  lib.tasks.constructors[recipe] = "recipes." .. name
end

package.loaded["harness.recipes"] = M
return M
