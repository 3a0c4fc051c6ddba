-- A newline in a name or a parameter does not tear the table.
local harness = require "harness"
await(submit(measure { cmd = { "true" }, name = "two\nlines", params = { p = "a\nb" }, runs = 1, exclusive = false }))
local text = tostring(harness.results {})
local _, newlines = text:gsub("\n", "\n")
assert(newlines == 1 and text:find("two\\x0alines", 1, true) and text:find("a\\x0ab", 1, true), text)

-- Nor does a mark of direction turn a name round.
await(submit(measure { cmd = { "true" }, name = "tile\u{202e}8=", params = { p = "é" }, runs = 1, exclusive = false }))
text = tostring(harness.results {})
assert(text:find("tile\\u{202e}8=", 1, true) and text:find("é", 1, true), text)
