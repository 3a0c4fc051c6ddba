-- harness.json: strictly what JSON can say, here and in tasks.
local json = require "harness.json"
assert(json == require("harness").json)

assert(json.encode { b = 1, a = { 1, 2.0, "x", true, json.null } } == '{"a":[1,2.0,"x",true,null],"b":1}')
assert(json.encode {} == "{}" and json.encode(json.list {}) == "[]" and json.encode(json.list { 1 }) == "[1]")
assert(json.encode({ a = { 1 } }, true) == '{\n  "a": [\n    1\n  ]\n}')

local read = assert(json.decode ' { "a": [1, 2.5, null, "\\u00e9"], "big": 9007199254740993, "none": null } ')
assert(math.type(read.a[1]) == "integer" and read.a[2] == 2.5 and read.a[3] == json.null and #read.a == 4)
assert(read.a[4] == "\u{e9}" and read.big == 9007199254740993 and read.none == json.null)
assert(json.decode "null" == json.null and json.decode "false" == false)

for _, bad in ipairs { "", "{", "[1,]", "{'a':1}", "nan", "1 2", '"\xff"', ("["):rep(1000) } do
  local value, why = json.decode(bad)
  assert(value == nil and type(why) == "string", bad)
end

local function refuses(expected, value)
  local ok, why = pcall(json.encode, value)
  assert(not ok and why:find("json.lua:%d+: json.encode: ") and why:find(expected, 1, true), why)
end
refuses("the value is nil; json.null is JSON's null", nil)
refuses(".best[2] is inf, which JSON has no form for", { best = { 1, math.huge } })
refuses(".f is a function", { f = print })
refuses("the value is not text in UTF-8", "\xff")
refuses("the value has names or gaps beside its list", { 1, n = 2 })
refuses("the value has a key that is not text", { [1.5] = 1 })
refuses("has a metatable", setmetatable({}, { __index = {} }))
local sweep = require("harness").sweep.cross { tile = { 8, 16 } }
refuses(".points is a sweep: give the list of its points, table.move(points, 1, #points, 1, {})", { points = sweep })
assert(json.encode(table.move(sweep, 1, #sweep, 1, {})) == '[{"tile":8},{"tile":16}]')
local loop = {}
loop.loop = loop
refuses("contains itself", loop)
assert(not pcall(json.decode, 5))

-- What is read is written again as it was; an empty list is as good as a plain one elsewhere.
for _, text in ipairs { "[]", "{}", '{"a":[],"b":{},"c":null,"d":[[],{},null]}' } do
  assert(json.encode(json.decode(text)) == text, text)
end
-- So is a list that others have marked; what has a class of ours is none.
local marked = setmetatable({ 1, 2 }, { __jsontype = "array" })
assert(json.encode { list = marked } == '{"list":[1,2]}' and getmetatable(json.list(marked)) == getmetatable(json.list {}))
local ok, why = pcall(json.list, sweep)
assert(not ok and why:find("json.list: expected a plain list, got a sweep", 1, true), why)
local empty = json.decode '{"args":[]}'
assert(#empty.args == 0 and next(empty.args) == nil and json.list(empty.args) == empty.args)
assert(await(submit(exec { cmd = { "true", table.unpack(empty.args) }, inputs = empty.args, cwd = "scratch" })).ok)

-- The module, its null and its lists travel to tasks by name.
local text, is_null = await(submit(function(t) return json.encode(t), json.decode("null") == json.null and t[1] == json.null end, { json.null }))
assert(text == "[null]" and is_null)
assert(await(submit(function(list, text) return json.encode(list) .. json.encode(json.decode(text)) end, { json.list {} }, "[[]]")) == "[[]][[]]")
