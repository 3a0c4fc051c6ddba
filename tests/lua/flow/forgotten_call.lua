--! says harness: a call failed and nobody asked: forgotten_call.lua:4: number 1
--! says harness: and 10 more like these
local function fail(n)
  error("number " .. n)
end
for i = 1, 30 do submit(fail, i) end
local asked = submit(fail, 31)
assert(asked:wait() and asked:status() == "error")
