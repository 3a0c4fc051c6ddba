-- What travels into calls and back: results of other tasks, records, errors, odd bytes, deep tables, nil.
local harness = require "harness"
local function same(...) return ... end
local function get(...) return await(submit(...)) end

-- A future anywhere in the arguments is its result: of a call, an exec, a measure, a compile.
local five = submit(same, 5)
local program = submit(exec { cmd = { "echo", "hi" }, name = "greet" })
local timed = submit(measure { cmd = { "echo", "v 3" }, runs = 2, metrics = { v = "v (%d)" }, params = { x = 1 } })
local build = submit(compile { cmd = { "sh", "-c", "echo built > it" }, output = "it" })
local function look(t, upvalues)
  local file <close> = assert(io.open(t.built))
  return t.n, t.program.stdout, t.program.ok, t.timed.stats.median, t.timed.status, file:read "a", upvalues()
end
local args = { n = five, program = program, timed = timed, built = build }
local function through_upvalue() return five, program end
for _ = 1, 2 do -- pending, then done
  local n, stdout, ok, median, status, text, upvalue, record = get(look, args, through_upvalue)
  assert(n == 5 and stdout == "hi\n" and ok == true and median > 0 and status == "ok" and text == "built\n")
  assert(upvalue == 5 and record.stdout == "hi\n" and record.name == "greet" and record.kind == "exec")
end
assert(args.n == five and through_upvalue() == five, "the script's own values stay futures")
assert(get(exec { cmd = { "echo", five, submit(same, "a b"), submit(same, 2.5) } }).stdout == "5 a b 2.5\n")
assert(get(measure { cmd = { "echo", five }, runs = 1, verify = { stdout = "5\n" } }).ok)
assert(get(exec { cmd = { "cat", build } }).stdout == "built\n")
-- Only the first value of a call goes on; a call without one is nil.
assert(select("#", get(same, submit(same, 1, 2), "end")) == 2)
assert(get(function(x) return x == nil end, submit(function() end)))

-- Records and errors are tables like others.
local record = await(program)
assert(get(function(r) return r.stdout, r.name end, record) == "hi\n")
local _, problem = pcall(await, submit(function() error({ code = 7 }) end))
assert(get(function(e) return e.kind .. e.value.code end, problem) == "error7")
local back = get(same, problem)
assert(getmetatable(back) == harness.Error and tostring(back) == tostring(problem) and back.value.code == 7)
local list = harness.results()
local n, x = get(function(l) return #l, l[1].params.x end, list)
assert(n == 2 and x == 1)

back = get(function(r) assert(tostring(r):find "greet: ok in") return r end, record)
assert(getmetatable(back) == harness.Record and tostring(back) == tostring(record))
-- A pool is its plain data there.
local pool <close> = spawn { workers = 1, slots = 1 }
assert(get(function(p) return p.workers[1].host, getmetatable(p) end, pool) == pool.workers[1].host)

-- Bytes, numbers, nil.
local bytes = {}
for i = 0, 255 do bytes[i + 1] = string.char(i) end
bytes = table.concat(bytes)
assert(get(same, bytes) == bytes and get(function(t) return t[bytes] end, { [bytes] = 3 }) == 3)
assert(get(same, "") == "" and get(same, math.mininteger) == math.mininteger and get(same, 1 / 0) == 1 / 0)
assert(math.type(get(same, 2.0)) == "float" and math.type(get(same, 2)) == "integer" and get(same, -0.0) == 0)
local nan = get(same, 0 / 0)
assert(nan ~= nan)
assert(select("#", get(same, nil, nil, nil)) == 3 and select("#", get(same, 1, nil)) == 2)
local big = ("x"):rep(3 << 20)
assert(get(function(s) return #s, s end, big) == #big and select(2, get(function(s) return #s, s end, big)) == big)

-- Depth, cycles and what is shared.
local deep = {}
local inner = deep
for _ = 1, 1000 do
  inner[1] = {}
  inner = inner[1]
end
inner.here = "bottom"
local result = get(function(t) for _ = 1, 1000 do t = t[1] end return t.here, t end, deep)
assert(result == "bottom")
result = get(same, deep)
for _ = 1, 1000 do result = result[1] end
assert(result.here == "bottom")
local knot = {}
knot.me, knot.list = knot, { knot }
result = get(same, knot)
assert(result.me == result and result.list[1] == result)
local too_deep = {}
inner = too_deep
for _ = 1, 300000 do
  inner.next = {}
  inner = inner.next
end
local ok, e = pcall(submit, same, too_deep)
assert(not ok and e:find("cannot ship a value nested deeper than 200000 levels; path: arg 2.next.next", 1, true), e)

-- What cannot come back is an error of the call that names it.
ok, e = pcall(await, submit(function() return { handle = io.tmpfile() } end))
assert(not ok and e.kind == "error" and e.message == "cannot ship a userdata; path: result 1.handle", e.message)
