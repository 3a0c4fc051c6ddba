-- What is compared: every kernel with every set of flags. A module, so that `campaign_test.lua` can look at it too.
local sweep = require("harness").sweep

return function()
  return sweep.cross {
    kernel = { "axpy", "stencil" },
    flags = { "-O1", "-O3" },
  }
end
