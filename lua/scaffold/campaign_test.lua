-- `harness test` runs every function here whose name begins with `test`, on this machine, with a journal of its own.
local variants = require "variants"

local tests = {}

function tests.test_every_kernel_has_the_same_variants()
  local count = {}
  for _, variant in ipairs(variants()) do
    count[variant.kernel] = (count[variant.kernel] or 0) + 1
  end
  assert(count.axpy == count.stencil)
end

function tests.test_kernels_say_what_they_computed()
  for _, kernel in ipairs { "axpy", "stencil" } do
    local build = submit(compile { sources = { "kernels/" .. kernel .. ".c" }, flags = { "-O1" } })
    local run = await(submit(exec { cmd = { build, 1, 1 } }))
    assert(run.ok, run.reason)
    assert(run.stdout:find "checksum: %d", run.stdout)
  end
end

return tests
