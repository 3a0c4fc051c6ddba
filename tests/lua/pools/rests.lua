-- What was lost with its worker rests before it is tried again, and is then, whatever else happens meanwhile and however quiet it is
-- afterwards: here two rests of 1 s overlap, calls come until the first is over, and nothing after that.
local harness = require "harness"
local base = os.tmpname() -- marks of what has happened are beside it
local pool <close> = spawn { workers = 4, slots = 1, quarantine = false }

-- Takes its worker along, once it may; tried again it ends.
local function victim(name, gate)
  local mark = base .. name
  return submit(exec {
    shell = "[ -e " .. mark .. " ] && exit 0; touch " .. mark .. "; until [ -e " .. base .. gate .. " ]; do sleep 0.05; done; "
      .. "kill -9 $(sed 's/.*) //' /proc/$PPID/stat | cut -d ' ' -f 2); sleep 60",
    retries = 9,
  })
end
local function open(gate) assert(io.open(base .. gate, "w")):close() end
local one, other = victim(".one", ".first"), victim(".other", ".second")
open ".first"
local rests = false
repeat
  submit(function() end):wait()
  if not rests and harness.explain(one):find "tried again" then
    rests = harness.now()
  elseif rests and harness.now() - rests > 0.3 and not harness.fs.exists(base .. ".second") then
    open ".second"
  end
until one:status() ~= "pending"
assert(one:status() == "ok" and other:wait "60 s" and other:status() == "ok", harness.explain(other))
for _, name in ipairs { "", ".one", ".other", ".first", ".second" } do
  os.remove(base .. name)
end
