-- Mean and variance in one pass (Welford), and of two parts put together (Chan et al.): what a worker sums up
-- can be merged on the root in any order.
local M = {}

function M.new() return { n = 0, mean = 0.0, m2 = 0.0 } end

function M.add(a, x)
  a.n = a.n + 1
  local d = x - a.mean
  a.mean = a.mean + d / a.n
  a.m2 = a.m2 + d * (x - a.mean)
end

function M.merge(a, b)
  local n = a.n + b.n
  if n == 0 then return M.new() end
  local d = b.mean - a.mean
  return { n = n, mean = a.mean + d * b.n / n, m2 = a.m2 + b.m2 + d * d * a.n * b.n / n }
end

function M.sd(a) return math.sqrt(a.m2 / (a.n - 1)) end

return M
