--! exit 1
--! says harness: not_required.lua:4: attempt to index a nil value (global 'harness'): write `local harness = require "harness"` before it
-- The library is no global.
print(harness.now())
