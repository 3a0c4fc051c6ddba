//! Every shape of value from one state to another, every refusal with its text, and damaged messages.

use mlua::{Function, Lua, MultiValue, Value};

use super::*;

/// Two states, as in two processes.
struct Ends {
    here: Lua,
    sender: Shipper,
    there: Lua,
    receiver: Shipper,
}

const MODULE: &str = "package.preload.mymod = function() return { twice = function(x) return 2 * x end } end";

fn state() -> (Lua, Shipper) {
    let lua = new_state();
    lua.load(MODULE).exec().unwrap();
    let shipper = Shipper::new(&lua).unwrap();
    (lua, shipper)
}

impl Ends {
    fn new() -> Self {
        let (here, sender) = state();
        let (there, receiver) = state();
        here.globals().set("ud", here.create_any_userdata(5u8).unwrap()).unwrap();
        Self { here, sender, there, receiver }
    }

    fn eval(&self, source: &str) -> MultiValue {
        self.here.load(source).set_name("@campaign.lua").eval().unwrap()
    }

    fn encode(&mut self, source: &str) -> Result<Shipped, ShipError> {
        let values = self.eval(source);
        self.sender.encode(&self.here, values)
    }

    fn send_code(&mut self, shipped: &Shipped) {
        for hash in &shipped.codes {
            self.receiver.learn(*hash, self.sender.bytecode(*hash).unwrap().to_vec()).unwrap();
        }
    }

    fn ship(&mut self, source: &str) -> MultiValue {
        let shipped = self.encode(source).unwrap();
        self.send_code(&shipped);
        self.receiver.decode(&self.there, &shipped.bytes, &mut no_deps).unwrap()
    }

    /// What `check`, on the other side, says of what `make` returned.
    fn check(&mut self, make: &str, check: &str) {
        let values = self.ship(make);
        let check: Function = self.there.load(check).set_name("@check").into_function().unwrap();
        assert_eq!(check.call::<Value>(values).unwrap(), Value::Boolean(true), "{make}");
    }

    fn refusal(&mut self, source: &str) -> String {
        match self.encode(source) {
            Err(ShipError::CannotShip(text)) => text,
            other => panic!("{source}: {other:?}"),
        }
    }
}

fn no_deps(task: TaskId) -> Result<Value, String> {
    Err(format!("no result of task {task}"))
}

macro_rules! cases {
    ($($name:ident: $make:expr => $check:expr;)*) => {
        $(#[test] fn $name() { Ends::new().check($make, $check) })*
    };
}

cases! {
    scalars: r"return nil, true, 1, -1 << 63, 0x7fffffffffffffff, 1.5, 0/0, 1/0, 'a\0b\255', '', 'x', -0.0"
        => r"local a,b,c,d,e,f,g,h,i,j,k,l = ...
             return a == nil and b and c == 1 and d == math.mininteger and e == math.maxinteger and f == 1.5 and g ~= g
             and h == 1/0 and i == 'a\0b\255' and j == '' and k == 'x' and 1/l == -1/0";
    integers_and_floats_stay_apart: "return 3, 3.0, { 1, 2.0 }, { [2^53] = 1 }"
        => "local i, f, t, k = ...
            return math.type(i) == 'integer' and math.type(f) == 'float' and math.type(t[1]) == 'integer'
            and math.type(t[2]) == 'float' and math.type(next(k)) == 'integer'";
    number_of_values_survives: "return nil, 1, nil" => "return select('#', ...) == 3";
    nested_and_mixed_tables: "return { 1, 2, nil, 4, x = { y = { z = 'q' } }, [1.5] = 2, [true] = 3, [-1] = 9 }"
        => "local t = ... return t[1] == 1 and t[2] == 2 and t[3] == nil and t[4] == 4 and t.x.y.z == 'q' and t[1.5] == 2
            and t[true] == 3 and t[-1] == 9";
    tables_and_functions_as_keys: "local k = {} local f = function() return 7 end return { [k] = 1, [f] = 2, k = k, f = f }"
        => "local t = ... return t[t.k] == 1 and t[t.f] == 2 and t.f() == 7";
    cycles_and_sharing: "local s = {} local t = { s, s } t.me = t t[t] = 1 return t, s"
        => "local t, s = ... return t[1] == t[2] and t[1] == s and t.me == t and t[t] == 1";
    float_arrays: "local t = {} for i = 1, 1000 do t[i] = i * 0.5 end t[1001] = 7 t[1002] = 0/0 t.x = 'k' return t, { 1.5, 2.5 }"
        => "local t, u = ... return #t == 1002 and t[1000] == 500.0 and math.type(t[1001]) == 'integer' and t[1002] ~= t[1002]
            and t.x == 'k' and math.type(t[1]) == 'float' and u[2] == 2.5";
    metatables: "local C = {} C.__index = C function C.area(s) return s.w * s.h end function C.__eq() return true end
        return setmetatable({ w = 2, h = 3 }, C), setmetatable({ w = 4, h = 5 }, C)"
        => "local a, b = ... return a:area() == 6 and b:area() == 20 and a == b and getmetatable(a) == getmetatable(b)";
    protected_metatables: "return setmetatable({}, { __metatable = 'locked', __len = function() return 42 end })"
        => "local t = ... return #t == 42 and getmetatable(t) == 'locked'";
    closures_with_upvalues: "local factor = 2 return function(n) return n * factor end, 21"
        => "local f, n = ... return f(n) == 42";
    recursive_local_functions: "local function fact(n) return n < 2 and 1 or n * fact(n - 1) end return fact"
        => "local f = ... return f(10) == 3628800";
    mutual_recursion_and_constants: "local K <const> = 5 local even, odd
        function even(n) if n == 0 then return true end return odd(n - 1) end
        function odd(n) if n == 0 then return false end return even(n - 1) end
        return function(n) return even(n), K end"
        => "local f = ... local a, b = f(10) return a and b == 5";
    variables_are_shared_between_closures: "local c, d = 0, 'd'
        return function() c = c + 1 return c end, function() return c end, { function(x) c = x end }, function() return d end"
        => "local inc, get, t, d = ... inc() inc() local two = get() == 2 t[1](9) return two and get() == 9 and d() == 'd'";
    each_copy_has_variables_of_its_own: "local fs = {} for i = 1, 3 do fs[i] = function() i = i + 1 return i end end return fs"
        => "local fs = ... fs[1]() return fs[1]() == 3 and fs[2]() == 3 and fs[3]() == 4";
    globals_that_functions_read: "function helper(x) return deep(x) + 1 end function deep(x) return x * LIMIT end LIMIT = 10
        return function(n) return helper(n) end"
        => "local f = ... return f(4) == 41 and helper == nil and LIMIT == nil";
    globals_read_in_inner_functions: "scale = 3 return function(n) local g = function() return n * scale end return g() end"
        => "local f = ... return f(4) == 12";
    globals_under_another_name: "shout = print fmt = string.format return function() return shout, fmt end"
        => "local f = ... local s, t = f() return s == print and t == string.format";
    replaced_standard_functions: "print = function() return 'mine' end return function() return print() end"
        => "local f = ... return f() == 'mine' and print ~= nil and print() == nil";
    standard_values: "local fmt = string.format local m = math return function(x) return fmt('%d', m.floor(x)) end, print, string, io.stderr"
        => "local f, p, s, e = ... return f(3.7) == '3' and p == print and s == string and e == io.stderr";
    required_modules_go_by_name: "local M = require 'mymod' return function(x) return M.twice(x) end, M"
        => "local f, m = ... return f(4) == 8 and m == require 'mymod'";
    functions_of_modules_go_by_value: "local twice = require 'mymod'.twice return function(x) return twice(x) end"
        => "local f = ... return f(4) == 8 and package.loaded.mymod == nil";
    the_table_of_globals_is_the_tasks_own: "local G = _G return function() return G, _ENV, _G end, _G"
        => "local f, h = ... local g, e, i = f() return g == e and g == i and g == h and g.print == print and g ~= _G";
    local_env: "local function make() local _ENV = { x = 1 } return function() x = x + 1 return x end end return make()"
        => "local f = ... f() return f() == 3 and x == nil";
    goto_close_and_varargs: "return function(...) local s = 0
        for i, v in ipairs { ... } do if v % 2 == 0 then goto continue end s = s + v ::continue:: end
        do local x <close> = setmetatable({}, { __close = function() s = s + 100 end }) end
        return s, select('#', ...) end"
        => "local f = ... local s, n = f(1, 2, 3, nil) return s == 104 and n == 4";
    global_writes_stay_in_the_message: "return function() zz = 1 _G.yy = 2 return zz + yy end"
        => "local f = ... return f() == 3 and zz == nil and yy == nil";
    strings_shared_and_long: "local long = ('0123456789'):rep(100) return { long, long, 'ab', 'ab', ab = 'ab' }"
        => "local t = ... return #t[1] == 1000 and t[1] == t[2] and t[3] == 'ab' and t.ab == 'ab'";
}

/// A function with `count` upvalues that adds them up.
fn many_upvalues(count: usize) -> String {
    // At most 200 locals a function: half of them come from an enclosing one.
    let names = |range: std::ops::Range<usize>| range.map(|i| format!("v{i}")).collect::<Vec<_>>().join(",");
    let numbers = |range: std::ops::Range<usize>| range.map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    let half = count / 2;
    format!(
        "local {} = {} return (function() local {} = {} return function() return 0 + {} end end)()",
        names(0..half),
        numbers(0..half),
        names(half..count),
        numbers(half..count),
        names(0..count).replace(',', "+"),
    )
}

#[test]
fn as_many_upvalues_as_lua_allows() {
    for count in [120, 200, 201, 254, 255] {
        let sum: usize = (0..count).sum();
        Ends::new().check(&many_upvalues(count), &format!("local f = ... return f() == {sum}"));
    }
}

#[test]
fn deep_and_cyclic_graphs() {
    let mut ends = Ends::new();
    ends.check(
        "local t = { bottom = true } t.top = t for i = 1, 2000 do t = { next = t, i } end return t",
        "local t = ... local n = 0 while t.next do t = t.next n = n + 1 end return n == 2000 and t.top == t and t.bottom",
    );
    ends.check(
        "local f = function() return 0 end for i = 1, 2000 do local g = f f = function() return g, i end end return f",
        "local f, i = ..., 0 local n = -1 while type(f) == 'function' do f, i = f() n = n + 1 end return n == 2000",
    );
    let text = ends.refusal("local t for i = 1, 100000 do t = { next = t } end return t");
    assert!(
        text.starts_with("cannot ship a value nested deeper than 10000 levels; path: arg 1.next.next")
            && text.len() < 300,
        "{text}"
    );
}

#[test]
fn a_string_of_64_mib() {
    Ends::new()
        .check("return ('x'):rep(64 << 20)", "local s = ... return #s == 64 << 20 and s:sub(-1) == 'x'");
}

#[test]
fn refusals_name_the_variable_the_function_and_the_path() {
    let refuse = |source: &str| Ends::new().refusal(source);
    assert_eq!(
        refuse(
            "local db = ud\n\nlocal function h() return db end\nreturn 1, { cfg = { ['a b'] = { 1, 2, { handle = h } } } }"
        ),
        r#"cannot ship upvalue `db` (userdata) of function at campaign.lua:3; path: arg 2.cfg["a b"][3].handle"#
    );
    assert_eq!(
        refuse("local cfg = { handle = { 1, { db = ud } } }\nreturn function() return cfg end"),
        "cannot ship a userdata inside upvalue `cfg` of function at campaign.lua:2; path: arg 1 -> upvalue `cfg`.handle[2].db"
    );
    assert_eq!(
        refuse("return 1, { cfg = { ['a b'] = { [3] = { handle = ud } } } }"),
        r#"cannot ship a userdata; path: arg 2.cfg["a b"][3].handle"#
    );
    assert_eq!(refuse("return { co = coroutine.create(print) }"), "cannot ship a coroutine; path: arg 1.co");
    assert_eq!(refuse("return { it = string.gmatch('a', 'a') }"), "cannot ship a C function; path: arg 1.it");
    assert_eq!(refuse("return { [ud] = 1 }"), "cannot ship a userdata; path: arg 1 (as a key)");
    assert_eq!(
        refuse("return setmetatable({}, { __index = ud })"),
        "cannot ship a userdata; path: arg 1 -> metatable.__index"
    );
    assert_eq!(
        refuse(
            "conn = { h = coroutine.create(print) }\nfunction q() return conn.h end\nreturn function() return q() end"
        ),
        "cannot ship a coroutine inside global `conn` read by function at campaign.lua:2; path: global `conn`.h"
    );
    assert_eq!(
        refuse("return function() return ud end"),
        "cannot ship global `ud` (userdata) read by function at campaign.lua:1"
    );
}

#[test]
fn a_refusal_leaves_the_shipper_usable() {
    let mut ends = Ends::new();
    ends.refusal("return { { ud } }");
    ends.check("return { 'again' }", "local t = ... return t[1] == 'again'");
}

#[test]
fn tracebacks_on_the_other_side_name_file_and_line() {
    let mut ends = Ends::new();
    let source = "\n\nlocal function inner(x)\n  return x.y.z\nend\nreturn function(n)\n  local r = inner({ n = n })\n  return r\nend";
    let values = ends.ship(source);
    let run: Function = ends
        .there
        .load("local f = ... return select(2, xpcall(f, debug.traceback, 1))")
        .into_function()
        .unwrap();
    let text: String = run.call(values).unwrap();
    assert!(text.contains("campaign.lua:4: attempt to index a nil value (field 'y')"), "{text}");
    assert!(
        text.contains("campaign.lua:4: in upvalue 'inner'") && text.contains("campaign.lua:7: in function"),
        "{text}"
    );
}

#[test]
fn code_is_the_same_on_both_ends() {
    let mut ends = Ends::new();
    let source = "local a = 1 local b = 2 return function() return function() return b, a, print end end";
    let there = ends.encode(source).unwrap();
    ends.send_code(&there);
    let values = ends.receiver.decode(&ends.there, &there.bytes, &mut no_deps).unwrap();
    let back = ends.receiver.encode(&ends.there, values).unwrap();
    assert_eq!(back.codes, there.codes, "a closure that returns is the code that was sent");
    assert!(back.codes.iter().all(|hash| ends.receiver.learned(*hash)));
    let again = ends.encode(&format!("\n{source}")).unwrap();
    assert_ne!(again.codes, there.codes, "another line is another code: tracebacks name it");
}

#[test]
fn results_of_a_task_take_the_globals_they_read_home() {
    let mut ends = Ends::new();
    let values = ends
        .ship("counter = 5 return function() counter = counter + 1 return function() return counter end end");
    let task: Function = ends.there.load("return (...)").call(values).unwrap();
    let result: MultiValue = task.call(()).unwrap();
    let back = ends.receiver.encode(&ends.there, result).unwrap();
    for hash in &back.codes {
        ends.sender.learn(*hash, ends.receiver.bytecode(*hash).unwrap().to_vec()).unwrap();
    }
    let home = ends.sender.decode(&ends.here, &back.bytes, &mut no_deps).unwrap();
    let value: i64 = ends.here.load("local f = ... return f()").call(home).unwrap();
    assert_eq!(value, 6);
    assert_eq!(ends.here.globals().get::<i64>("counter").unwrap(), 5);
}

#[test]
fn the_library_goes_by_name_and_its_records_stay_plain_where_it_is_missing() {
    let library = "local M = { Record = { __name = 'record' }, go = function() return co end } local co = coroutine.create(print)
        M.submit = function() return co end package.loaded['harness'] = M";
    let mut ends = Ends::new();
    ends.here.load(library).exec().unwrap();
    let make = "local h = require 'harness' local submit = h.submit
        return function() return submit end, setmetatable({ ok = true }, h.Record), setmetatable({}, h.Record)";
    let shipped = ends.encode(make).unwrap();
    ends.send_code(&shipped);
    let error = ends.receiver.decode(&ends.there, &shipped.bytes, &mut no_deps).unwrap_err();
    assert!(error.to_string().starts_with("a shipped value refers to module 'harness': "), "{error}");
    ends.there.load("package.loaded.harness = { submit = 'that side' }").exec().unwrap();
    ends.check(
        make,
        "local f, r, s = ... return f() == 'that side' and r.ok and getmetatable(r) == nil and getmetatable(s) == nil",
    );
}

#[test]
fn futures_are_dependencies_or_their_values() {
    let mut ends = Ends::new();
    ends.here.load("Future = {} function future(f) return setmetatable(f, Future) end").exec().unwrap();
    let metatable: mlua::Table = ends.here.globals().get("Future").unwrap();
    ends.sender.set_future_metatable(&ends.here, &metatable).unwrap();
    ends.receiver.set_store_dir("/store");
    let hash = Hash::of(b"program");
    let shipped = ends
        .encode(&format!(
            "local f = future {{ id = 7 }}
             local function waits() return f end
             return waits, {{ f, future {{ id = 9, ended = true, ok = true, value = future {{ id = 8 }} }} }},
               future {{ id = 3, ended = true, ok = true, value = {{ 1, 2 }} }},
               future {{ id = 4, ended = true, ok = true, value = {{ kind = 'compile', artefact = '{hash}' }} }}"
        ))
        .unwrap();
    assert_eq!(shipped.deps, [TaskId(7), TaskId(8)]);
    assert_eq!(shipped.artefacts, [hash]);
    let manifest = Manifest::of(&shipped.bytes).unwrap();
    assert_eq!(
        (&manifest.deps, &manifest.codes, &manifest.artefacts),
        (&shipped.deps, &shipped.codes, &shipped.artefacts)
    );
    ends.send_code(&shipped);
    assert_eq!(
        ends.receiver.decode(&ends.there, &shipped.bytes, &mut no_deps).unwrap_err().to_string(),
        "no result of task 7"
    );
    let mut results = |task: TaskId| Ok(Value::Integer(100 + task.0 as i64));
    let values = ends.receiver.decode(&ends.there, &shipped.bytes, &mut results).unwrap();
    let check = "local waits, list, value, path = ...
        return waits() == 107 and list[1] == 107 and list[2] == 108 and value[2] == 2 and path";
    let path: String = ends.there.load(check).call(values).unwrap();
    assert_eq!(path, format!("/store/{}", hash.object_path()));

    assert_eq!(
        ends.refusal("return { future { id = 1, ended = true, ok = false } }"),
        "cannot ship a failed task's future; path: arg 1[1]"
    );
    assert_eq!(
        ends.refusal("local built = future { id = 1, ended = true, ok = true, value = { kind = 'compile' } } return function() return built end"),
        "cannot ship upvalue `built` (failed task's future) of function at campaign.lua:1; path: arg 1"
    );
    assert!(
        ends.refusal("local f = future { ended = true, ok = true } f.value = f return f")
            .contains("without end")
    );
    assert!(ends.refusal("return future {}").contains("await it first"));
}

#[test]
fn bytecode_is_used_only_under_its_hash_and_once_learned() {
    let mut ends = Ends::new();
    let shipped = ends.encode("return function() return 1 end").unwrap();
    let [hash] = shipped.codes[..] else { panic!("one function, one code") };
    let code = ends.sender.bytecode(hash).unwrap().to_vec();
    let decode = |ends: &mut Ends| ends.receiver.decode(&ends.there, &shipped.bytes, &mut no_deps);
    assert_eq!(decode(&mut ends).unwrap_err(), ShipError::UnknownCode(hash));
    let mut other = code.clone();
    *other.last_mut().unwrap() ^= 1;
    assert!(matches!(ends.receiver.learn(hash, other), Err(ShipError::BadCode { .. })));
    let cut = &code[..code.len() - 1];
    let error = ends.receiver.learn(Hash::of(cut), cut.to_vec()).unwrap_err();
    assert!(error.to_string().ends_with("truncated"), "{error}");
    assert!(decode(&mut ends).is_err());
    ends.receiver.learn(hash, code).unwrap();
    assert!(decode(&mut ends).is_ok());
}

#[test]
fn nil_and_nan_keys_are_rejected() {
    for key in [vec![format::NIL], [vec![format::FLOAT], f64::NAN.to_le_bytes().to_vec()].concat()] {
        let manifest = [0, 0, 0, 1, 1]; // one reference, one value
        let message =
            [&manifest[..], &[format::TABLE, 0, 0], &key, &[format::TRUE, format::END, format::END]].concat();
        let (lua, mut shipper) = state();
        let error = shipper.decode(&lua, &message, &mut no_deps).unwrap_err();
        assert!(matches!(error, ShipError::Corrupt { what, .. } if what.ends_with("as a key")), "{error}");
    }
}

#[test]
fn out_of_memory_is_an_error_and_leaves_the_shipper_usable() {
    let mut ends = Ends::new();
    let shipped = ends
        .encode("local t = {} for i = 1, 20000 do t[i] = 'text ' .. i end return t, function() return t end")
        .unwrap();
    ends.send_code(&shipped);
    let mut failures = 0;
    for room in (0..4 << 20).step_by(64 << 10) {
        ends.there.gc_collect().unwrap();
        ends.there.set_memory_limit(ends.there.used_memory() + room).unwrap();
        failures += usize::from(ends.receiver.decode(&ends.there, &shipped.bytes, &mut no_deps).is_err());
    }
    assert!(failures > 0, "the limit was never felt");
    ends.there.set_memory_limit(0).unwrap();
    ends.check("return { 'again' }", "local t = ... return t[1] == 'again'");

    // While encoding: the first closure of a new code needs a little memory.
    ends.here.gc_collect().unwrap();
    let values = ends.eval("return function() return an, other, name, used, here, only end");
    ends.here.set_memory_limit(ends.here.used_memory()).unwrap();
    let result = ends.sender.encode(&ends.here, values.clone());
    ends.here.set_memory_limit(0).unwrap();
    assert!(result.is_ok() || matches!(result, Err(ShipError::Lua(_))), "{result:?}");
    ends.sender.encode(&ends.here, values).unwrap();
}

#[test]
fn the_collector_may_run_at_any_time() {
    let mut ends = Ends::new();
    for lua in [&ends.here, &ends.there] {
        lua.load("collectgarbage('incremental', 100, 1000)").exec().unwrap();
    }
    for round in 0..300 {
        let make = format!(
            "local a{round} = {{ 'x{round}' }} g{round} = 1 return function() return a{round}[1], g{round} end, setmetatable({{}}, {{ __mode = 'k' }})"
        );
        ends.check(
            &make,
            &format!("local f = ... collectgarbage() local x, g = f() return x == 'x{round}' and g == 1"),
        );
    }
    let running: bool = ends.here.load("return collectgarbage('isrunning')").eval().unwrap();
    assert!(running, "the collector was not started again");
}

/// xorshift: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[test]
fn damaged_messages_are_errors_or_values_and_never_more() {
    let rounds = if cfg!(debug_assertions) { 20_000 } else { 150_000 };
    let mut ends = Ends::new();
    let shipped = ends
        .encode(
            "local u = { 1, 2.5, 'abc', { x = { 1.0, 2, 3, 4, 5, 6, 7, 8, 9 } }, setmetatable({}, { __index = { k = 1 } }) }
             local floats = {} for i = 1, 20 do floats[i] = i / 3 end
             local c = 0 helper = function() return c end
             return function() c = c + 1 return u, helper, string end, u, floats, require 'mymod',
               { u, 'some longer string that is not interned because it has more than forty bytes', [floats] = { {}, {} } }",
        )
        .unwrap();
    ends.send_code(&shipped);
    let good = shipped.bytes;
    ends.receiver.decode(&ends.there, &good, &mut no_deps).unwrap();
    ends.there.set_memory_limit(64 << 20).unwrap();
    let (mut random, mut whole) = (Random(88_172_645_463_325_252), 0);
    for _ in 0..rounds {
        let mut bad = good.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bad.len());
            bad[at] = random.below(256) as u8;
        }
        if random.below(4) == 0 {
            bad.truncate(random.below(good.len()));
        }
        match ends.receiver.decode(&ends.there, &bad, &mut no_deps) {
            Ok(_) => whole += 1,
            Err(ShipError::Lua(text)) => panic!("memory ran out: {text}"),
            Err(_) => {}
        }
    }
    assert!(whole > 0 && whole < rounds, "{whole} of {rounds} were decoded: the damage tests nothing");
    ends.there.gc_collect().unwrap();
    assert!(ends.there.used_memory() < 16 << 20, "{} bytes are kept", ends.there.used_memory());
}
