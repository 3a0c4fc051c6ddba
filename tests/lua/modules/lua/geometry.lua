-- A class, its heir, and an object of a hooked class.
local M = { units = { "m" } }

M.Point = {}
M.Point.__index = M.Point
M.Point.__eq = function(a, b) return a.x == b.x end
function M.Point.new(x) return setmetatable({ x = x }, M.Point) end
function M.Point:double() return M.Point.new(2 * self.x) end

M.Pixel = setmetatable({}, { __index = M.Point })
M.Pixel.__index = M.Pixel
function M.Pixel.new(x) return setmetatable({ x = x, pixel = true }, M.Pixel) end

-- Holds what cannot travel: it is opened anew on the other side.
M.Log = {}
M.Log.__index = M.Log
function M.Log.open(path) return setmetatable({ path = path, file = assert(io.open(path, "a")) }, M.Log) end
M.Log.__ship = function(self) return M.Log.open, self.path end

return M
