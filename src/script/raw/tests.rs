//! From one state to another: every shape of value (`shapes`), every refusal with its text, what goes by name or hash, and
//! damaged messages (`trouble`).

use mlua::{Function, Lua, MultiValue, Value};

use super::*;

mod plain;
mod shapes;
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

/// The manifest goes before the values where these lie, if there is room; a long one moves them.
#[test]
fn what_is_large_is_one_message_however_long_its_manifest_is() {
    for functions in [0, 1, 6, 7, 8, 100] {
        let make = format!(
            "local list = {{}} for i = 1, {functions} do
            list[i] = load('return function() return ' .. i .. ' end', '@made.lua')() end
            return list, ('x'):rep({KEPT}), ('y'):rep({KEPT}), 'z'"
        );
        let check = format!(
            "local list, x, y, z = ... for i, f in ipairs(list) do assert(f() == i) end
            return #list == {functions} and x == ('x'):rep({KEPT}) and y == ('y'):rep({KEPT}) and z == 'z'"
        );
        let mut ends = Ends::new();
        let shipped = ends.encode(&make).unwrap();
        assert_eq!((shipped.codes.len(), shipped.body > GAP), (functions, functions > 7));
        ends.check(&make, &check);
        ends.check(&make, &check);
    }
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
    assert_eq!(
        error.to_string(),
        "a shipped value refers to harness.submit, which is for the script: a task cannot use it"
    );
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
             return waits, {{ f, future {{ id = 9, ended = true, well = true, outcome = future {{ id = 8 }} }} }},
               future {{ id = 3, ended = true, well = true, outcome = {{ 1, 2 }} }},
               future {{ id = 4, ended = true, well = true, outcome = {{ kind = 'compile', artefact = '{hash}' }} }}"
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
        ends.refusal("return { future { id = 1, ended = true, well = false } }"),
        "cannot ship a failed task's future; path: arg 1[1]"
    );
    assert_eq!(
        ends.refusal("local built = future { id = 1, ended = true, well = true, outcome = { kind = 'compile' } } return function() return built end"),
        "cannot ship upvalue `built` (failed task's future) of function at campaign.lua:1; path: arg 1"
    );
    assert!(
        ends.refusal("local f = future { ended = true, well = true } f.outcome = f return f")
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
