-- What a module holds is the same thing on both sides: classes, functions, and what they make.
local geometry = require "geometry"
local Point, Pixel = geometry.Point, geometry.Pixel
local function get(...) return await(submit(...)) end

local same, is_point, doubled = get(function(p)
  local there = require "geometry"
  return Point == there.Point, getmetatable(p) == there.Point, p:double()
end, Point.new(21))
assert(same and is_point and getmetatable(doubled) == Point and doubled.x == 42 and doubled == Point.new(42))
local pixel = get(function() return Pixel.new(3) end)
assert(getmetatable(pixel) == Pixel and pixel:double().x == 6)
assert(get(function(f) return f == require("geometry").Point.new end, Point.new))
assert(get(function() return require("geometry").Point.double end) == Point.double)

-- What the script puts into a module goes along; the module there does not change.
geometry.units[2] = "km"
function Point:triple() return 3 * self.x end
local triple = Point.triple
assert(get(function(units) return #units, #require("geometry").units end, geometry.units) == 2)
assert(get(function(p) return triple(p), require("geometry").Point.triple == nil end, Point.new(2)) == 6)

-- An object with a `__ship` hook is made anew there; twice in one message is one object.
local path = os.tmpname()
local log = geometry.Log.open(path)
local lines, one = get(function(mine, list)
  mine.file:write "from the call\n"
  mine.file:flush()
  return #list, mine == list[1]
end, log, { log, log })
assert(lines == 2 and one)
assert(io.open(path):read "a" == "from the call\n")
os.remove(path)
local ok, e = pcall(await, submit(function() return log.path end))
assert(ok and e == path)
os.remove(path)
-- A hook runs while values are packed: it can neither submit nor await.
local early = submit(function() end)
for what, why in pairs { submit = "nothing can be submitted", await = "nothing can be awaited" } do
  local hooked = setmetatable({}, {
    __ship = function()
      if what == "submit" then submit(print) end
      await(early)
      return print
    end,
  })
  ok, e = pcall(submit, print, hooked)
  assert(not ok and e:find(why .. " while a value is packed or unpacked", 1, true), e)
end
await(early)
-- One that fails there is an error of the call.
local far = setmetatable({}, { __ship = function() return function() error "no device here" end end })
ok, e = pcall(await, submit(print, far))
assert(not ok and e.message:find("no device here", 1, true) and e.message:find("__ship", 1, true), e.message)
