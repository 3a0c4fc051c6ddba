-- Requires another module while it is loaded, and gets its name and file.
local counter = require "counter"
local name, file = ...
return { name = name, file = file, counter = counter, where = function() error("here") end }
