-- The script of `harness serve --stdio`: requests come line by line, each is answered with a line of its own when what it
-- asks for is done. docs/python.md has the protocol.
local harness = require "harness"
---@diagnostic disable-next-line: unresolved-require (there for this script alone)
local requests = require "harness.requests"
local json = harness.json
local null = json.null

local VERSION, NODES = arg[1], math.tointeger(arg[2])
local PROTOCOL = 1
-- No limit (s): that of a task is its `timeout`.
local NO_LIMIT = 1e9

-- By the id of their request: tasks, and of those that are asked of helpers the ones that have not ended.
local tasks = {}
-- By their id: requests that have no answer yet.
local pending = {}
-- By number: pools, and those whose slots have helpers.
local pools, helpers = {}, {}
local newest

-- `answer` has the helper's own as it was written: what it has of null and empty lists stays. Bytes that came with it follow.
local function say(answer)
  local own, bytes = answer.answer, answer.bytes
  answer.answer, answer.bytes = nil, nil
  local text = json.encode(answer)
  if own then text = ('{"answer":%s,%s'):format(own, text:sub(2)) end
  if bytes then text = ('{"bytes":%d,%s\n'):format(#bytes, text:sub(2)) .. bytes end
  print(text)
end

-- The one answer of a request.
local function reply(id, answer)
  pending[id] = nil
  answer.id = id
  say(answer)
end

-- Bytes that are not text, as JSON can have them.
local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local function base64(bytes)
  local function four(a, b, c)
    local n = a:byte() << 16 | (b:byte() or 0) << 8 | (c:byte() or 0)
    local text = ""
    for shift = 18, 0, -6 do
      local i = (n >> shift & 63) + 1
      text = text .. ALPHABET:sub(i, i)
    end
    return c ~= "" and text or b ~= "" and text:sub(1, 3) .. "=" or text:sub(1, 2) .. "=="
  end
  return (bytes:gsub("(.)(.?)(.?)", four))
end

-- A record as JSON has it.
local function told(value)
  if type(value) == "string" and not utf8.len(value) then return { base64 = base64(value) } end
  if type(value) == "number" and (value ~= value or value == math.huge or value == -math.huge) then return null end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, item in next, value do
    if type(item) ~= "function" and type(item) ~= "userdata" then copy[key] = told(item) end
  end
  return copy
end

-- What a request says, as Lua has it: null is nothing (and nowhere in a list), { task = id } the task of that request. Of what
-- a helper is asked null and empty lists stay what they are.
local function meant(value, for_helper)
  if type(value) ~= "table" or for_helper and getmetatable(value) then return value end
  if value.task ~= nil and next(value, next(value)) == nil then
    return tasks[value.task] or error("there is no task of the request " .. tostring(value.task), 0)
  end
  local copy = {}
  for key, item in pairs(value) do
    if for_helper or item ~= null then
      copy[key] = meant(item, for_helper)
    elseif math.type(key) == "integer" then
      error(string.format("null is at place %d of a list: leave it out, or say what belongs there", key), 0)
    end
  end
  return copy
end

-- In a slot: its helper is started with the first question, and again when it is gone.
local function start(state)
  local spec = state.session
  state.helper = harness.session {
    cmd = spec.cmd,
    env = spec.env,
    cwd = spec.cwd,
    stderr = "shown",
    timeout = NO_LIMIT,
    init = function(session)
      if not spec.setup then return end
      local ok, answer, bytes = pcall(session.request, session, spec.setup)
      if ok and answer.error == nil then return end
      local reason = not ok and answer.message or type(answer.error) == "string" and answer.error or "its answer is an error"
      state.failed = { status = "setup_failed", reason = reason, answer = ok and json.encode(answer) or nil, bytes = bytes }
      error("setup failed", 0)
    end,
  }
end

local function ask(question, behind)
  local state = harness.worker.state
  local seq = math.type(question.seq) == "integer" and question.seq or nil
  local ok, answer, bytes = pcall(function()
    if not state.helper then start(state) end
    return state.helper:exchange(json.encode(question), nil, behind, seq)
  end)
  local failed = state.failed
  state.failed = nil
  if not ok and not failed then
    local is_error = type(answer) == "table"
    local status = is_error and answer.kind or state.helper and "error" or "setup_failed"
    failed = { status = status, reason = is_error and answer.message or tostring(answer) }
  end
  local given = failed or { status = "ok", answer = answer, bytes = bytes }
  given.host = harness.worker.host
  return given
end

-- Errors name lines of this script, which the asker has not; and the session is always the same.
local function reason_of(problem)
  local text = tostring(type(problem) == "table" and problem.message or problem)
  return (text:gsub("^serve%.lua:%d+: ", ""):gsub("^session `[^`]*`: ", ""):gsub(" at serve%.lua:%d+", ""))
end

local function answer_of(f, is_question)
  ---@type boolean, any
  local ok, result = pcall(await, f)
  if not ok then return { status = result.kind or "error", reason = reason_of(result), host = result.host } end
  if not is_question then return told(result) end
  if result.reason then result.reason = reason_of(result.reason) end
  return result
end

local function list_of(ids)
  local list, names = {}, {}
  for _, id in ipairs(ids) do
    if tasks[id] then
      list[#list + 1] = tasks[id]
      names[tasks[id]] = id
    end
  end
  return list, names
end

local does = {}

function does.spawn(_, request)
  local options, session = meant(request.options or {}), request.session and meant(request.session)
  if session then
    options.init = function(worker) worker.state.session = session end
  end
  local pool = spawn(options)
  newest, pools[pool.id], helpers[pool.id] = pool, pool, session ~= nil
  local workers = {}
  for i, worker in ipairs(pool.workers) do
    workers[i] = told(worker)
  end
  return { status = "ok", pool = pool.id, workers = json.list(workers) }
end

local KINDS = { "ask", "exec", "compile", "measure", "compare" }
---@type table<string, fun(options: any): any>
local make = { exec = exec, compile = compile, measure = measure, compare = compare }

local function kind_of(request)
  ---@type string?
  local found
  for _, kind in ipairs(KINDS) do
    if request[kind] ~= nil then
      if found then error(("give one of '%s' and '%s'"):format(found, kind), 0) end
      found = kind
    end
  end
  return found or error("what is to be done is missing: one of " .. table.concat(KINDS, ", "), 0)
end

function does.submit(id, request, bytes)
  local kind = kind_of(request)
  local is_question = kind == "ask"
  if request.bytes ~= nil and not bytes then error("'bytes' has to be the first field, and a number of bytes follow the line", 0) end
  if is_question and type(request.ask) == "table" and request.ask.bytes ~= nil then
    error("'ask' cannot have a field 'bytes', which says how many follow the question: put them behind the request", 0)
  end
  if bytes and not is_question then error("'bytes' go with 'ask'", 0) end
  local pool = newest
  if request.pool ~= nil then pool = pools[request.pool] or error("there is no pool " .. tostring(request.pool), 0) end
  if type(request[kind]) ~= "table" then error(("'%s': expected an object"):format(kind), 0) end
  local f
  if is_question then
    if not pool or not helpers[pool.id] then error("nobody can be asked: `spawn` a pool with a `session` first", 0) end
    local question = meant(request.ask, true)
    if request.options == nil then
      f = pool:submit(ask, question, bytes)
    else
      local options = meant(request.options)
      options[1], options[2], options[3] = ask, question, bytes
      f = pool:submit(call(options))
    end
  else
    if request.options ~= nil then error(("'options' go with 'ask'; those of '%s' are in it"):format(kind), 0) end
    local task = make[kind](meant(request[kind]))
    f = pool and pool:submit(task) or submit(task)
  end
  tasks[id] = f
  f:on_done(function()
    if is_question then tasks[id] = nil end
    reply(id, answer_of(f, is_question))
  end)
end

-- In a flow of its own.
does["await"] = function(_, request)
  local list, names = list_of(request.tasks or {})
  local _, pending = wait(list, { count = request.count, timeout = request.timeout })
  local left = {}
  for i, f in ipairs(pending) do
    left[i] = names[f]
  end
  return { status = "ok", pending = json.list(left) }
end

function does.cancel(_, request)
  for _, f in ipairs((list_of(request.tasks or {}))) do
    f:cancel()
  end
  return { status = "ok" }
end

---@type table<string, table<string, boolean>>
local FIELDS = {
  spawn = { options = true, session = true },
  submit = { ask = true, exec = true, compile = true, measure = true, compare = true, options = true, pool = true, bytes = true },
  ["await"] = { tasks = true, count = true, timeout = true },
  cancel = { tasks = true },
}

local function check(request)
  local fields = FIELDS[request["do"]]
  if not fields then error("'do': expected spawn, submit, await or cancel", 0) end
  for key in pairs(request) do
    if key ~= "id" and key ~= "do" and not fields[key] then error(("'%s' has no field '%s'"):format(request["do"], key), 0) end
  end
end

-- A task has its answer when it ends.
local function go_about(id, request, bytes)
  local ok, answer = pcall(function()
    check(request)
    return does[request["do"]](id, request, bytes)
  end)
  if not ok then answer = { status = "bad_request", reason = reason_of(answer) } end
  if answer then reply(id, answer) end
end

local function handle(line)
  local bytes
  local cut = line:find("\n", 1, true)
  if cut then
    line, bytes = line:sub(1, cut), line:sub(cut + 1)
  end
  local request, why = json.decode(line)
  if type(request) ~= "table" then return say { id = requests.id_of(line) or null, status = "bad_request", reason = why or "expected an object" } end
  local id = request.id
  if type(id) ~= "string" and math.type(id) ~= "integer" then
    return say { id = null, status = "bad_request", reason = "'id': expected a string or a whole number" }
  end
  if pending[id] or tasks[id] and request["do"] == "submit" then
    local reason = "this id is that of another request, whose answer is another one: give each its own"
    return say { id = id, status = "bad_request", duplicate = true, reason = reason }
  end
  pending[id] = true
  for key, value in pairs(request) do
    if value == null then request[key] = nil end
  end
  if request["do"] == "await" then
    go(go_about, id, request) -- others are not to wait for it
  else
    go_about(id, request, bytes)
  end
end

say { harness = VERSION, protocol = PROTOCOL, nodes = NODES }
for line in requests.next do
  if line:find "%S" then handle(line) end
end
os.exit(0)
