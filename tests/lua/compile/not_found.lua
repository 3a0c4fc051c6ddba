-- A program that is not there: what was probably meant.
local function says(text, task)
  local record = await(submit(task))
  assert(record.status == "spawn_failed" and record.reason:find(text, 1, true), record.reason)
end
says("program `sleep 0.1` not found: a program name with a blank: give arguments one by one, or use shell=", exec { cmd = { "sleep 0.1" } })
says("program `not_found.lua` not found: a file of this name is in the working folder: write ./ before it", exec { cmd = { "not_found.lua" } })
says("program `nosuchprog` not found: load its module before harness is started, or give its full path (PATH is", exec { cmd = { "nosuchprog" } })
says("program `gcc -O3` not found: a program name with a blank: give arguments one by one", compile { sources = { "kernel/answer.c" }, compiler = "gcc -O3" })
