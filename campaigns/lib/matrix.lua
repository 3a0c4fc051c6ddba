-- A matrix of compilers and flags: every pair built, every build measured, all on one node.
--
--   local found = matrix.run {
--     compilers = { "gcc", "clang" }, flags = { { "-O2" }, { "-O3" } },
--     build = function(compiler, flags) return compile { … } end,
--     measure = function(build, params) return measure { …, cmd = { build }, params = params } end,
--   }
--   print(matrix.table(found))
--
-- A compiler that is not there is left out with its reason. It never decides what is measured: `build` and `measure` do.
local M = {}

-- The first line of why something did not work.
local function why(record)
  record = record.cause or record
  return (record.reason or record.status):match "[^\n]*"
end

-- The builds that a compiler makes of all sets of flags; nil and why if it is not there.
local function builds_of(compiler, o)
  local list = {}
  for i, flags in ipairs(o.flags) do
    list[i] = { compiler = compiler, flags = table.concat(flags, " "), build = submit(o.build(compiler, flags)) }
  end
  for _, row in ipairs(list) do
    local record = await(row.build)
    if record.status == "spawn_failed" or record.status == "setup_failed" then return nil, why(record) end
    row.text_hash = record.text_hash
  end
  return list
end

-- Gives { rows, absent }: rows in the order they were asked for, with `record` (the measurement) and, where an earlier
-- row is the same program, `same` (that row); absent compilers with their reason.
function M.run(o)
  local rows, absent = {}, {}
  for _, compiler in ipairs(o.compilers) do
    local list, reason = builds_of(compiler, o)
    if not list then absent[#absent + 1] = { compiler = compiler, reason = reason } end
    table.move(list or {}, 1, #(list or {}), #rows + 1, rows)
  end
  local first = {}
  for _, row in ipairs(rows) do
    row.run = submit(o.measure(row.build, { compiler = row.compiler, flags = row.flags }))
    row.same = row.text_hash and first[row.text_hash]
    if row.text_hash then first[row.text_hash] = row.same or row end
  end
  for _, row in ipairs(rows) do
    row.record = await(row.run)
  end
  return { rows = rows, absent = absent }
end

-- For people.
function M.table(found)
  local lines = {}
  for _, row in ipairs(found.rows) do
    local figure = row.record.ok and row.record.summary:match ": (.*)" or ("%s: %s"):format(row.record.status, why(row.record))
    if row.same then figure = ("the program of %s %s"):format(row.same.compiler, row.same.flags) end
    lines[#lines + 1] = ("%-8s %-24s %s"):format(row.compiler, row.flags, figure)
  end
  for _, one in ipairs(found.absent) do
    lines[#lines + 1] = ("%-8s left out: %s"):format(one.compiler, one.reason)
  end
  return table.concat(lines, "\n")
end

return M
