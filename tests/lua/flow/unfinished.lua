-- What was started and not waited for is still done before the script is over.
local marker = os.tmpname()
os.remove(marker)
submit(exec { cmd = { "touch", marker } })
go(function()
  await(submit(exec { shell = "sleep 0.05" }))
  assert(io.open(marker)):close()
  os.remove(marker)
end)
