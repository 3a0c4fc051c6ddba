-- What a checked option table becomes: the specification of its task, with what it refers to (futures, files,
-- references of `verify`).
local host, lib = ...
local failure, ends, options = lib.failure, lib.ends, lib.options

local getmetatable, type, unpack = getmetatable, type, table.unpack

local M = {}

-- What a task refers to, gathered while its specification is built: `deps` (task numbers), `known` (results
-- the script has already) and `runs` (of its references), nil where there are none, and why it cannot run: `culprit` (a future that
-- failed, `role`: as what) or `problem` (text).
--- What a task with these options refers to: nothing yet.
function M.references(o) return { accept_failed = o.accept_failed } end

local function note(refs, list, what)
  refs[list] = refs[list] or {}
  table.insert(refs[list], what)
end

local function refer(refs, f, text_of, role)
  if f.ended and not f.well and not refs.accept_failed then
    refs.culprit, refs.role = refs.culprit or f, refs.role or role
  elseif f.ended then
    local text, problem = text_of(f)
    if problem then
      refs.problem = refs.problem or problem
    elseif text then
      note(refs, "known", { f.id, { text = text } })
    end
  end
  if not f.id then return { text = "" } end
  note(refs, "deps", f.id)
  return { task = f.id }
end

-- A build's artefact is known to the port; a call's value is known here.
local function argument_text(f)
  if f.kind == "compile" then
    if not f.outcome.artefact then return nil, "there is no artefact: " .. (f.outcome.reason or f.outcome.status) end
    return nil
  end
  if f.well and type(f.outcome) == "string" then return f.outcome end
  if f.well and type(f.outcome) == "number" then return options.number_text(f.outcome) end
  return nil, "a call in 'cmd' returned neither a string nor a number"
end

local function output_text(f)
  if f.kind ~= "exec" then return argument_text(f) end
  if f.outcome.stdout_bytes > #f.outcome.stdout then
    return nil, string.format("the reference wrote %d bytes, of which only %d were kept", f.outcome.stdout_bytes, #f.outcome.stdout)
  end
  return f.outcome.stdout
end

local function argv_of(cmd, refs)
  local argv = {}
  for i, item in ipairs(cmd) do
    argv[i] = type(item) == "string" and { text = item } or refer(refs, item, argument_text)
  end
  return argv
end

local function sink(given)
  if given == nil or given == "capture" or given == "null" then return given end
  return { file = given }
end

local function cwd(given)
  if given == nil or given == "scratch" then return given end
  return { path = given }
end

-- Puts files into the store; notes what is missing.
local function inputs_of(paths, refs, what)
  local list = {}
  for i, path in ipairs(paths or {}) do
    local input, problem = host.add_input(path)
    if not input then refs.problem = refs.problem or string.format("%s %s", what, problem) end
    list[i] = input
  end
  return list
end

-- Of most commands little is said: a table grows to that alone.
local function command_of(o, refs)
  local command = { argv = argv_of(o.cmd or {}, refs) }
  command.shell, command.env, command.cwd = o.shell, o.env, cwd(o.cwd)
  command.stdin = o.stdin and { bytes = o.stdin }
  command.stdout, command.stderr = sink(o.stdout), sink(o.stderr)
  command.inputs = o.inputs and inputs_of(o.inputs, refs, "input")
  command.launch, command.limits = o.launch, o.limits
  return command
end

local COMPILER = {
  c = "cc",
  cc = "c++",
  cpp = "c++",
  cxx = "c++",
  C = "c++",
  f90 = "gfortran",
  f95 = "gfortran",
  f03 = "gfortran",
  f08 = "gfortran",
  f = "gfortran",
  F90 = "gfortran",
  F = "gfortran",
}
-- Fortran and C++ need their own driver to link: they win over C.
local RANK = { cc = 1, ["c++"] = 2, gfortran = 3 }

local function compiler_of(sources)
  local best
  for _, source in ipairs(sources) do
    local driver = COMPILER[string.match(source, "%.(%w+)$") or ""]
    if driver and (not best or RANK[driver] > RANK[best]) then best = driver end
  end
  return best or "cc"
end

local function sorted(keyed)
  local keys = {}
  for key in pairs(keyed or {}) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

-- Adds all files of a source tree; its empty folders.
local function tree_of(tree, inputs, refs)
  local files, folders = host.tree(tree.dir, tree.except)
  if not files then
    refs.problem = refs.problem or folders
    return
  end
  for _, input in ipairs(files) do
    inputs[#inputs + 1] = input
  end
  return folders
end

--- By kind: `build[kind](options, refs)` gives the specification and fills `refs`.
local build = {}
M.build = build

function build.exec(o, refs) return { command = command_of(o, refs), ok_codes = o.ok_codes, outputs = o.outputs } end

function build.compile(o, refs)
  local spec = { output = o.output or "a.out", include_root = host.campaign.dir, cache = o.cache, tools = o.tools }
  -- What a command of its own reads is not known, unless it says so by `inputs`: then its result is one to keep.
  if spec.cache == nil then spec.cache = o.sources ~= nil or o.inputs ~= nil or o.tree ~= nil end
  if o.cmd then
    local inputs = inputs_of(o.inputs, refs, "input")
    if o.tree then spec.folders = tree_of(o.tree, inputs, refs) end
    spec.command = { argv = argv_of(o.cmd, refs), env = o.env, cwd = "scratch", inputs = inputs, limits = o.limits }
    return spec
  end
  local argv = { o.compiler or compiler_of(o.sources) }
  local function add(...)
    for _, text in ipairs { ... } do
      argv[#argv + 1] = text
    end
  end
  add(unpack(o.flags or {}))
  for _, key in ipairs(sorted(o.defines)) do
    add(string.format("-D%s=%s", key, o.defines[key]))
  end
  for _, folder in ipairs(o.includes or {}) do
    add("-I" .. host.scratch_name(folder))
  end
  for _, source in ipairs(o.sources) do
    add(host.scratch_name(source))
  end
  add("-o", spec.output)
  for _, lib in ipairs(o.libs or {}) do
    add("-l" .. lib)
  end
  local files, problem = host.sources(o.sources, o.includes or {})
  if not files then refs.problem = "source " .. problem end
  local inputs = inputs_of(o.inputs, refs, "input")
  for _, file in ipairs(files or {}) do
    inputs[#inputs + 1] = file
  end
  spec.command = { argv = argv_of(argv, refs), env = o.env, cwd = "scratch", inputs = inputs, limits = o.limits }
  spec.depfile = compiler_of(o.sources) ~= "gfortran" -- Fortran takes -MD for a wish to preprocess, and refuses
  return spec
end

-- Runs of references that were asked for, by all that tells them apart: each runs once, and not longer than
-- somebody wants it. { future, wanted = measurements that have not ended }
local asked = {}

local function reference_run(o, cmd)
  local parts = { o.cwd or "", tostring(o.timeout) }
  for _, item in ipairs(cmd) do
    local text = type(item) == "string" and item or "#" .. tostring(item.id)
    parts[#parts + 1] = #text .. ":" .. text
  end
  for _, key in ipairs(sorted(o.env)) do
    parts[#parts + 1] = key .. "=" .. o.env[key]
  end
  for _, path in ipairs(o.inputs or {}) do
    parts[#parts + 1] = "<" .. path
  end
  for _, name in ipairs(sorted(o.limits)) do
    parts[#parts + 1] = "limit " .. name .. " " .. o.limits[name]
  end
  local key = table.concat(parts, "\0")
  local run = asked[key]
  if not run then
    local options = { cmd = cmd, cwd = o.cwd, env = o.env, inputs = o.inputs, timeout = o.timeout, limits = o.limits }
    run = { key = key, wanted = 0, future = lib.tasks.submit_task("exec", options, nil, true) }
    asked[key] = run
  end
  return run
end

--- A measurement that wanted this run has ended.
function M.let_go(run)
  run.wanted = run.wanted - 1
  if run.wanted == 0 and not run.future.ended then
    asked[run.key] = nil
    run.future:cancel()
  end
end

-- The content that files must have, by their path.
local function files_of(files, refs)
  local spec = {}
  for _, path in ipairs(sorted(files)) do
    local input, problem = host.add_input(files[path].reference)
    if not input then refs.problem = refs.problem or "reference " .. problem end
    spec[path] = input and { reference = input.hash, rtol = files[path].rtol or 0.0, atol = files[path].atol or 0.0 }
  end
  return spec
end

local function hook_of(given, refs)
  if type(given) == "string" then return { shell = given } end
  return given and { argv = argv_of(given, refs) }
end

local function hooks_of(o, refs)
  return {
    setup = hook_of(o.setup, refs),
    prepare = hook_of(o.prepare, refs),
    conclude = hook_of(o.conclude, refs),
    cleanup = hook_of(o.cleanup, refs),
  }
end

-- A function that looks at runs, with all it needs, as it is at this moment.
local function packed(who, option, fn)
  local made, problem = host.pack(fn)
  if not made then
    local remedy = string.find(problem, "^cannot ship") and "; what it captures has to travel to the node that measures" or ""
    failure.raise(string.format("%s: option '%s': %s%s", who, option, problem, remedy))
  end
  return made
end

local function metrics_of(o, who)
  local metrics = {}
  for _, name in ipairs(sorted(o.metrics)) do
    local metric = o.metrics[name]
    local fn = metric.source.fn
    local source = fn and { ["function"] = packed(who, "metrics." .. name .. ".fn", fn) }
    metrics[name] = { source = source or metric.source, unit = metric.unit, better = metric.better }
  end
  return metrics
end

local function verify_of(o, refs, who)
  local v = o.verify
  if not v then return nil end
  local check = v.fn and packed(who, "verify.fn", v.fn)
  local reference = v.reference
  if type(reference) == "string" then
    local input, problem = host.add_input(reference)
    reference = { artefact = input and input.hash }
    if not input then refs.problem = refs.problem or "reference " .. problem end
  elseif reference then
    if getmetatable(reference) ~= ends.Future then
      local run = reference_run(o, reference)
      note(refs, "runs", run)
      reference = run.future
    end
    reference = refer(refs, reference, output_text, "its reference")
  end
  local p = v.pattern or {}
  return {
    exit_code = v.exit_code,
    stdout = v.stdout,
    regex = p.regex,
    pattern = p.pattern,
    hash = v.hash,
    reference = reference,
    rtol = v.rtol or 0.0,
    atol = v.atol or 0.0,
    files = files_of(v.files, refs),
    ["function"] = check,
    every = v.every or false,
  }
end

function build.measure(o, refs, who)
  who = who or "measure"
  local objective = o.metrics and o.metrics[o.objective]
  return {
    command = command_of(o, refs),
    runs = o.runs,
    precision = o.precision,
    min_runs = o.min_runs,
    max_runs = o.max_runs,
    max_time = o.max_time,
    warmup = o.warmup,
    metrics = metrics_of(o, who),
    objective = o.objective,
    better = o.better or objective and objective.better or nil,
    verify = verify_of(o, refs, who),
    ok_codes = o.ok_codes,
    strict = o.strict,
    counters = o.counters,
    energy = o.energy,
    hooks = hooks_of(o, refs),
  }
end

local compared = 0

-- Each comparison of a campaign has orders of its own, the same in every run. Any reader of JSON can tell the number.
local function order_seed()
  compared = compared + 1
  return host.campaign.seed * 31 + compared & 0x1fffffffffffff
end

function build.compare(o, refs)
  local variants = {}
  for i, variant in ipairs(o.variants) do
    local own = variant.options
    variants[i] = { name = variant.name, params = own.params, spec = build.measure(own, refs, "compare: " .. variant.name) }
  end
  return {
    variants = variants,
    max_rounds = o.max_rounds,
    max_time = o.max_time,
    min_effect = o.min_effect,
    strict = o.strict,
    seed = order_seed(),
  }
end

return M
