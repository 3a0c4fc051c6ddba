--! args --help
--! exit 0
require "harness".args { size = { 512, "matrix size" }, tiles = { { 8, 16 }, "tile sizes" } }
error("not reached")
