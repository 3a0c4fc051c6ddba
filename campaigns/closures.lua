-- What travels with a function to the workers?
--
--   mpirun -n 1 harness campaigns/closures.lua
--
-- Four small jobs, each with an answer that is known: upvalues, recursion, a module of the campaign's, and state
-- that stays in a slot between calls. Nothing is set up on the workers; the functions bring all they need.
local harness = require "harness"
local args = harness.args {
  panels = { 64, "parts of the integral" },
  limit = { 200000, "primes below this are counted" },
  samples = { 400000, "random numbers whose spread is found" },
}
local pool <close> = spawn { per_node = 1 }

local function report(what, value, expected, tolerance)
  local right = math.abs(value - expected) <= tolerance
  print(("%-52s %14.8f  %s"):format(what, value, right and "right" or "WRONG, expected " .. expected))
  assert(right)
end

-- Upvalues and recursion. `integrand` and `options` are locals of this script; `adaptive` calls itself.
local options = { tolerance = 1e-12, deepest = 40 }
local function integrand(x) return math.sqrt(1 - x * x) end -- steep at 1: some panels are much more work

local function simpson(a, b) return (b - a) / 6 * (integrand(a) + 4 * integrand((a + b) / 2) + integrand(b)) end
local function adaptive(a, b, whole, depth)
  local middle = (a + b) / 2
  local left, right = simpson(a, middle), simpson(middle, b)
  local error_bound = math.abs(left + right - whole) / 15
  if error_bound < options.tolerance or depth == options.deepest then return left + right end
  return adaptive(a, middle, left, depth + 1) + adaptive(middle, b, right, depth + 1)
end

local edges = {}
for i = 1, args.panels do
  edges[i] = (i - 1) / args.panels
end
local parts = map(function(a) -- in the order of the panels, so the sum is the same in every run
  local b = a + 1 / args.panels
  return adaptive(a, b, simpson(a, b), 0)
end, edges)
local sum = 0
for _, part in ipairs(parts) do
  sum = sum + part
end
report("recursion: a quarter of pi by adaptive quadrature", sum, math.pi / 4, 1e-8)

-- State that stays in the slot: the small primes are sieved once in each, by whichever call is first there.
local function primes_between(low, high)
  local here = harness.worker.state
  if not here.small then
    local composite, small = {}, {}
    for n = 2, math.floor(math.sqrt(args.limit)) + 1 do
      if not composite[n] then
        small[#small + 1] = n
        for m = n * n, math.floor(math.sqrt(args.limit)) + 1, n do
          composite[m] = true
        end
      end
    end
    here.small, here.sieved = small, (here.sieved or 0) + 1
  end
  local count = 0
  for n = math.max(low, 2), high - 1 do
    local prime = true
    for _, p in ipairs(here.small) do
      if p * p > n then break end
      if n % p == 0 then
        prime = false
        break
      end
    end
    if prime then count = count + 1 end
  end
  return count, ("%d.%d"):format(harness.worker.id, harness.worker.slot), here.sieved
end

local calls, step = {}, args.limit // 50
for low = 0, args.limit - 1, step do
  calls[#calls + 1] = submit(primes_between, low, math.min(low + step, args.limit))
end
local primes, slots, used = 0, {}, 0
for _, call in ipairs(calls) do
  local count, slot, sieved = await(call)
  assert(sieved == 1, "a slot sieved again: its state was lost")
  if not slots[slot] then used = used + 1 end
  primes, slots[slot] = primes + count, true
end
local known = { [200000] = 17984, [20000] = 2262 }
report(("state: primes below %d, the sieve kept in %d slot(s)"):format(args.limit, used), primes, known[args.limit] or primes, 0)

-- A module of the campaign's, campaigns/lua/moments.lua: the worker gets its source from the root.
local moments = require "moments"
local chunks = {}
for i = 1, 20 do
  chunks[i] = i
end
local total = moments.new()
for _, part in
  ipairs(map(function(chunk)
    -- A task's random numbers are its own: a seed from the argument makes them the same wherever it runs.
    math.randomseed(chunk)
    local sums = moments.new()
    for _ = 1, args.samples // 20 do
      moments.add(sums, math.random())
    end
    return sums
  end, chunks))
do
  total = moments.merge(total, part)
end
report("module: standard deviation of uniform numbers", moments.sd(total), 1 / math.sqrt(12), 20 / math.sqrt(args.samples) / 10)

-- And functions come back: a worker makes the curve, the root evaluates it.
---@type fun(x: number): number
local curve = await(submit(function(n)
  local c, coefficients = 1.0, { 1.0 } -- the highest power first
  for k = 1, n do
    c = c / k
    table.insert(coefficients, 1, c)
  end
  return function(x) -- by Horner's rule
    local y = 0.0
    for _, coefficient in ipairs(coefficients) do
      y = y * x + coefficient
    end
    return y
  end
end, 20))
report("closures as results: e by a polynomial from a worker", curve(1.0), math.exp(1), 1e-12)
