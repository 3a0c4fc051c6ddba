-- A call that takes too long is ended, in Lua or in C, and the next one has a slot again.
local function kind_and_text(f)
  local ok, e = pcall(await, f)
  assert(not ok, "it has no result")
  return e.kind, e.message
end
local function forever() while true do end end
local function hides() while true do pcall(forever) end end
-- One call of a C function that would take longer than the world is old.
local function in_c() return (("a"):rep(60) .. "b"):find(("a?"):rep(60) .. ("a"):rep(60) .. "c") end
local function sleeps() os.execute "sleep 1000" end
for _, body in ipairs { forever, hides, in_c, sleeps } do
  local kind, text = kind_and_text(submit(call { body, timeout = "100 ms" }))
  assert(kind == "timeout" and text:find("0.1 s", 1, true), text)
end
assert(await(submit(call { function() return 5 end, timeout = 60 })) == 5)
-- Others of the same node are not harmed.
local calm = submit(function() os.execute "sleep 0.3" return "calm" end)
assert(kind_and_text(submit(call { forever, timeout = 0.1 })) == "timeout")
assert(await(calm) == "calm")

-- A program with what it started.
local r = await(submit(exec { shell = "sleep 1000 & sleep 1000", timeout = "100 ms" }))
assert(r.status == "timeout" and not r.ok and r.reason:find("ran into its timeout of 0.1 s", 1, true), r.reason)
r = await(submit(measure { cmd = { "sleep", "1000" }, runs = 3, timeout = "100 ms" }))
assert(r.status == "timeout", tostring(r))
r = await(submit(compile { cmd = { "sleep", "1000" }, output = "x", timeout = "100 ms" }))
assert(r.status == "timeout", tostring(r))
