-- From option tables to tasks: `call`, `exec`, `compile`, `measure`, `compare` check what is asked, `submit` sends it.
local host, lib = ...
local failure, ends, flow, launch, options = lib.failure, lib.ends, lib.flow, lib.launch, lib.options
local results, specs = lib.results, lib.specs

local submit_call, submit_calls, future = host.submit_call, host.submit_calls, ends.future
local most_queued = host.campaign.most_queued
local getmetatable, type, unpack = getmetatable, type, table.unpack

local M = {}

-- The constructors of tasks, by function. To a worker they would go by their names, to be told there that they are for the script.
local constructors = {}
M.constructors = constructors

--- One of them is what `who` is to run on a worker.
function M.no_function(who, constructor)
  local name = constructors[constructor]
  failure.raise(string.format("%s: %s is the constructor of a task: did you mean submit(%s { ... })?", who, name, name))
end

local Task = { __name = "task" }
Task.__index = Task
function Task.__tostring(task)
  local o = task.options
  local base = o.variants and o.variants[1].options or o
  local what = o.name or base.shell or base.cmd and base.cmd[1] or o.sources and table.concat(o.sources, " ")
  return string.format(
    "%s task%s%s (not submitted)",
    task.kind,
    what and " " .. failure.quoted(tostring(what)) or "",
    o.params and " " .. failure.compact(o.params) or ""
  )
end
lib.Task = Task

local function task(kind, normal)
  return setmetatable({ kind = kind, options = normal, where = failure.described(kind, host.where()) }, Task)
end

local function complain(who, text, ...) failure.raise(who .. ": " .. string.format(text, ...)) end

local function exactly_one(who, o, first, second)
  if (o[first] == nil) == (o[second] == nil) then
    complain(who, "give either '%s' or '%s'%s", first, second, o[first] and ", not both" or "")
  end
end

local function check_command(who, o)
  exactly_one(who, o, "cmd", "shell")
  if o.cwd == "scratch" then return end
  local files = o.inputs and "inputs" or o.outputs and "outputs"
  if files then complain(who, "'%s' travel to and from a scratch folder: add cwd = \"scratch\"", files) end
end

-- Whose cores are its own among others' must be kept on them, and is placed by those alone.
local function check_side(who, o)
  local side = o.exclusive
  if side ~= "socket" and side ~= "cores" then return end
  local keys = failure.sorted_keys(options.LAUNCH)
  table.insert(keys, 1, "needs")
  if o.gpus ~= 0 then table.insert(keys, 1, "gpus") end
  for _, key in ipairs(keys) do
    if o[key] ~= nil then
      complain(who, '\'%s\' and exclusive = "%s": only what needs cores alone shares a node so; exclusive = "node" or false', key, side)
    end
  end
  if o.energy and side == "cores" then
    complain(who, '\'energy\': a package counts all its cores, and exclusive = "cores" has some of them; exclusive = "socket" or "node"')
  end
end

-- The function of a call and its arguments: Lua passes a million at the most.
local MOST_VALUES = 100000

--- A call of a Lua function in a slot: call{ fn, arguments..., options }.
function M.call(given)
  local o = options.check("call", given, true)
  if constructors[given[1]] then M.no_function("call", given[1]) end
  if type(given[1]) ~= "function" then complain("call", "expected call{ function, arguments... }, got a %s first", type(given[1])) end
  local n = 1
  for key in pairs(given) do
    if math.type(key) == "integer" and key > n then n = key end
  end
  if n > MOST_VALUES then complain("call", "[%d] is no argument: there are at most %d; pass a table", n, MOST_VALUES) end
  local made = task("call", o)
  made.values, made.n = given, n
  return made
end

--- One run of a program.
function M.exec(given)
  local o = options.check("exec", given)
  check_command("exec", o)
  launch.check("exec", o)
  return task("exec", o)
end

--- A build whose result is an artefact.
function M.compile(given)
  local o = options.check("compile", given)
  exactly_one("compile", o, "sources", "cmd")
  if o.sources and #o.sources == 0 then complain("compile", "'sources' is empty") end
  if o.output and o.outputs then complain("compile", "give either 'output' or 'outputs', not both") end
  if o.outputs and #o.outputs ~= 1 then complain("compile", "'outputs': a build has one artefact, got %d", #o.outputs) end
  o.output = o.output or o.outputs and o.outputs[1] or nil
  if o.cmd then
    if not o.output then complain("compile", "'output' is needed with 'cmd': the file the command leaves") end
    for _, key in ipairs { "compiler", "flags", "defines", "includes", "libs" } do
      if o[key] then complain("compile", "'%s' goes with 'sources'; put it into 'cmd'", key) end
    end
  end
  return task("compile", o)
end

local OWN_FIGURES = { "wall_s", "user_s", "sys_s", "maxrss_bytes" }

-- A file that was there before is none that a run wrote: in a scratch folder there is none.
local function check_files(who, o, files)
  local given = {}
  for _, path in ipairs(o.inputs or {}) do
    given[host.scratch_name(path)] = true
  end
  for _, path in ipairs(failure.sorted_keys(files)) do
    local name = failure.quoted(path)
    if o.cwd ~= "scratch" then complain(who, "'verify.files' are those of a scratch folder: add cwd = \"scratch\"") end
    if string.sub(path, 1, 1) == "/" or string.find("/" .. path .. "/", "/../", 1, true) then
      complain(who, "'verify.files': %s is not a path inside the scratch folder", name)
    end
    if given[path] then complain(who, "'verify.files': %s is among 'inputs'; what was there before shows nothing", name) end
  end
end

-- What of `verify` can tell a right run from a wrong one.
local TELL_RIGHT = { "exit_code", "files", "fn", "hash", "pattern", "reference", "stdout" }
local function compares(verify)
  for _, name in ipairs(TELL_RIGHT) do
    local given = verify[name]
    if given ~= nil and (name ~= "files" or next(given)) then return true end
  end
  return false
end

-- What is timed must have the figure that counts, and what is verified something to compare with.
local function check_timed(who, o)
  check_command(who, o)
  local objective, metrics = o.objective, o.metrics or {}
  if objective and not metrics[objective] then
    local known = { unpack(OWN_FIGURES) }
    for name in pairs(metrics) do
      known[#known + 1] = name
    end
    table.sort(known)
    local found = false
    for _, name in ipairs(known) do
      found = found or name == objective
    end
    if not found then
      local text = "%s; there are %s, and what 'metrics' declares: metrics = { %s = \"pattern (with the number)\" }"
      local is_name = string.find(objective, "^[%a_][%w_]*$")
      complain(
        who,
        text,
        failure.unknown("objective", objective, known),
        table.concat(known, ", "),
        is_name and objective or "[" .. failure.quoted(objective) .. "]"
      )
    end
  end
  for _, name in ipairs(OWN_FIGURES) do
    if metrics[name] then complain(who, "'metrics.%s': every run has this figure; take another name", name) end
  end
  local verify = o.verify
  if verify and (verify.rtol or verify.atol) and not verify.reference then
    complain(who, "'verify.%s' needs 'verify.reference'", verify.rtol and "rtol" or "atol")
  end
  if verify and not compares(verify) then
    complain(who, "'verify' compares nothing: give what tells a right run, %s", table.concat(TELL_RIGHT, ", "))
  end
  check_files(who, o, verify and verify.files or {})
end

--- Timed runs of a program.
function M.measure(given)
  local o = options.check("measure", given)
  check_timed("measure", o)
  check_side("measure", o)
  launch.check("measure", o)
  if o.launch and o.runs and not o.warmup then o.warmup = 0 end
  if o.runs then
    for _, key in ipairs { "precision", "min_runs", "max_runs" } do
      if o[key] then complain("measure", "'runs' fixes the number of samples; '%s' would decide it", key) end
    end
    if o.max_time then complain("measure", "'runs' fixes the number of samples; 'max_time' ends none of them: 'timeout' ends all") end
  end
  if o.precision and not (o.precision > 0 and o.precision < 1) then
    complain("measure", "'precision' is a part of the median between 0 and 1 (0.02 is 2 %%), got %s", tostring(o.precision))
  end
  local least, most = o.min_runs or options.UNSAID.min_runs, o.max_runs or options.UNSAID.max_runs
  if least > most then complain("measure", "'min_runs' (%d) is above 'max_runs' (%d)", least, most) end
  local made = task("measure", o)
  made.given = given -- what a comparison of it would be given
  return made
end

-- A variant without a command may have been meant as the table of all of them.
local function refuse_inner(name, variant)
  for inner, value in pairs(variant) do
    if type(value) == "table" and failure.is_bare(value) and (value.cmd or value.shell) then
      local where = "'%s' holds variants: each stands in the table of compare itself, %s = { cmd = { ... } }"
      complain("compare", where, name, type(inner) == "string" and inner or "faster")
    end
  end
end

-- The options of a comparison and its variants: every table under a name that is no option is one.
local function variants_of(given)
  local common, variants, names = {}, {}, {}
  for key, value in pairs(given) do
    local is_plain = type(value) == "table" and failure.is_bare(value)
    local has_command = is_plain and (value.cmd or value.shell) ~= nil
    local is_option = key ~= "base" and (options.has("compare", key) or not has_command and options.has("measure", key))
    if is_option and has_command then complain("compare", "'%s' is an option: give the variant another name", key) end
    if type(key) == "string" and is_plain and not is_option and (has_command or key == "base" or not options.near("compare", key)) then
      if not utf8.len(key) then complain("compare", "a name is not text in UTF-8: %s", failure.a(key)) end
      if not has_command then refuse_inner(key, value) end
      variants[key] = value
      if key ~= "base" then names[#names + 1] = key end
    else
      common[key] = value
    end
  end
  table.sort(names)
  return common, variants, names
end

-- One of these decides the others.
local ALTERNATIVES = { { "cmd", "shell" }, { "ranks", "ranks_per_node" } }

-- What is said of all counts for a variant that says nothing else.
local function inherit(own, all)
  local said = { params = true } -- those of the comparison are not its variants'
  for key in pairs(own) do
    said[key] = true
  end
  for _, keys in ipairs(ALTERNATIVES) do
    local one = own[keys[1]] or own[keys[2]]
    for _, key in ipairs(keys) do
      said[key] = said[key] or one
    end
  end
  for key in pairs(options.VARIANT) do
    if not said[key] then own[key] = all[key] end
  end
  for _, key in ipairs { "objective", "better", "counters", "energy", "exclusive" } do
    own[key] = all[key]
  end
end

--- Programs in turns on the same nodes: compare{ base = { cmd = ... }, NAME = { cmd = ... }, options... }.
function M.compare(given)
  if type(given) ~= "table" or not failure.is_bare(given) then
    complain("compare", "expected a table of options, got %s", failure.a(given))
  end
  local common, variants, names = variants_of(given)
  local o = options.check("compare", common)
  check_side("compare", o)
  if not variants.base then
    local near = host.closest("base", names)
    local hint = near and string.format(" (is it '%s'?)", near) or ""
    complain("compare", "'base' is missing%s: what the others are compared with, base = { cmd = { ... } }", hint)
  end
  if #names == 0 then complain("compare", "give what is compared with 'base' under a name of its own: faster = { cmd = { ... } }") end
  if o.min_effect and not (o.min_effect > 0 and o.min_effect < 1) then
    local text = "'min_effect' is the least difference that matters, a part between 0 and 1 (0.01 is 1 %%), got %s"
    complain("compare", text, tostring(o.min_effect))
  end
  for _, key in ipairs { "host", "not_on", "group", "key" } do
    if o.blocks and o[key] then complain("compare", "'%s' and 'blocks': which nodes is what 'blocks' says", key) end
  end
  table.insert(names, 1, "base")
  o.variants = {}
  for i, name in ipairs(names) do
    local who = "compare: " .. name
    local own = options.check(who, variants[name], false, "variant")
    inherit(own, o)
    check_timed(who, own)
    check_side(who, own)
    o.variants[i] = { name = name, options = own }
  end
  launch.check_variants("compare", o)
  return task("compare", o)
end

for _, name in ipairs { "call", "exec", "compile", "measure", "compare" } do
  constructors[M[name]] = name
end

-- The record of a task comes after what the script kept when it submitted it.
local function keep_states(is_recorded)
  local problem = flow.keep_states(is_recorded)
  if problem then failure.raise(problem) end
end

-- The options every task takes, as the scheduler wants them.
local function common(kind, o)
  local c = {}
  for key, value in next, o do
    if options.TASK[key] then c[key] = value end
  end
  if o.gpus == 0 then c.gpus = nil end
  c.fresh, c.search = o.fresh, o.search
  c.nodes = o.nodes
  c.numa_local, c.smt = o.numa == "local", o.smt
  if o.exclusive == false then
    c.exclusive = "no"
  elseif not o.exclusive and (kind == "measure" or kind == "compare" or kind == "call" and o.nodes) then
    c.exclusive = "node"
  end
  return c
end

-- The record of a measurement is kept, and its references are told that this one needs them no more.
local function watch(f, kind, o, runs)
  if kind == "measure" then results.asked(o) end
  runs = runs or {}
  for _, run in ipairs(runs) do
    run.wanted = run.wanted + 1
  end
  local function ended(record)
    if kind == "measure" then results.add(record) end
    for _, run in ipairs(runs) do
      specs.let_go(run)
    end
  end
  if f.ended then
    ended(f.outcome)
  else
    f.on_record = ended
  end
end

-- The options with the pool's folder, where it has one and the task names none. Builds are always in scratch.
local in_folder_of
function in_folder_of(pool, kind, o)
  local cwd = lib.pools.cwd[pool]
  if not cwd or o.cwd or kind == "compile" then return o end
  local copy = { cwd = cwd }
  for key, value in pairs(o) do
    copy[key] = value
  end
  for i, variant in ipairs(o.variants or {}) do
    copy.variants = i == 1 and {} or copy.variants
    copy.variants[i] = { name = variant.name, options = in_folder_of(pool, kind, variant.options) }
  end
  return copy
end

-- Why what depends on it cannot run, in the words of what was submitted before it ended.
local function unmet(culprit, role)
  local what, value = role or "what it depends on", culprit.outcome
  if culprit.id then what = string.format(role and "its reference, task %d," or "task %d, which it depends on,", culprit.id) end
  local why = type(value) == "table" and (rawget(value, "reason") or rawget(value, "message"))
  -- Of a chain the first that failed is named, and the last, as in src/root/settle.rs.
  if type(why) == "string" and culprit:status() == "skipped" then why = string.match(why, ", ended skipped: (.*)") or why end
  return string.format("%s ended %s%s", what, culprit:status(), type(why) == "string" and ": " .. why or "")
end

--- Sends an exec, a compile, a measure or a compare whose options are in normal form.
function M.submit_task(kind, o, pool, deferred)
  keep_states(kind ~= "exec" or o.key ~= nil)
  pool = pool or lib.newest_pool
  o = in_folder_of(pool, kind, o)
  local who = o.recipe or kind
  lib.pools.check_needs(who, o, pool)
  local refs = specs.references(o)
  local spec = specs.build[kind](o, refs)
  local label = (o.name or o.params) and { name = o.name, params = o.params } or nil
  local f
  if refs.culprit then
    f = ends.ended(kind, host.record(kind, "skipped", unmet(refs.culprit, refs.role), label, common(kind, o)))
    rawset(f.outcome, "cause", refs.culprit.outcome)
  elseif refs.problem then
    f = ends.ended(kind, host.record(kind, "setup_failed", refs.problem, label, common(kind, o)))
  else
    local id, problem = host.submit(kind, common(kind, o), spec, refs, pool, deferred or false)
    if not id then complain(who, "%s", problem) end
    f = future(id, kind, refs.deps, deferred)
    ends.weigh(id, host.weight())
    f.label = label
  end
  if kind == "measure" or kind == "compare" then watch(f, kind, o, refs.runs) end
  return f
end

-- The first failed future that a call would carry, where the encoder looks: in tables and upvalues.
local function failed_among(values)
  local todo, seen = { values }, {}
  local function look_at(value)
    local kind = type(value)
    if (kind == "table" or kind == "function") and not seen[value] then
      seen[value] = true
      todo[#todo + 1] = value
    end
  end
  while #todo > 0 do
    local value = table.remove(todo)
    if getmetatable(value) == ends.Future then
      if value.ended and not value.well then return value end
      if value.ended then look_at(value.outcome) end
    elseif type(value) == "table" then
      for key, item in next, value do
        look_at(key)
        look_at(item)
      end
    else
      for i = 1, 255 do
        local name, item = debug.getupvalue(value, i)
        if not name then break end
        if name ~= "_ENV" then look_at(item) end
      end
    end
  end
end

local send

-- The encoder refused: because of a failed future the call is skipped (or gets its record), else it is an
-- error of the author.
local function refused(why, o, pool, ...)
  local culprit = string.find(why, "failed task's future", 1, true) and failed_among { ... }
  if not culprit or o and o.accept_failed and culprit.kind == "compile" then failure.raise("submit: " .. why .. failure.remedy(why)) end
  ends.asked(culprit)
  if o and o.accept_failed then
    culprit.well = true
    local sent, f = pcall(send, o, pool, ...)
    culprit.well = false
    if not sent then error(f, 0) end
    return f
  end
  return ends.ended("call", { kind = "skipped", message = unmet(culprit), cause = culprit.outcome })
end

local function sent(id, more, o, pool, ...)
  if not id then return refused(more, o, pool, ...) end
  local f = future(id, nil, more and host.dependencies())
  if more then ends.weigh(id, host.weight()) end
  return f
end

function send(o, pool, ...)
  if o then
    lib.pools.check_needs("call", o, pool or lib.newest_pool)
    if o.key then keep_states(true) end
    if next(o) ~= nil then
      local good, problem = host.prepare(o)
      if not good then complain("call", "%s", problem) end
    end
  end
  local id, more = submit_call(pool or lib.newest_pool, ...)
  return sent(id, more, o, pool, ...)
end

--- A call of a function with options in normal form, and these arguments.
function M.submit_with(o, ...)
  if ends.pending >= most_queued then flow.await_room() end
  return send(o, nil, ...)
end

--- Sends a task, or a call of a function with these arguments; gives its future.
function M.submit(what, ...)
  if constructors[what] then M.no_function("submit", what) end
  if ends.pending >= most_queued then flow.await_room() end
  local id, more = submit_call(lib.newest_pool, what, ...)
  if id and not more then return future(id) end -- every other way is rare
  if id == false then return M.submit_to(false, what, ...) end
  return sent(id, more, nil, false, what, ...)
end

--- Sends calls of `fn` with `items[first]` to `items[last]` as one task; gives its future and the place of the last that went. It ends in
-- the seconds they took, and in `well`, the first value of each that has run. nil: the first one goes alone. `number`: that of the first,
-- if it has one already; `o`: options of each, nil if there are none.
function M.submit_together(fn, items, first, last, number, o)
  if ends.pending >= most_queued then flow.await_room() end
  if o then host.prepare(o) end
  local id, went = submit_calls(lib.newest_pool, fn, items, first, last, number)
  if not id then return nil end
  local f = future(id)
  ends.weigh(id, host.weight())
  return f, went
end

function M.submit_to(pool, what, ...)
  if constructors[what] then M.no_function("submit", what) end
  if ends.pending >= most_queued then flow.await_room() end
  if type(what) == "function" then return send(nil, pool, what, ...) end
  if getmetatable(what) == ends.Future then failure.raise "submit: this is a future, so it was submitted: await(future)" end
  if getmetatable(what) ~= Task then
    local hint = type(what) == "table" and failure.is_bare(what) and " (submit(exec{...}), submit(measure{...}), ...)" or ""
    failure.raise(string.format("submit: expected a function or a task, got a %s%s", type(what), hint))
  end
  failure.is_submitted(what)
  if select("#", ...) > 0 then failure.raise("submit: a task takes no further arguments; only a function does") end
  if what.options.blocks then return lib.blocks.submit(what.options, pool) end
  if what.kind ~= "call" then return M.submit_task(what.kind, what.options, pool) end
  return send(common("call", what.options), pool, unpack(what.values, 1, what.n))
end

return M
