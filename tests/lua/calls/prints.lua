--! prints from the script
--! says from a call	1	nil	true
--! says written
--! says to standard error
--! says from a program of a call
-- Standard output is the script's alone: what calls print goes to standard error.
await(submit(function()
  print("from a call", 1, nil, true)
  io.write("written\n")
  io.stdout:write("to standard output\n")
  io.stdout:flush()
  io.stderr:write("to standard error\n")
  os.execute "echo from a program of a call"
end))
print "from the script"
