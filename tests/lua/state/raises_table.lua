--! exit 1
--! says harness: error value { code = 5, hint = 'use fewer' }
--! says stack traceback:
--! says 	raises_table.lua:6: in main chunk
-- An error that is a table is shown with what is in it.
error({ code = 5, hint = "use fewer" })
