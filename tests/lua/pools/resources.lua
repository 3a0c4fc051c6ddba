-- What tasks of a pool share out by name.
local function complains(text, fn, ...)
  local ok, e = pcall(fn, ...)
  assert(not ok and tostring(e):find(text, 1, true), tostring(e))
end
complains("resources.lua:9: exec: option 'needs': unknown resource 'license'; the pool has none: give it some, "
  .. "spawn{ resources = { license = 1 } }", function()
  local task = exec { cmd = { "true" }, needs = { license = 1 } }
  submit(task)
end)
local pool <close> = spawn { slots = 4, resources = { license = 2, port = 1 } }
complains("exec: option 'needs': unknown resource 'licence' (did you mean 'license'?); pool 0 has license = 2, port = 1", function()
  submit(exec { cmd = { "true" }, needs = { licence = 1 } })
end)
complains("call: option 'needs': it needs license = 3, and pool 0 has 2: ask for less, or give the pool more", function()
  submit(call { function() end, needs = { license = 3 } })
end)
complains("exec: option 'needs.license': expected a whole number from 1, got 0", exec, { cmd = { "true" }, needs = { license = 0 } })

-- Never more at a time than there are, and not one after another either: each notes who runs beside it.
local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir " .. folder))
local script = ("mkdir %s/$ME && ls %s | wc -l && sleep 0.05 && rmdir %s/$ME"):format(folder, folder, folder)
local function at_most(needs)
  local tasks, most = {}, 0
  for i = 1, 6 do
    tasks[i] = submit(exec { shell = script, env = { ME = i }, needs = needs })
  end
  for _, f in ipairs(tasks) do
    most = math.max(most, tonumber(await(f).stdout))
  end
  return most
end
assert(at_most { license = 1 } <= 2)
assert(at_most { license = 2 } == 1)
assert(at_most { license = 1, port = 1 } == 1)
os.execute("rmdir " .. folder)
assert(await(submit(call { function() return 5 end, needs = { port = 1 } })) == 5)
