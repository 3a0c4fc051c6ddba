-- What a script or a task starts by itself ignores no signal because harness does.
local function ignored()
  local pipe = assert(io.popen "cat /proc/self/status")
  local text = pipe:read "a"
  pipe:close()
  return tonumber(text:match "SigIgn:%s*(%x+)", 16) & 0x7fffffff
end
assert(ignored() == 0, ignored())
assert(await(submit(ignored)) == 0)
local _, how, code = os.execute "exit 4"
assert(how == "exit" and code == 4)
