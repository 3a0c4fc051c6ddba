local helper = require "helper"
assert(helper.twice(4) == 8 and require "helper" == helper)
local ok, e = pcall(require, "no.such.module")
assert(not ok and e:find("module 'no.such.module' not found", 1, true) and e:find("/no/such/module.lua'", 1, true), e)
-- On a worker, too, and its functions go there by name.
assert(await(submit(function(x) return require("helper").twice(x) end, 5)) == 10)
assert(await(submit(function(x) return helper.twice(x) end, 6)) == 12)
