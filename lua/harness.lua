-- What `require "harness"` gives, and the globals of every script.
local host, lib = ...
local flow, tasks, pools = lib.flow, lib.tasks, lib.pools

local globals = {
  spawn = pools.spawn,
  submit = tasks.submit,
  await = flow.await,
  go = flow.go,
  wait = lib.futures.wait,
  as_completed = lib.futures.as_completed,
  map = lib.map.map,
  call = tasks.call,
  exec = tasks.exec,
  compile = tasks.compile,
  measure = tasks.measure,
  compare = tasks.compare,
}

-- What lives in a slot: no code of others runs in the script's process.
local function in_slots(name, what)
  return function() lib.failure.raise(name .. ": " .. what .. " lives in a slot: call it in a task or in the `init` of `spawn`") end
end
local dl = { open = in_slots("harness.dl.open", "a library"), buffer = in_slots("harness.dl.buffer", "memory for a library") }
package.loaded["harness.dl"] = dl

local harness = {
  args = lib.args,
  now = host.now,
  session = in_slots("harness.session", "a session"),
  state = lib.state,
  budget = lib.budget.budget,
  walltime_left = host.walltime_left,
  results = lib.results.results,
  share = lib.share.share,
  explain = lib.futures.explain,
  random = lib.random.random,
  json = lib.json,
  fs = lib.fs,
  dl = dl,
  sweep = lib.sweep,
  search = lib["search/init"],
  recipes = lib.recipes,
  -- Classes: what is of one travels to a worker by the class's name, not with its methods.
  Error = lib.failure.Error,
  Record = lib.failure.Record,
  Results = lib.results.Results,
  Pool = pools.Pool,
  Worker = pools.Worker,
}
for name, fn in pairs(globals) do
  harness[name] = fn
  _G[name] = fn
end

-- A name that is not there raises, here and in the modules.
local function strict(module, who)
  return setmetatable(module, {
    __index = function(_, name)
      if module == harness and name == "worker" then
        lib.failure.raise("harness.worker is for tasks: it is the slot that a call runs in")
      end
      lib.failure.raise(who .. ": " .. lib.failure.unknown("name", name, lib.failure.sorted_keys(module)))
    end,
  })
end
strict(harness, "harness")
for _, name in ipairs { "sweep", "json", "fs", "recipes", "dl" } do
  strict(harness[name], "harness." .. name)
end

flow.install()
lib.coroutines.install()
return harness
