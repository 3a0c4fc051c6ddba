-- All option tables of the library, in one place: which keys there are, what their values must be (types.lua), and
-- what is wrong with what was given, said at the author's line.
local host, lib = ...
local failure, t = lib.failure, lib.types

local M = {}

local shown = failure.a
local mathtype = math.type
local strings = t.list(t.text, "strings")

-- More on one node is a slip of the keyboard: of workers (allocation/plan.rs says so too, where they follow from
-- `workers`) and of slots of each.
local MOST_PER_NODE, MOST_SLOTS = 1024, 4096
-- GPUs of a node, as in src/model/gpus.rs.
local MOST_GPUS = 64
local MOST_FAULTS = 1000
-- With fewer descriptors hardly a program starts.
local LEAST_OPEN_FILES = 8
-- Calls of `map` at a time.
local MOST_IN_FLIGHT = 1000000

local TASK = {
  name = t.name,
  params = t.params,
  key = t.name,
  cores = t.whole(1),
  gpus = t.whole(0),
  needs = t.map(t.whole(1), "a table of names and amounts: { license = 1 }"),
  host = t.text,
  not_on = t.text,
  group = t.name,
  exclusive = t.one_of("node", false),
  priority = t.integer,
  timeout = t.time_limit,
  retries = t.whole(0),
  accept_failed = t.boolean,
}

-- Which cores a program is kept on.
local PINNED = { numa = t.one_of "local", smt = t.boolean }

-- What is timed may have a part of its node to itself, with others like it beside it.
local SIDE = { exclusive = t.one_of("node", "socket", "cores", false) }

-- MPI applications: how ranks are started, which variants of a comparison may do each in its own way.
local RANKS = {
  ranks = t.whole(1),
  ranks_per_node = t.whole(1),
  launcher = t.launcher,
  launcher_args = t.list(t.text, "strings"),
}

-- What each process of a task may take: of all that start programs.
local limits = t.nested "limits"

local COMMAND = { cmd = t.command, shell = t.shell, env = t.environment, cwd = t.text, stdin = t.bytes, limits = limits }

local function with(...)
  local all = {}
  for _, part in ipairs { ... } do
    for key, kind in pairs(part) do
      all[key] = kind
    end
  end
  return all
end

local LAUNCH = with(RANKS, { nodes = t.whole(1), gpus_per_rank = t.whole(1) })

-- What is run and what makes a run count: of a measurement, and of each variant of a comparison.
local TIMED = with(COMMAND, {
  warmup = t.whole(0),
  metrics = t.map(t.metric, "a table of names and patterns"),
  verify = t.nested "verify",
  inputs = strings,
  ok_codes = t.exit_codes,
  setup = t.hook,
  prepare = t.hook,
  conclude = t.hook,
  cleanup = t.hook,
})

-- A source tree that is built by its own tool: recipes.
local TREE = {
  dir = t.text,
  output = t.text,
  flags = strings,
  except = strings,
  tools = strings,
  inputs = strings,
  env = t.environment,
  cache = t.boolean,
  limits = limits,
}

local VARIANT = with(TIMED, RANKS, { params = t.params })

-- A program that is spoken to in lines.
local PROGRAM = {
  cmd = t.list(t.without_zero(t.name), "strings and numbers"),
  env = t.environment,
  cwd = t.text,
  timeout = t.duration,
  stderr = t.one_of("kept", "shown"),
}

--- What counts where nothing is said of it, as in src/model/task.rs.
M.UNSAID = { min_runs = 10, max_runs = 100, max_rounds = 60, min_effect = 0.01 }

M.TASK, M.LAUNCH, M.VARIANT = TASK, LAUNCH, VARIANT
local TASKS = { call = true, exec = true, compile = true, measure = true, compare = true }
local SCHEMA = {
  call = with(TASK, { fresh = t.boolean, nodes = t.whole(1) }),
  exec = with(TASK, COMMAND, PINNED, LAUNCH, {
    stdout = t.text,
    stderr = t.text,
    inputs = strings,
    outputs = strings,
    ok_codes = t.exit_codes,
  }),
  compile = with(TASK, {
    sources = strings,
    cmd = t.command,
    compiler = t.text,
    flags = t.list(t.without_zero(t.bytes), "strings"),
    defines = t.map(t.name, "a table of names and values"),
    includes = strings,
    libs = strings,
    inputs = strings,
    output = t.text,
    outputs = strings,
    cache = t.boolean,
    env = t.environment,
    tools = strings,
    limits = limits,
  }),
  make = with(TASK, TREE, { vars = t.map(t.name, "a table of names and values"), target = t.text }),
  cmake = with(TASK, TREE, {
    defines = t.map(t.either(t.name, t.boolean), "a table of names and values"),
    build_type = t.text,
    generator = t.text,
    target = t.text,
  }),
  cargo = with(TASK, TREE, { profile = t.text, features = strings }),
  measure = with(TASK, TIMED, PINNED, LAUNCH, SIDE, {
    strict = t.boolean,
    counters = t.events,
    energy = t.boolean,
    runs = t.whole(1),
    precision = t.number(0),
    min_runs = t.whole(1),
    max_runs = t.whole(1),
    max_time = t.time_limit,
    objective = t.unicode,
    better = t.better,
  }),
  compare = with(TASK, TIMED, PINNED, LAUNCH, SIDE, {
    strict = t.boolean,
    counters = t.events,
    energy = t.boolean,
    base = t.nested "variant",
    blocks = t.either(t.whole(1), t.one_of "all"),
    max_rounds = t.whole(1),
    max_time = t.time_limit,
    min_effect = t.number(0),
    objective = t.unicode,
    better = t.better,
  }),
  variant = VARIANT,
  metric = { [1] = t.pattern(1), json = t.text, csv = t.text, fn = t.function_of "the run", unit = t.unicode, better = t.better },
  verify = {
    exit_code = t.exit_code,
    stdout = t.bytes,
    pattern = t.pattern(0),
    hash = t.hash,
    reference = t.reference,
    rtol = t.number(0),
    atol = t.number(0),
    files = t.map(t.file, "a table of paths and references"),
    fn = t.function_of "the run",
    every = t.boolean,
  },
  limits = {
    memory = t.size(2 ^ 20),
    cpu_time = t.cpu_time,
    processes = t.whole(1),
    file_size = t.size(0),
    open_files = t.whole(LEAST_OPEN_FILES),
  },
  file = { reference = t.text, rtol = t.number(0), atol = t.number(0) },
  spawn = {
    workers = t.either(t.whole(1), t.one_of "auto"),
    per_node = t.whole(1, MOST_PER_NODE),
    slots = t.either(t.whole(1, MOST_SLOTS), t.one_of "cores"),
    gpus = t.whole(0, MOST_GPUS),
    resources = t.map(t.whole(0), "a table of names and amounts: { license = 2 }"),
    hosts = t.some(t.text, "host names"),
    start = t.one_of("auto", "local", "spawn", "static", "srun", "ssh"),
    root_node = t.one_of("auto", "measure", "spare"),
    placement = t.one_of("strict", "warn"),
    quarantine = t.either(t.whole(1, MOST_FAULTS), t.one_of(false)),
    env = t.environment,
    cwd = t.text,
    init = t.function_of "the worker",
    init_timeout = t.duration,
    memory = t.size(2 ^ 20),
  },
  grow = {
    workers = t.whole(1),
    per_node = t.whole(1, MOST_PER_NODE),
    hosts = t.some(t.text, "host names"),
    job = t.either(t.text, t.whole(1)),
  },
  session = with(PROGRAM, { init = t.function_of "the session" }),
  request = { timeout = t.duration },
  time = { min_time = t.time_limit, samples = t.whole(1) },
  wait = { count = t.either(t.whole(1), t.one_of "all"), timeout = t.duration },
  map = { in_flight = t.whole(1, MOST_IN_FLIGHT), ordered = t.boolean, timeout = t.duration },
  budget = { trials = t.whole(0), measurements = t.whole(0), seconds = t.duration, node_hours = t.number(0) },
  results = {
    name = t.name,
    status = t.status,
    where = function(value)
      if lib.flow.callable(value) then return value end
      return nil, "a function of a record"
    end,
  },
  csv = { rows = t.one_of("measurements", "samples") },
}

-- What a search is about; its modules say what is wrong with a space or a strategy.
local function given(value) return value end
local finite = t.number(-math.huge)
local names = t.either(t.unicode, t.list(t.unicode, "names"))
local SEARCH = {
  name = t.name,
  space = given,
  strategy = given,
  minimise = names,
  maximise = names,
  at_most = t.map(finite, "a table of names and numbers"),
  at_least = t.map(finite, "a table of names and numbers"),
  start = t.list(t.params, "points"),
}
local rate = t.number(0)
local function or_not(of)
  return function(value)
    if value == false then return false end
    return of(value)
  end
end
local FOR_SEARCH = {
  search = SEARCH,
  searchRun = with(SEARCH, {
    evaluate = t.function_of "the point and the trial",
    budget = given,
    in_flight = t.whole(1),
    pool = given,
    cutoff = t.number(1),
    baseline = t.params,
    confirm = or_not(t.nested "confirm"),
  }),
  confirm = { top = t.whole(1), timeout = t.time_limit, max_rounds = t.whole(1), max_time = t.time_limit, min_effect = t.number(0) },
  sequences = {
    name = t.name,
    actions = t.either(t.function_of "the actions before", t.plain),
    min = t.whole(0),
    max = t.whole(1),
  },
  lhs = { points = t.whole(2) },
  climb = { kick = t.whole(1) },
  annealing = { hot = t.number(1e-6), cold = t.number(1e-9), steps = t.whole(1) },
  genetic = {
    population = t.whole(2),
    crossover_rate = rate,
    mutation_rate = rate,
    tournament = t.whole(1),
    crossover = t.function_of "two points and random numbers",
    mutate = t.function_of "a point and random numbers",
  },
  evolution = { population = t.whole(4), weight = rate, crossover_rate = rate },
  bandit = { strategies = t.list(t.unicode, "names"), window = t.whole(1), exploration = rate },
  external = with(PROGRAM, { options = t.params }),
  optuna = {
    sampler = t.one_of("tpe", "cmaes", "gp", "nsga2", "nsga3", "qmc", "random"),
    settings = t.params,
    python = t.text,
    timeout = t.duration,
    stderr = PROGRAM.stderr,
  },
  mcts = { exploration = rate, widening = t.number(0.1) },
  halving = { min_budget = t.number(1e-9), max_budget = t.number(1e-9), eta = t.whole(2), candidates = t.whole(2) },
  race = { candidates = t.whole(2), min_blocks = t.whole(2), max_blocks = t.whole(2), alpha = t.number(1e-6) },
}
for kind, schema in pairs(FOR_SEARCH) do
  SCHEMA[kind] = schema
end

local function known_keys(schema)
  local keys = {}
  for key in pairs(schema) do
    if type(key) == "string" then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

-- Where the variables of a build are said, which have names in capitals.
local VARIABLES_OF = {
  make = 'vars: vars = { %s = "..." }',
  cmake = 'defines, or into env: defines = { %s = "..." }',
  cargo = 'env: env = { %s = "..." }',
  compile = 'env: env = { %s = "..." }, flags into flags, macros into defines',
}

-- " (an option of measure)": what is unknown here, and known elsewhere.
local function elsewhere(kind, key)
  if VARIABLES_OF[kind] and string.find(key, "^[A-Z][A-Z0-9_]*$") then
    return string.format(" (a variable goes into %s)", string.format(VARIABLES_OF[kind], key))
  end
  if kind == "metric" and key == "pattern" then return ' (it goes without a name: { "rate: ([%d.]+)", unit = "GB/s" })' end
  if kind == "call" and key == "limits" then return ' (what a call may take is what its slot may: spawn { memory = "2 GiB" })' end
  if kind == "compare" and (key == "rounds" or key == "runs") then return " (it ends when the verdicts are out, or after max_rounds)" end
  if not TASKS[kind] and kind ~= "variant" then return nil end
  local kinds = {}
  for _, other in ipairs(failure.sorted_keys(TASKS)) do
    if SCHEMA[other][key] then kinds[#kinds + 1] = other end
  end
  if #kinds == 0 then return nil end
  local last = table.remove(kinds)
  return string.format(" (an option of %s%s)", #kinds > 0 and table.concat(kinds, ", ") .. " and " or "", last)
end

-- What is said of a name that is no option: the one that was meant, where it belongs, or all there are.
local function unknown(kind, key)
  local known, hint = known_keys(SCHEMA[kind]), elsewhere(kind, key)
  local text = failure.unknown("option", key, known, hint)
  if hint or host.closest(key, known) then return text end
  return text .. "; there are " .. table.concat(known, ", ")
end

-- An option's value in normal form; or nil, and { path, value, expected | note } of what is wrong with it or its name.
local function check_option(kind, key, value)
  local schema = SCHEMA[kind]
  local of = schema[key]
  if of then
    local good, problem = of(value)
    if good ~= nil then return good end
    return t.below(type(key) == "string" and "." .. key or string.format("[%s]", key), value, problem)
  end
  if type(key) == "string" then return nil, { path = "", unknown = true, note = unknown(kind, key) } end
  local example = kind == "compare" and "programs have names: { base = { cmd = ... }, faster = { cmd = ... } }"
    or schema.cmd and 'a program and its arguments go into cmd: { cmd = { "./a.out", "8" } }'
    or "options have names: { name = value }"
  return nil, { path = "", unknown = true, note = string.format("there is no option [%s]; %s", shown(key), example) }
end

-- Does it stand in the table as in a list?
local function is_item(key) return mathtype(key) == "integer" and key >= 1 end

-- Normal form of a table, or nil and the problem of the first of its keys that has one. `skip_list`: items are no options.
local function check_table(kind, given, skip_list)
  local result, wrong = {}, false
  for key, value in next, given do
    if not (skip_list and is_item(key)) then
      result[key] = check_option(kind, key, value)
      wrong = result[key] == nil
      if wrong then break end
    end
  end
  if not wrong then return result end
  for _, key in ipairs(failure.sorted_keys(given)) do
    if not (skip_list and is_item(key)) then
      local good, problem = check_option(kind, key, given[key])
      if good == nil then return nil, problem end
    end
  end
end

--- The options `given` to `who` in normal form, which are those of `kind` (the same unless said); raises at the author's line.
function M.check(who, given, skip_list, kind)
  -- What has a class is something else, or the class has options that would not be seen.
  if type(given) ~= "table" or not failure.is_bare(given) then
    local hint = failure.a(given) == "a table with a metatable" and ": copy what the metatable has into the table, it is not looked for"
      or ""
    failure.raise(string.format("%s: expected a table of options, got %s%s", who, failure.a(given), hint))
  end
  -- The function and its arguments of `call{ fn, ... }` are not options.
  local good, problem = check_table(kind or who, given, skip_list)
  if good then return good end
  local path = string.gsub(problem.path, "^%.", "")
  if problem.unknown then
    failure.raise(path == "" and string.format("%s: %s", who, problem.note) or string.format("%s: %s: %s", who, path, problem.note))
  end
  if problem.note then failure.raise(string.format("%s: option '%s': %s", who, path, problem.note)) end
  local instead = problem.instead or ""
  if path == "cmd" and instead ~= "" and SCHEMA[kind or who].shell then
    instead = string.format('%s, or for a shell: shell = "%s"', instead, problem.value)
  end
  failure.raise(string.format("%s: option '%s': expected %s, got %s%s", who, path, problem.expected, shown(problem.value), instead))
end

t.check_table = check_table
M.duration, M.plain, M.number_text = t.duration, t.plain, t.number_text

--- Is there an option of this name?
function M.has(who, key) return SCHEMA[who][key] ~= nil end

--- Was one of them meant by this name?
function M.near(who, key) return host.closest(key, known_keys(SCHEMA[who])) ~= nil end

--- The names of the options of a table, for tests and documentation.
function M.names(who) return known_keys(SCHEMA[who]) end

function M.kinds() return known_keys(SCHEMA) end

return M
