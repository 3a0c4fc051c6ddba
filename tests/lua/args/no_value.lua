--! args --size
--! exit 1
--! says harness: no_value.lua:4: args: --size needs a value
require "harness".args { size = { 512, "matrix size" } }
