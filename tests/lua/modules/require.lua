local helper = require "helper"
assert(helper.twice(4) == 8 and require "helper" == helper)
local ok, e = pcall(require, "no.such.module")
assert(not ok and e:find("module 'no.such.module' not found", 1, true) and e:find("/no/such/module.lua'", 1, true), e)
-- A misspelt one of the library has the name that was meant, on a worker, too.
ok, e = pcall(require, "harness.sweeps")
assert(not ok and e:find("\n\tdid you mean 'harness.sweep'?\n\tno file '", 1, true), e)
ok, e = pcall(await, submit(function() return require "harness.jsn" end))
assert(not ok and tostring(e):find("\n\tdid you mean 'harness.json'?\n\ton the root, where Lua files come from:", 1, true), e)
-- What is no module, but has a name as short as theirs, is none of them misspelt.
ok, e = pcall(require, "harness.args")
assert(not ok and not e:find("did you mean", 1, true), e)
-- What no file's name can be said of is none, either; a path of other bytes leads nowhere.
local path <const> = package.path
package.path, package.loaded["\xfe"] = "/\xff/?.lua", true
for _, name in ipairs { "a\xff", "\xff", "not.there" } do
  ok, e = pcall(require, name)
  assert(not ok and e:find("^module '.*' not found:\n\t") and not e:find("convert"), e)
  ok, e = pcall(await, submit(function() return require(name) end))
  assert(not ok and tostring(e):find("module '.*' not found:\n\t") and not tostring(e):find("convert"), e)
end
package.path, package.loaded["\xfe"] = path, nil
-- A module is there on a worker, and its functions go there by name.
assert(await(submit(function(x) return require("helper").twice(x) end, 5)) == 10)
assert(await(submit(function(x) return helper.twice(x) end, 6)) == 12)
