-- A newline in a name or a parameter does not tear the table.
local harness = require "harness"
await(submit(measure { cmd = { "true" }, name = "two\nlines", params = { p = "a\nb" }, runs = 1, exclusive = false }))
local text = tostring(harness.results {})
local _, newlines = text:gsub("\n", "\n")
assert(newlines == 1 and text:find("two\\x0alines", 1, true) and text:find("a\\x0ab", 1, true), text)
