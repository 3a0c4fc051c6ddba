//! Every shape of value from one state to another, every refusal with its text, and damaged messages.

use mlua::{Function, Lua, MultiValue, Value};

use super::*;

mod trouble;

/// Two states, as in two processes.
struct Ends {
    here: Lua,
    sender: Shipper,
    there: Lua,
    receiver: Shipper,
}

/// A module with functions, a class with an heir, data, a closure's variable, and what is defined elsewhere.
const MODULE: &str = r#"
local M = { sizes = { 1, 2 }, deep = { inner = { f = function() return 'deep' end } } }
local count = 0
function M.twice(x) return 2 * x end
function M.count() count = count + 1 return count end
M.Point = { __name = 'point' }
M.Point.__index = M.Point
function M.Point.new(x) return setmetatable({ x = x }, M.Point) end
function M.Point:double() return 2 * self.x end
M.Sub = setmetatable({}, { __index = M.Point })
M.Sub.__index = M.Sub
M.origin = M.Point.new(0)
return M"#;

fn state() -> (Lua, Shipper) {
    let lua = new_state();
    let from = loaded_from(&lua).unwrap();
    from.raw_set("mymod", "@lua/mymod.lua").unwrap();
    from.raw_set("made", "@lua/made.lua").unwrap();
    let module: Function = lua.load(MODULE).set_name("@lua/mymod.lua").into_function().unwrap();
    let made: Function =
        lua.load("return function() return 'called' end").set_name("@lua/made.lua").into_function().unwrap();
    let preload: mlua::Table = lua.globals().get::<mlua::Table>("package").unwrap().get("preload").unwrap();
    preload.raw_set("mymod", module).unwrap();
    preload.raw_set("made", made).unwrap();
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
    functions_of_modules_go_by_name: "local m = require 'mymod' m.count() return m.twice, function() return m.count() end, m.deep.inner.f, m.count"
        => "local twice, count, deep, own = ... local m = require 'mymod'
            return twice == m.twice and count() == 1 and deep == m.deep.inner.f and own == m.count";
    classes_of_modules_are_the_same_there: "local P = require 'mymod'.Point return P.new(3), P, { P.new(4) }, require 'mymod'.origin"
        => "local p, P, list, origin = ... local m = require 'mymod'
            return P == m.Point and getmetatable(p) == P and p:double() == 6 and list[1]:double() == 8
              and getmetatable(origin) == P and origin ~= m.origin";
    classes_without_functions_of_their_own: "local S = require 'mymod'.Sub return setmetatable({ x = 4 }, S)"
        => "local s = ... return getmetatable(s) == require 'mymod'.Sub and s:double() == 8";
    data_of_modules_goes_by_value: "local m = require 'mymod' m.sizes[3] = 3 return m.sizes"
        => "local t = ... return #t == 3 and t ~= require 'mymod'.sizes";
    what_others_put_into_a_module_goes_by_value: "local m = require 'mymod' m.own = function() return 'own' end m.twice = function(x) return 3 * x end
        return m.own, m.twice"
        => "local own, thrice = ... return own() == 'own' and thrice(2) == 6 and require 'mymod'.own == nil";
    modules_that_are_functions: "return require 'made'" => "local f = ... return f == require 'made' and f() == 'called'";
    modules_without_a_file_go_by_value: "package.preload.here = function() return { f = function() return 'by value' end } end
        local here = require 'here' return function() return here.f() end"
        => "local f = ... return f() == 'by value' and package.loaded.here == nil";
    hooks_make_values_anew: "local C = {} C.__index = C local made = 0
        local function open(name, n) made = made + 1 return setmetatable({ name = name, n = n, made = made }, C) end
        C.__ship = function(self) return open, self.name, self.n + 1 end
        local c = open('db', 1) c.handle = ud
        return c, { c, k = c }, open('other', nil and 1 or 5)"
        => "local c, t, other = ... return c.name == 'db' and c.n == 2 and c.handle == nil and t[1] == c and t.k == c
            and other.name == 'other' and other.made == c.made + 1 and getmetatable(c) == getmetatable(other)";
    hooks_of_userdata: "debug.getmetatable(io.stdout).__ship = function(f) return string.rep, 'x', 3 end
        local f <const> = io.tmpfile() return f, { f }"
        => "local s, t = ... return s == 'xxx' and t[1] == 'xxx'";
    hooks_read_globals: "Point = {} Point.__index = Point limit = 7
        function Point.new(x) return setmetatable({ x = x, limit = limit }, Point) end
        Point.__ship = function(p) return Point.new, p.x end
        points = { Point.new(1), Point.new(2) }
        return function() return points, Point, other end"
        => "local f = ... local points, P, other = f() return points[2].x == 2 and points[1].limit == 7
            and getmetatable(points[1]) == P and other == nil and Point == nil";
    hooks_within_hooks: "local function pair(a, b) return { a, b } end
        local function hooked(...) local v = table.pack(...) return setmetatable({}, { __ship = function() return pair, v[1], v[2] end }) end
        local inner = hooked(1, 2) return hooked(inner, { inner })"
        => "local t = ... return t[1][2] == 2 and t[2][1] == t[1]";
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
    ends.check(
        "local t = { bottom = true } t.top = t for i = 1, 100000 do t = { next = t, i } end return t",
        "local t = ... local n = 0 while t.next do t = t.next n = n + 1 end return n == 100000 and t.top == t and t.bottom",
    );
    ends.check(
        "local t = 'bottom' for i = 1, 100000 do t = { [{ t }] = true } end return t",
        "local t = ... local n = 0 while type(t) == 'table' do t = next(t)[1] n = n + 1 end return n == 100000",
    );
    ends.check(
        "local t = {} for i = 1, 100000 do t = setmetatable({}, t) end return t",
        "local t = ... local n = 0 while getmetatable(t) do t = getmetatable(t) n = n + 1 end return n == 100000",
    );
    ends.check(
        "local f = function() return 0 end for i = 1, 100000 do local g = f f = function() return g, i end end return f",
        "local f, i = ..., 0 local n = -1 while type(f) == 'function' do f, i = f() n = n + 1 end return n == 100000",
    );
    let text = ends.refusal("local t for i = 1, 300000 do t = { next = t } end return t");
    assert!(
        text.starts_with("cannot ship a value nested deeper than 200000 levels; path: arg 1.next.next")
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
        refuse("return setmetatable({}, { __ship = function() error('no luck') end })"),
        "cannot ship a value whose `__ship` failed: campaign.lua:1: no luck; path: arg 1"
    );
    assert_eq!(
        refuse("return { at = setmetatable({}, { __ship = function() return print, 1, { ud } end }) }"),
        "cannot ship a userdata; path: arg 1.at -> argument 2 of its `__ship`[1]"
    );
    assert!(
        refuse("return setmetatable({}, { __ship = function() end })")
            .starts_with("cannot ship a value whose `__ship` returned no function: return one")
    );
    assert_eq!(
        refuse("return setmetatable({}, { __ship = function(self) return print, { self } end })"),
        "cannot ship a value whose `__ship` leads back to itself; path: arg 1 -> argument 1 of its `__ship`[1]"
    );
    assert_eq!(
        refuse(
            "bad = { ud } local function make() return bad end
local v = setmetatable({}, { __ship = function() return make end }) return { deep = { v } }"
        ),
        "cannot ship a userdata inside global `bad` read by function at campaign.lua:1; path: global `bad`[1]"
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
    let library = "local M = { Record = { __tostring = function() return 'record' end }, go = function() return co end } local co = coroutine.create(print)
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
fn a_hook_that_fails_on_the_other_side_says_so() {
    let mut ends = Ends::new();
    for (rebuild, why) in [
        ("error('no device')", "campaign.lua:1: no device"),
        ("return nil", "it returned nothing"),
        ("error {}", "it raised a table"),
    ] {
        let make = format!(
            "return setmetatable({{}}, {{ __ship = function() return function() {rebuild} end end }})"
        );
        let shipped = ends.encode(&make).unwrap();
        ends.send_code(&shipped);
        let error = ends.receiver.decode(&ends.there, &shipped.bytes, &mut no_deps).unwrap_err();
        assert_eq!(error, ShipError::Rebuild(why.into()));
    }
    ends.check("return 1", "return ... == 1");
}

#[test]
fn shared_values_travel_by_hash_and_are_kept_until_forgotten() {
    let mut ends = Ends::new();
    let store = tempfile::tempdir().unwrap();
    ends.receiver.set_store_dir(store.path().to_str().unwrap());
    ends.here
        .load("Shared = {} function handle(hash) return setmetatable({ hash = hash }, Shared) end")
        .exec()
        .unwrap();
    let metatable: mlua::Table = ends.here.globals().get("Shared").unwrap();
    ends.sender.set_share_metatable(&ends.here, &metatable).unwrap();
    let put = |ends: &mut Ends, source: &str| {
        let shipped = ends.encode(source).unwrap();
        let hash = Hash::of(&shipped.bytes);
        let path = store.path().join(hash.object_path());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &shipped.bytes).unwrap();
        ends.sender.add_share(hash, &shipped);
        (hash, path)
    };
    let (inner, _) = put(&mut ends, "return { 'inner' }");
    let (hash, path) = put(
        &mut ends,
        &format!("local i = handle '{inner}' return {{ f = function() return i[1] end, i = i }}"),
    );
    let make = format!("local s = handle '{hash}' return function() return s end, s, handle '{inner}'");
    let shipped = ends.encode(&make).unwrap();
    assert!(shipped.bytes.len() < 200 && shipped.codes.len() == 2, "{shipped:?}");
    assert_eq!(shipped.artefacts.iter().collect::<std::collections::BTreeSet<_>>(), [&inner, &hash].into());
    ends.check(&make, "local f, s, i = ... seen = s return f() == s and s.f() == 'inner' and s.i == i");
    std::fs::remove_file(&path).unwrap();
    ends.check(&make, "local f, s = ... return s == seen");
    ends.receiver.forget_share(&ends.there, hash);
    let error = ends.receiver.decode(&ends.there, &shipped.bytes, &mut no_deps).unwrap_err();
    assert!(error.to_string().contains("is not in this node's store"), "{error}");
    std::fs::write(&path, "damaged").unwrap();
    let error = ends.receiver.decode(&ends.there, &shipped.bytes, &mut no_deps).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    assert_eq!(
        ends.refusal("return { handle 'x' }"),
        "cannot ship a damaged handle of a shared value; path: arg 1[1]"
    );
}

#[test]
fn the_variable_that_makes_a_message_big_is_named() {
    let mut ends = Ends::new();
    let mut heavy =
        |source: &str| ends.encode(source).unwrap().heavy.map(|heavy| (heavy.variable, heavy.bytes >> 20));
    assert_eq!(
        heavy("local s = ('x'):rep(1 << 19) return function() return s end, ('y'):rep(4 << 20)"),
        None
    );
    assert_eq!(
        heavy(
            "local small, data, other = 'a', { ('x'):rep(3 << 20) }, ('o'):rep(1 << 20)
return function() return small, data, other end"
        ),
        Some(("upvalue `data` of function at campaign.lua:2".into(), 3))
    );
    assert_eq!(
        heavy(
            "big = ('x'):rep(2 << 20)
local function f() return big end
return function() return f() end"
        ),
        Some(("global `big` read by function at campaign.lua:2".into(), 2))
    );
}
