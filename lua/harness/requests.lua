-- `harness.requests`, for the script of `harness serve` alone: lines that somebody outside has for it, one after another.
-- Each is awaited like the end of a task, so that tasks and other flows go on meanwhile.
local host, lib = ...
if not host.await_line then return {} end

local M = {}

--- Waits for the next line; nil after the last.
function M.next() return lib.flow.await(lib.ends.future(host.await_line())) end

--- The `id` of a line that cannot be decoded, where it has one all the same.
function M.id_of(line) return host.json_id(line) end

package.loaded["harness.requests"] = M
return M
