-- What cannot travel is an error at `submit`, of each kind, with the variable, its function and the path.
local harness = require "harness"
local function says(text, fn, ...)
  local ok, e = pcall(submit, fn, ...)
  assert(not ok, "it was shipped: " .. text)
  assert(e:find("^unshippable%.lua:4: submit: cannot ship "), e)
  assert(e:find("cannot ship " .. text .. "; " .. (text:find "harness's own" and "of a task pass the future (submit it first)" or "pass the values"), 1, true), e)
end

local handle = io.tmpfile()
local thread = coroutine.create(print)
local iterator = ("a"):gmatch "."
local deep = { ["a b"] = { 1, 2, { handle = handle } } }
local object = setmetatable({}, { __index = function() return handle end })
local function inner() return handle end
shared = { handle }

says("upvalue `handle` (userdata) of function at unshippable.lua:18; path: arg 1", function() return handle end)
says("upvalue `thread` (coroutine) of function at unshippable.lua:19; path: arg 1", function() return thread end)
says("upvalue `iterator` (C function) of function at unshippable.lua:20; path: arg 1", function() return iterator end)
says('a userdata inside upvalue `deep` of function at unshippable.lua:21; path: arg 1 -> upvalue `deep`["a b"][3].handle', function()
  return deep
end)
says("upvalue `handle` (userdata) of function at unshippable.lua:14; path: arg 1 -> upvalue `object` -> metatable.__index", function()
  return object
end)
says("upvalue `handle` (userdata) of function at unshippable.lua:15; path: arg 1 -> upvalue `inner`", function() return inner() end)
says("a userdata inside global `shared` read by function at unshippable.lua:28; path: global `shared`[1]", function() return shared end)
says('a userdata; path: arg 3["a b"][3].handle', print, 1, deep)
says("a coroutine; path: arg 2 (as a key)", print, { [thread] = 1 })

-- Of what is harness's own the author is told no more than that.
local budget = harness.budget { trials = 3 }
local wrapped = coroutine.wrap(print)
local random = harness.random "x"
local tasks = { exec { cmd = { "true" } } }
submit(tasks[1])
says("upvalue `budget` (value of harness's own) of function at unshippable.lua:38; path: arg 1", function() return budget end)
says("upvalue `wrapped` (value of harness's own) of function at unshippable.lua:39; path: arg 1", function() return wrapped end)
says("upvalue `random` (value of harness's own) of function at unshippable.lua:40; path: arg 1", function() return random end)
says("a value of harness's own inside upvalue `tasks` of function at unshippable.lua:41; path: arg 1 -> upvalue `tasks`[1]", function()
  return tasks
end)
says("a value of harness's own; path: arg 2", print, budget)
