-- Typed calls into a shared library that a build made, its state, and what ends a slot.
local harness = require "harness"
local dl = harness.dl
---@type any
local build = submit(compile { sources = { "kernel.c" }, flags = { "-O2", "-shared", "-fPIC" }, output = "libkernel.so" })
assert(await(build).ok)
local pool <close> = spawn { slots = 1, init = function(worker)
  worker.state.lib = dl.open(build)
  worker.state.inits = (worker.state.inits or 0) + 1
end }
local function fn(declaration) return harness.worker.state.lib:fn(declaration) end
local function call(declaration, ...) return await(submit(function(...) return fn(declaration)(...) end, ...)) end
local function caught(...)
  local ok, e = pcall(await, submit(...))
  assert(not ok)
  return e
end
local function fails(text, ...)
  local e = caught(...)
  assert(e.kind == "error" and e.message:find(text, 1, true), e.message)
  assert(e.message:find "^calls%.lua:%d+: dl", e.message)
end

-- Values both ways.
assert(await(submit(function()
  local x, y = dl.buffer("double", { 1, 2, 3 }), dl.buffer("double", 3)
  y:fill(2)
  return fn "double dot(int n, const double *x, const double *y)"(3, x, y)
end)) == 12.0)
local got = await(submit(function()
  local x, y = dl.buffer("float", { 1, 2 }), dl.buffer("float", { 10, 20 })
  assert(fn "void axpy(size_t, float, const float *, float *)"(2, 0.5, x, y) == nil)
  assert(#y == 2 and y[2] == 21.0 and y.type == "float" and tostring(y) == "dl.buffer('float', 2)")
  y[1] = 7
  return y:table()
end))
assert(got[1] == 7.0 and got[2] == 21.0)
local many = "double many(int8_t, uint8_t, int16_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t, float, double, double, double, double, double, double, double, double, double, bool)"
assert(call(many, -128, 255, -32768, 65535, -5, 4000000000, -1, 1, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, true)
  == -128 + 255 - 32768 + 65535 - 5 + 4000000000 - 1 + 1 + 0.5 + 45 + 1000000)
assert(call "int8_t low(void)" == -128 and call "uint8_t byte()" == 200 and call "int negative()" == -5)
assert(call "unsigned big(void)" == 4000000000 and call "uint64_t biggest(void)" == -1)
assert(call("float half(float)", 3) == 1.5 and call("bool both(bool, bool)", true, true) == true)
assert(call("bool both(bool a, bool b)", true, false) == false)
assert(call("size_t length(const char *)", "four") == 4 and math.type(call("size_t length(const char *)", "")) == "integer")
assert(call("const char *greeting(int)", 1) == "hello" and call("char *greeting(int)", 0) == nil)
assert(await(submit(function()
  local out = dl.buffer("char", 16)
  fn "void shout(const char *text, char *out, size_t room)"("loud", out, #out)
  return out:text()
end)) == "LOUD")
assert(await(submit(function()
  local cos = dl.open("libm.so.6"):fn "double cos(double)"
  return cos(0)
end)) == 1.0)

-- State stays in the library between calls, and behind a pointer.
await(submit(function() harness.worker.state.counter = fn "struct counter *counter_new(long)"(41) end))
local function next_count() return fn "long counter_next(struct counter *)"(harness.worker.state.counter) end
assert(await(submit(next_count)) == 42 and await(submit(next_count)) == 43)
assert(await(submit(function() return fn "long counter_next(void *)"(dl.null) end)) == -1)
assert(call "int count()" == 1 and call "int count()" == 2)

-- Mistakes are told at the line that made them.
fails("dl: half: expected 1 argument, got 2", function() fn "float half(float)"(1, 2) end)
fails("dl: half: argument 1 (float): expected a number, got a table", function() fn "float half(float)" {} end)
fails("dl: low: argument 1 (int8_t): expected a whole number from -128 to 127, got 128", function() fn "int8_t low(int8_t)"(128) end)
fails("argument 1 (bool): expected true or false, got 1", function() fn "bool both(bool, bool)"(1, 2) end)
fails("argument 2 (const double *): expected a buffer of double, got a buffer of float", function()
  fn "double dot(int n, const double *x, const double *y)"(1, dl.buffer("float", 1), dl.buffer("double", 1))
end)
fails("argument 2 (const double *): expected a buffer or dl.null, got nil (dl.null is C's NULL)", function()
  local missing
  fn "double dot(int n, const double *x, const double *y)"(1, missing, missing)
end)
fails("of text that it only reads: const char *", function() fn "void shout(char *text)" "x" end)
fails("expected text without a zero byte", function() fn "size_t length(const char *)" "a\0b" end)
fails("dl: fn: no_such: argument 1: unknown type 'doubel' (did you mean 'double'?)", function() fn "int no_such(doubel x)" end)
fails("undefined symbol: no_such", function() fn "int no_such(int)" end)
fails("dl.open: cannot load './no.so': ./no.so: cannot open shared object file", function() dl.open "./no.so" end)
fails("dl.open: expected the path of a shared library, got nil", function() dl.open(nil) end)
fails("dl.buffer: unknown type 'reel'", function() dl.buffer("reel", 3) end)
fails("dl.buffer: expected a length from 1 or a list of numbers, got 0", function() dl.buffer("int", 0) end)
fails("there is no memory for", function() dl.buffer("double", 1 << 56) end)
fails("dl.buffer('int', 3) has elements 1 to 3, not 4", function() return dl.buffer("int", 3)[4] end)
fails("dl.buffer('int', 3) has elements 1 to 3, not 'length_'", function() return dl.buffer("int", 3).length_ end)
fails("dl.buffer('uint8', 3): element 2: expected a whole number from 0 to 255, got -1", function() dl.buffer("uint8", 3)[2] = -1 end)
fails("dl.buffer('float', 3): fill: expected a number, got 'x'", function() dl.buffer("float", 3):fill "x" end)
fails("it is no buffer of char", function() dl.buffer("int", 3):text() end)
assert(caught(function() return dl.buffer("int", 3) end).message:find("cannot ship", 1, true))
local ok, e = pcall(dl.open, "x.so")
assert(not ok and e:find("harness.dl.open: a library lives in a slot: call it in a task or in the `init` of `spawn`", 1, true), e)

-- What ends the process ends the slot only, and says where it was; the next call finds a new one, after `init`.
local function ends(kind, reason, where, ...)
  local e = caught(...)
  local all = e.kind == kind and e.message:find(reason, 1, true) and e.message:find(where, 1, true)
  assert(all, e.kind .. ": " .. e.message)
  assert(await(submit(function() return harness.worker.state.inits end)) == 1)
  assert(call "int count()" == 1)
end
local name = "of " -- the library's file is named by its content
ends("signal", "its slot was killed by signal 11 (SIGSEGV) while it ran", "it was in crash " .. name, function()
  fn "void crash(int *)"(dl.null)
end)
ends("signal", "signal 6 (SIGABRT)", "it was in give_up " .. name, function() fn "void give_up()"() end)
ends("nonzero_exit", "its slot ended with exit code 3", "it was in leave " .. name, function() fn "void leave(int)"(3) end)
-- ... not where it was before.
local after = caught(function()
  fn "void nothing()"()
  os.exit(4)
end)
assert(after.kind == "nonzero_exit" and not after.message:find "it was in", after.message)
ends("timeout", "ran into its timeout of 0.2 s in code that is not Lua", "it was in spin " .. name, harness.call {
  function() fn "void spin(void)"() end,
  timeout = 0.2,
})
