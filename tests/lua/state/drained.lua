--! exit 75
-- After Ctrl-C nothing ends any more, but <close> runs.
local path = os.tmpname()
local _ <close> = setmetatable({}, { __close = function() os.remove(path) end })
await(submit(exec { cmd = { "true" } }))
local long = submit(exec { cmd = { "sleep", "1000" } })
print "interrupt me"
io.stdout:flush()
await(long)
error("not reached")
