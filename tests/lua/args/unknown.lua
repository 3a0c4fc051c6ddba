--! args --sise=1
--! exit 1
--! says harness: unknown.lua:4: args: unknown argument '--sise' (did you mean '--size'?); --help lists them
require "harness".args { size = { 512, "matrix size" } }
