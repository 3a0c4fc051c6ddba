--! args --size=1024 --tiles=8,16 --rate 2 --verbose --no-check --max-time=3.5 extra --label=
local harness = require "harness"
local args = harness.args {
  size = { 512, "matrix size" },
  tiles = { { 8, 16, 32 }, "tile sizes" },
  flags = { { "-O2", "-O3" }, "flags" },
  rate = { 1.5, "a rate" },
  verbose = { false, "say more" },
  check = { true, "check the results" },
  max_time = { 60.0, "seconds" },
  label = { "none", "a label" },
  plain = 7,
}
assert(args.size == 1024 and math.type(args.size) == "integer")
assert(#args.tiles == 2 and args.tiles[2] == 16 and #args.flags == 2)
assert(args.rate == 2.0 and math.type(args.rate) == "float")
assert(args.verbose == true and args.check == false and args.max_time == 3.5 and args.label == "" and args.plain == 7)
assert(args[1] == "extra" and #args == 1)
