-- Bytes stay bytes: zeros, all 256 values, text that is no UTF-8; from programs, in calls and back.
local all = {}
for byte = 0, 255 do
  all[#all + 1] = string.char(byte)
end
all = table.concat(all)

local echoed = await(submit(exec { cmd = { "cat" }, stdin = all }))
assert(echoed.ok and echoed.stdout == all and echoed.stdout_bytes == 256)
local function back(text, keyed) return text, #text, keyed[text] end
local text, length, value = await(submit(back, all, { [all] = "\0" }))
assert(text == all and length == 256 and value == "\0")
local ok, problem = pcall(await, submit(function() error { bytes = "\0\xff" } end))
assert(not ok and problem.value.bytes == "\0\xff")
