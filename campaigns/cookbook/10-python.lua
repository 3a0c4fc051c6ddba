-- Python proposes, harness measures: a search whose model lives in a Python process.
--
--   harness campaigns/cookbook/10-python.lua
--
-- The process is started once, in the slot, and keeps its state. Its standard library is enough; what you import has to be
-- there on the node. What it raises is raised here, with its traceback.
local harness = require "harness"
local model = [[
from harness.session import serve

class Search:  # steps to the better side, and half as far when neither is
    def __init__(self):
        self.x, self.step, self.told = 64, 32, {}
    def ask(self):
        for x in (self.x, self.x - self.step, self.x + self.step):
            if x not in self.told:
                return x
        better = min((self.told[x], x) for x in (self.x - self.step, self.x, self.x + self.step))[1]
        if better == self.x:
            self.step //= 2
        self.x = better
        return self.ask() if self.step else None
    def tell(self, x, y):
        self.told[x] = y

serve(Search())
]]
local pool <close> = spawn {
  slots = 1,
  init = function(worker) worker.state.model = harness.session { cmd = { "python3", "-c", model } } end,
}
local function ask(question) return harness.worker.state.model:call(question) end

local asked, x = 0, await(submit(ask, { "ask" }))
while x do
  -- Yours: a program whose figure depends on x. This one says how far x is from 37.
  local m = await(submit(measure {
    name = "cost",
    params = { x = x },
    shell = ("echo cost: $(( (%d - 37) * (%d - 37) ))"):format(x, x),
    metrics = { cost = "cost: (%d+)" },
    objective = "cost",
    runs = 3,
  }))
  await(submit(ask, { "tell", x, m.ok and m.stats.median or 1e9 })) -- a failure is a bad figure to the search alone
  asked, x = asked + 1, await(submit(ask, { "ask" }))
end
print(("%d measurements; %s"):format(asked, assert(harness.results({ name = "cost" }):min "cost", "nothing ran").summary))
