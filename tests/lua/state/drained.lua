--! drain 1
--! ends drained
-- After the stop nothing ends any more, but <close> runs.
local path = os.tmpname()
local _ <close> = setmetatable({}, { __close = function() os.remove(path) end })
await(submit(exec { cmd = { "true" } }))
await(submit(exec { cmd = { "true" } }))
error("not reached")
