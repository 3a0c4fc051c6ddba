-- What was started and not waited for is still done before the script is over.
local marker = os.tmpname()
os.remove(marker)
local stop = marker .. ".stop"
submit(exec { shell = ("until [ -e %s ]; do sleep 0.01; done; touch %s"):format(stop, marker) })
go(function()
  await(submit(exec { shell = ("touch %s; until [ -e %s ]; do sleep 0.01; done"):format(stop, marker) }))
  assert(os.remove(stop) and os.remove(marker))
end)
