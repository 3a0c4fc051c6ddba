-- What the node was like stands with a measurement; what it does not tell is nil, and never 0.
local m = await(submit(measure { cmd = { "true" }, runs = 3 }))
assert(m.ok, m.reason)
local c = m.conditions
assert(#c.load1 == 2 and c.others_cpu_s >= 0, "every Linux tells this")
for _, name in ipairs { "freq_hz", "temp_c" } do
  assert(c[name] == nil or #c[name] == 2 and c[name][1] > 0, name)
end
assert(c.throttle_count == nil or c.throttle_count >= 0)

-- Whether the node is quiet enough for `strict` nobody knows here: it is measured, or refused with reasons.
local function noisy(kind, options)
  options.strict = true
  local r = await(submit(kind(options)))
  if r.status == "refused" then
    assert(r.reason:find("strict = true, and the node is noisy:\n  * ", 1, true), r.reason)
    assert(r.kind == "compare" or #r.samples == 0)
  else
    assert(r.ok, r.reason)
  end
end
noisy(measure, { cmd = { "true" }, runs = 2 })
noisy(compare, { base = { cmd = { "true" } }, a = { cmd = { "true" } }, max_rounds = 2 })
