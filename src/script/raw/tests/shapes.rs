//! Every shape of value from one state to another: what arrives is what was sent.

use super::*;

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
