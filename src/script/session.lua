-- `harness.session`: a helper process in any language, kept alive in the slot; tables both ways.
local host, failure, options = ...

-- Seconds an answer may take unless the task says.
local PATIENCE = 60

local Session = { __name = "session" }
Session.__index = Session

--- Asks and waits for the answer.
function Session:request(question, timeout)
  if type(question) ~= "table" then failure.raise("session:request: expected a table, got a " .. type(question)) end
  local good, problem = options.plain(question)
  if good == nil then
    local place, what = "", problem
    if type(problem) == "table" then place, what = problem.path, problem.note or "expected " .. problem.expected end
    failure.raise(("session:request: question%s: %s"):format(place, what))
  end
  local limit, expected = self.timeout, nil
  if timeout ~= nil then limit, expected = options.duration(timeout) end
  if not limit then failure.raise("session:request: timeout: expected " .. expected) end
  local answer
  answer, problem = self.ask(good, limit)
  if not answer then failure.raise(("session `%s`: %s"):format(self.name, problem)) end
  return answer
end

--- Ends the process.
function Session:close() self.stop() end
Session.__close = Session.close

function Session:__tostring() return ("session `%s`"):format(self.name) end

return function(given)
  local o = options.check("session", given)
  if not o.cmd or #o.cmd == 0 then failure.raise "session: 'cmd' is needed: the program and its arguments" end
  local ask, stop = host.start_session(o)
  if not ask then failure.raise("session: " .. stop) end
  local name = table.concat(o.cmd, " "):gsub("%s+", " ")
  if #name > 60 then name = name:sub(1, 57) .. "..." end
  return setmetatable({ name = name, timeout = o.timeout or PATIENCE, ask = ask, stop = stop }, Session)
end
