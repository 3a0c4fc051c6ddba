-- Quantiles that a race needs, to about three digits: enough to say who is behind by more than chance.
local M = {}

local A = {
  -3.969683028665376e+01,
  2.209460984245205e+02,
  -2.759285104469687e+02,
  1.383577518672690e+02,
  -3.066479806614716e+01,
  2.506628277459239,
}
local B = { -5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02, 6.680131188771972e+01, -1.328068155288572e+01, 1 }
local C = { -7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783 }
local D = { 7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996, 3.754408661907416, 1 }

local function polynomial(coefficients, x)
  local sum = 0
  for _, coefficient in ipairs(coefficients) do
    sum = sum * x + coefficient
  end
  return sum
end

--- Of the normal distribution (Acklam's rational approximation, to 1e-9).
function M.normal(p)
  if p < 0.02425 then
    local q = math.sqrt(-2 * math.log(p))
    return polynomial(C, q) / polynomial(D, q)
  elseif p > 1 - 0.02425 then
    return -M.normal(1 - p)
  end
  local q = p - 0.5
  return polynomial(A, q * q) * q / polynomial(B, q * q)
end

--- Of chi-square (Wilson and Hilferty, PNAS 17 (1931), p. 684).
function M.chi_square(p, freedom)
  local part = 2 / (9 * freedom)
  return freedom * (1 - part + M.normal(p) * math.sqrt(part)) ^ 3
end

--- Of Student's t (Abramowitz and Stegun 26.7.5), from 3 degrees of freedom on.
function M.student(p, freedom)
  local x = M.normal(p)
  local g1 = (x ^ 3 + x) / 4
  local g2 = (5 * x ^ 5 + 16 * x ^ 3 + 3 * x) / 96
  local g3 = (3 * x ^ 7 + 19 * x ^ 5 + 17 * x ^ 3 - 15 * x) / 384
  return x + g1 / freedom + g2 / freedom ^ 2 + g3 / freedom ^ 3
end

return M
