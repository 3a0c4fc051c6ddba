-- `harness.session`: a helper process in any language, kept alive in the slot; tables both ways. Where it has an `init`,
-- one that is gone is started again with the next question.
local host, failure = ...
local options, json = host.options(), host.json

local error, ipairs, pcall, setmetatable, type = error, ipairs, pcall, setmetatable, type
local math_type, concat, remove = math.type, table.concat, table.remove
local find, format, gsub, match, sub = string.find, string.format, string.gsub, string.match, string.sub

-- Seconds an answer may take unless the task says.
local PATIENCE = 60

-- The number of the newest call: unlike any before it in this slot, also those of an `init`.
local calls = 0

local Session = { __name = "session" }
Session.__index = Session

-- An error that says in one word what happened.
local function raise(kind, message, traceback)
  local where = failure.where()
  message = where and where .. ": " .. message or message
  error(setmetatable({ kind = kind, message = message, traceback = traceback }, failure.Error), 0)
end

-- A process, after its `init`, which sees a session that is not started again: so neither can the process it is for.
-- The call may be stopped anywhere in here: the session has a process only when all is done.
local function start(self)
  self.starts = self.starts + 1
  local ask, stop, stderr = host.start_session(self.spec)
  if not ask then failure.raise("session: " .. stop) end
  if self.init then
    local inner = { name = self.name, timeout = self.timeout, starts = self.starts, ask = ask, stop = stop, read_stderr = stderr }
    local ok, problem = pcall(self.init, setmetatable(inner, Session))
    if not ok then
      stop()
      error(problem, 0)
    end
  end
  self.ask, self.stop, self.read_stderr, self.is_gone = ask, stop, stderr, false
end

-- Asks in a line of JSON and waits for the answer: a table, or its line, and the bytes that follow it. One without this `seq` is
-- to another question, and what follows it would be, too.
local function ask(self, who, line, timeout, as_text, bytes, seq)
  local limit, expected = self.timeout, nil
  if timeout ~= nil then limit, expected = options.duration(timeout) end
  if not limit then failure.raise(format("session:%s: timeout: expected %s", who, expected)) end
  if self.is_gone and self.init and not self.is_closed then start(self) end
  self.is_gone = true -- unless there is an answer: the call may be stopped meanwhile
  local answer, why, kind = self.ask(line, limit, as_text, bytes, seq)
  if answer then
    self.is_gone = false
    return answer, why
  end
  raise(kind, format("session `%s`: %s", self.name, why))
end

local function request(self, question, timeout, seq)
  local line, why = host.json_encode(question, json.Null, json.List, false)
  if not line then failure.raise("session:request: question" .. gsub(why, "^the value", "")) end
  return ask(self, "request", line, timeout, false, nil, seq)
end

--- Asks and waits for the answer.
function Session:request(question, timeout)
  failure.own(self, Session, "request")
  if type(question) ~= "table" then failure.raise("session:request: expected a table, got a " .. type(question)) end
  return request(self, question, timeout)
end

--- The same with the text of JSON, in one line each: what tables cannot say, null and an empty list, is as it was. `bytes`
--- follow the line, which says first how many. With `seq`, a number that the question has, the answer must have it, too.
function Session:exchange(line, timeout, bytes, seq)
  failure.own(self, Session, "exchange")
  if type(line) ~= "string" or find(line, "\n", 1, true) then
    failure.raise("session:exchange: expected a line of JSON, got " .. failure.a(line))
  end
  if find(line, '^%s*{%s*"bytes"%s*:') then
    failure.raise('session:exchange: the field "bytes" announces bytes where it comes first: give them as the third argument, or call it otherwise')
  end
  if seq ~= nil and math_type(seq) ~= "integer" then failure.raise("session:exchange: seq: expected a whole number, got " .. failure.a(seq)) end
  if bytes ~= nil then
    if type(bytes) ~= "string" then failure.raise("session:exchange: bytes: expected a string, got " .. failure.a(bytes)) end
    local fields = match(line, "^%s*{%s*(.*)$")
    if not fields then return failure.raise("session:exchange: bytes follow an object of JSON, got " .. failure.a(line)) end
    line = format('{"bytes":%d%s%s', #bytes, sub(fields, 1, 1) == "}" and "" or ",", fields)
  end
  return ask(self, "exchange", line, timeout, true, bytes, seq)
end

--- Calls a function of a helper that serves them: `session:call { "name", arguments ..., timeout = "5 s" }`.
function Session:call(given)
  failure.own(self, Session, "call")
  local o = options.check("session:call", given, true, "request")
  local name, args = given[1], {}
  if type(name) ~= "string" then failure.raise("session:call: expected the name of a function first, got " .. failure.a(name)) end
  for i, value in ipairs(given) do
    args[i] = value
  end
  remove(args, 1)
  calls = calls + 1
  local answer = request(self, { call = name, args = json.list(args), seq = calls }, o.timeout, calls)
  local problem = answer.error
  if not problem then return answer.value end
  local text = type(problem) == "table" and format("%s: %s", problem.type, problem.message) or failure.compact(problem)
  raise("error", format("session `%s`: %s: %s", self.name, name, text), type(problem) == "table" and problem.traceback or nil)
end

--- The end of what the process wrote to its standard error.
function Session:stderr()
  failure.own(self, Session, "stderr")
  return self.read_stderr()
end

--- Ends the process.
function Session:close()
  self.is_closed = true
  self.stop()
end
Session.__close = Session.close

function Session:__tostring() return format("session `%s`", self.name) end

return function(given)
  local o = options.check("session", given)
  if not o.cmd or #o.cmd == 0 then failure.raise "session: 'cmd' is needed: the program and its arguments" end
  local name = gsub(concat(o.cmd, " "), "%s+", " ")
  if #name > 60 then name = sub(name, 1, 57) .. "..." end
  local init = o.init
  o.init = nil
  local self = { name = name, timeout = o.timeout or PATIENCE, spec = o, init = init, starts = 0, is_gone = true }
  start(setmetatable(self, Session))
  return self
end
