-- Builds that are one program are measured once, and say so; what differs in anything else is measured.
local function build(...) return submit(compile { sources = { "../compile/kernel/answer.c" }, flags = { ... } }) end
local function timed(program, more)
  local o = { name = "answer", params = { flags = more and more.flags }, cmd = { program }, runs = 3 }
  for name, value in pairs(more or {}) do
    if name ~= "flags" then o[name] = value end
  end
  return await(submit(measure(o)))
end

local plain, unused = build("-O1", "-DTILE=8"), build("-O1", "-DTILE=8", "-DUNUSED")
local debug, other = build("-O1", "-DTILE=8", "-g"), build("-O1", "-DTILE=3")
assert(await(plain).text_hash == await(unused).text_hash and await(plain).text_hash == await(debug).text_hash)
assert(await(plain).artefact ~= await(debug).artefact and await(plain).text_hash ~= await(other).text_hash)

local first = timed(plain, { flags = "plain" })
assert(first.ok and first.same_as == nil)
local second = timed(debug, { flags = "debug" })
assert(second.ok and second.same_as.what == "answer flags=plain" and #second.same_as.id == 26)
assert(second.elapsed_s == 0 and second.samples.wall_s[3] == first.samples.wall_s[3])
assert(second.summary:find("^answer flags=debug: same program as answer flags=plain: median "), second.summary)

local harness = require "harness"
local path = os.tmpname()
local both = harness.results { name = "answer" }
assert(#both == 2 and both:csv(path) == 2 and both:csv(path, { rows = "samples" }) == 3, "their samples stand there once")
both:csv(path)
local rows = {}
for line in io.lines(path) do rows[#rows + 1] = line end
-- By their parameters: debug, plain.
assert(rows[2]:find(",wall_s,s,3,", 1, true) and rows[2]:find(",answer flags=plain,$"), rows[2])
assert(rows[3]:find(",wall_s,s,3,", 1, true) and rows[3]:find(",,$"), rows[3])
os.remove(path)

assert(timed(other).same_as == nil, "another program")
assert(timed(unused, { runs = 2 }).same_as == nil, "measured in another way")
assert(timed(unused, { key = "own" }).same_as == nil, "asked for by a key")
assert(timed(unused, { env = { A = 1 } }).same_as == nil, "another environment")

-- One build measured twice has two measurements; the same figures never come twice.
local again = timed(plain, { flags = "again" })
assert(again.same_as == nil and again.samples.wall_s[1] ~= first.samples.wall_s[1])
assert(timed(unused, { flags = "x" }).same_as.id == second.same_as.id)
assert(timed(unused, { flags = "y" }).same_as.what == "answer flags=again")
assert(timed(unused, { flags = "z" }).same_as == nil)
local bytes = submit(compile { cmd = { "sh", "-c", "echo '#!/bin/sh' > s; chmod +x s" }, output = "s" })
assert(await(bytes).text_hash == nil and timed(bytes).ok)

-- A function that looks at a run may look at what the measurement is for.
local length = { n = { fn = function(run) return #run.params.flags end } }
assert(timed(plain, { flags = "one", metrics = length }).metrics.n.stats.median == 3)
local longer = timed(debug, { flags = "longer", metrics = length })
assert(longer.same_as == nil and longer.metrics.n.stats.median == 6)
assert(timed(unused, { flags = "one", metrics = length }).same_as.what == "answer flags=one")
