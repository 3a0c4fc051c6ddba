-- The other side of a search that a program decides: what is said to it, in lines of JSON, and what it answers.
--
-- The program is a session in a slot of a pool of its own, on the root's node. Its answers are in the journal: as long as all
-- that was said before is the same, a second run has them from there. The first question that is new starts the
-- program, which then hears everything from the beginning and has to answer as before. Knows nothing of points and trials.
local host, lib = ...
local ends, failure, flow = lib.ends, lib.failure, lib.flow

local M = {}

-- So many lines are said by one task.
local MOST_LINES = 500
-- So much of a line, and of a command, is in messages (bytes).
local SHOWN, LONGEST_NAME = 160, 57

local NOT_AS_BEFORE = "it answered %s, and %s in the run that the journal has. Let nothing decide but the seed of the first line and "
  .. 'what it is told, or have it answer that line with "deterministic": false; --fresh begins anew'

-- In the slot: says these lines. `answered`: what some of them were answered before. Gives the answers and what went wrong.
local function talk(program, lines, answered)
  local state = require("harness").worker.state
  if program then
    local ok, made = pcall(require("harness").session, program)
    if not ok then return {}, made end
    state.searcher = made
  end
  if not state.searcher then return {}, "it is gone with its slot, which somebody ended" end
  local answers = {}
  for i = 1, #lines do
    if answered[i] and state.hears_only then
      answers[i] = answered[i]
    else
      local ok, answer = pcall(state.searcher.request, state.searcher, lines[i])
      local has_left = not ok and lines[i]["do"] == "end" and string.find(answer.message, "it ended with exit code 0", 1, true)
      if not ok and not has_left then return answers, answer.message end
      answers[i] = ok and answer or {}
      if lines[i]["do"] == "hello" then state.hears_only = answers[i].deterministic == false end
    end
  end
  return answers
end

local Dialogue = {}
Dialogue.__index = Dialogue

--- With a program, as `harness.session` takes it. `name` is another one for each dialogue of a script.
function M.new(who, name, program)
  local words = string.gsub(table.concat(program.cmd, " "), "%s+", " ")
  if #words > LONGEST_NAME then words = string.sub(words, 1, LONGEST_NAME) .. "..." end
  return setmetatable({
    who = string.format("%s: `%s`", who, words),
    name = name,
    program = program,
    noted = 0, -- lines there are; `said`: so many of them were said
    said = 0,
    digest = "", -- of all of them
    lines = {}, -- those not yet said; `checks` of their answers, and what they were answered before
    checks = {},
    answers = {},
  }, Dialogue)
end

-- What a program says is shown in lines: nothing in it is for the terminal.
local function harmless(text)
  return (
    string.gsub(text, "[%c\x7f]", function(char)
      if char ~= "\n" and char ~= "\t" then return string.format("\\x%02x", string.byte(char)) end
    end)
  )
end

-- Without what a session puts before it.
local function reason(problem)
  local text = type(problem) == "table" and problem.message or tostring(problem)
  return harmless((string.gsub(text, "^session `[^`]*`: ", "")))
end

local function shown(value)
  local text = lib.json.encode(value)
  return #text <= SHOWN and text or string.sub(text, 1, SHOWN) .. "..."
end

-- Whose turn it is ends it, however: then the next one goes on.
local Turn = {
  __close = function(turn)
    local function pass() ends.finish(turn.over, true) end
    if turn.before then return ends.when_done(turn.before, pass) end
    pass()
  end,
}

local function take_turn(self)
  local turn = setmetatable({ over = ends.condition(), before = self.last }, Turn)
  self.last = turn.over
  return turn
end

-- A pool that no other task is sent to; where the root is on no node of the job, on one of those.
local function open(self)
  local spec = { workers = 1, slots = 1, aside = true, start = "local" }
  local pool, problem = host.spawn(spec)
  if not pool then
    spec.start, spec.hosts = nil, { lib.newest_pool and lib.pools.hosts(lib.newest_pool)[1] or nil }
    pool, problem = host.spawn(spec)
  end
  if not pool then failure.raise(string.format("%s: there is no place for it: %s", self.who, problem)) end
  self.pool = pool.id
end

-- One task: says the lines up to `last`, and gives what each was answered and what went wrong.
local function exchange(self, last)
  local lines, answered, places = {}, {}, {}
  for at = self.said + 1, last do
    if self.lines[at] then
      lines[#lines + 1] = self.lines[at]
      answered[#lines], places[#lines] = self.answers[at], at
    end
  end
  if #lines == 0 then return {} end
  local program = self.said == 0 and self.program
  local task = lib.tasks.call { talk, program, lines, answered, name = self.name, priority = 1000 }
  local asked <close> = lib.tasks.submit_to(self.pool, task)
  local ok, answers, problem = pcall(flow.await, asked)
  if not ok then return {}, reason(answers) end
  local found = {}
  for i, at in ipairs(places) do
    found[at] = answers[i]
  end
  return found, problem and reason(problem)
end

-- What is wrong with the answer to a line, if anything is.
local function wrong(self, at, answer)
  if answer.error ~= nil then return harmless(failure.describe(answer.error)) end
  local before = self.answers[at]
  if before and lib.json.encode(before) ~= lib.json.encode(answer) then
    return string.format(NOT_AS_BEFORE, shown(answer), shown(before))
  end
  local problem = self.checks[at](answer)
  return problem and string.format("%s: it answered %s", problem, shown(answer))
end

-- Says all lines up to this one. What went wrong once is the end of it.
local function say(self, to)
  self.problem = self.who .. ": whoever asked was cancelled; a search cannot go on after that"
  if not self.pool then open(self) end
  while self.said < to do
    local last = math.min(to, self.said + MOST_LINES)
    local answers, problem = exchange(self, last)
    for at = self.said + 1, last do
      local answer = answers[at]
      local what = answer and wrong(self, at, answer) or self.lines[at] and not answer and problem
      if what then
        self.problem = string.format("%s: line %d, %s: %s", self.who, at, shown(self.lines[at]), what)
        failure.raise(self.problem)
      end
      self.lines[at], self.checks[at], self.answers[at] = nil, nil, at == to and answer or nil
    end
    self.said = last
  end
  self.problem = nil
end

-- After those who came before; once something went wrong nobody's turn comes.
local function await_turn(self, turn)
  if turn.before then flow.await(turn.before) end
  if self.problem then failure.raise(self.problem) end
end

local function nothing() end

-- An answer counts from here on. The record of this task has its place among those of trials, so another run, which has the answer
-- without asking, goes on from it in the same order.
local function settle(self, name, digest)
  local task = lib.tasks.call { nothing, name = name, key = digest, priority = 1000 }
  local settled <close> = self.pool and lib.tasks.submit_to(self.pool, task) or lib.tasks.submit(task)
  flow.await(settled)
end

--- Says a line with the next question. `check(answer)` gives what is wrong with the answer, or nil.
function Dialogue:tell(line, check)
  self.noted = self.noted + 1
  self.lines[self.noted], self.checks[self.noted] = line, check
  self.digest = lib.random.hash(self.digest .. lib.json.encode(line))
end

--- Says a line and waits for the answer; nil if nothing is asked any more.
function Dialogue:ask(line, check)
  self:tell(line, check)
  local at, digest = self.noted, self.digest
  local name = string.format("%s, line %d", self.name, at)
  local turn <close> = take_turn(self)
  await_turn(self, turn)
  if self.is_over then
    self.lines[at], self.checks[at] = nil, nil
    return nil
  end
  local kept = not self.is_live and host.kept(name)
  local answer
  if kept and kept.after == digest then
    answer = kept.answer
    self.answers[at] = answer
  else
    self.is_live = true
    say(self, at)
    answer, self.answers[at] = self.answers[at], nil
    local ok, why = host.keep(name, { after = digest, answer = answer })
    if not ok then failure.raise(string.format("%s: line %d: %s", self.who, at, why)) end
  end
  settle(self, name, digest)
  return answer
end

--- Nothing is asked any more: the program said so.
function Dialogue:finish() self.is_over = true end

--- Ends the program; if all went well it hears the rest first. What goes wrong then is told: the search is over, and has its result.
function Dialogue:close(is_well, line, check)
  if not self.pool then return end
  if is_well and not self.problem then
    self:tell(line, check)
    local turn <close> = take_turn(self)
    if turn.before then flow.await(turn.before) end
    local ok, problem = pcall(say, self, self.noted)
    if not ok then host.stderr("harness: the search has its result; " .. failure.describe(problem)) end
  end
  host.close(self.pool)
  self.pool = nil
end

return M
