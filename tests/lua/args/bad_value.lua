--! args --tiles=8,x
--! exit 1
--! says harness: bad_value.lua:4: args: --tiles: expected a whole number, got 'x'
require "harness".args { tiles = { { 8, 16 }, "tile sizes" } }
