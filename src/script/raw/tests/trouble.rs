//! Bytecode that did not come as it should, damaged messages, no memory, a busy collector.

use super::*;
use crate::stats::Random;

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
        let manifest = [0, 0, 0, 0, 1, 1]; // one reference, one value
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

#[test]
fn damaged_messages_are_errors_or_values_and_never_more() {
    let rounds = if cfg!(debug_assertions) { 20_000 } else { 150_000 };
    let mut ends = Ends::new();
    // Damage may name any standard function as the one that makes a value anew: leave none that does harm.
    let harm = "os, io, debug, dofile, loadfile, load, collectgarbage = nil
        package.loadlib, package.searchers[2], package.searchers[3], package.searchers[4] = nil";
    ends.there.load(harm).exec().unwrap();
    ends.receiver = Shipper::new(&ends.there).unwrap();
    let shipped = ends
        .encode(
            "local u = { 1, 2.5, 'abc', { x = { 1.0, 2, 3, 4, 5, 6, 7, 8, 9 } }, setmetatable({}, { __index = { k = 1 } }) }
             local floats = {} for i = 1, 20 do floats[i] = i / 3 end
             local c = 0 helper = function() return c end
             local function make(...) return { ... } end
             local hooked = setmetatable({}, { __ship = function() return make, u, helper end })
             return function() c = c + 1 return u, helper, string end, u, floats, require 'mymod', hooked, require 'mymod'.Point,
               { u, 'some longer string that is not interned because it has more than forty bytes', [floats] = { {}, {} } }",
        )
        .unwrap();
    ends.send_code(&shipped);
    let good = shipped.bytes;
    ends.receiver.decode(&ends.there, &good, &mut no_deps).unwrap();
    ends.there.set_memory_limit(64 << 20).unwrap();
    let (mut random, mut whole) = (Random(1), 0);
    for _ in 0..rounds {
        let mut bad = good.to_vec();
        for _ in 0..1 + random.below(3) {
            let at = random.index(bad.len());
            bad[at] = random.below(256) as u8;
        }
        if random.below(4) == 0 {
            bad.truncate(random.index(good.len()));
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
