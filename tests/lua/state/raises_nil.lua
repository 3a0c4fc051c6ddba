--! exit 1
--! says harness: an error without a value (error() or error(nil))
--! says 	raises_nil.lua:5: in main chunk
-- An error without a value says so, and where it was raised.
error()
