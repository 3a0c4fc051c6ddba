//! Anything at all as a message, as damage to a good message, and as bytecode to be learned (which is read, never
//! run): errors or values, and never more.

use harness::model::Hash;
use harness::script::raw::{Shipper, new_state};
use mlua::{Lua, MultiValue};

/// A message may name any standard function as the one that makes a value anew: leave none that does harm.
const HARMLESS: &str = "os, io, debug, dofile, loadfile, load, collectgarbage = nil
    package.loadlib, package.searchers[2], package.searchers[3], package.searchers[4] = nil";

const VALUES: &str = "
    local shared, floats = { 1, 2.5, 'abc', { x = setmetatable({}, { __index = { k = 1 } }) } }, {}
    for i = 1, 20 do floats[i] = i / 3 end
    local c = 0
    helper = function() return c end
    local function make(...) return { ... } end
    local hooked = setmetatable({}, { __ship = function() return make, shared, helper end })
    return function() c = c + 1 return shared, helper, string end, shared, floats, hooked, { shared, [floats] = { {} } }";

struct Ends {
    there: Lua,
    receiver: Shipper,
    good: Vec<u8>,
}

impl Ends {
    fn new() -> mlua::Result<Self> {
        let (here, there) = (new_state(), new_state());
        there.load(HARMLESS).exec()?;
        there.set_memory_limit(256 << 20)?;
        let (mut sender, mut receiver) = (Shipper::new(&here)?, Shipper::new(&there)?);
        let values: MultiValue = here.load(VALUES).set_name("@c.lua").eval()?;
        let shipped = sender.encode(&here, values).expect("all of it can be shipped");
        for hash in &shipped.codes {
            let code = sender.bytecode(*hash).expect("it was just made");
            receiver.learn(*hash, code.to_vec()).expect("it is good");
        }
        Ok(Self { there, receiver, good: shipped.bytes.to_vec() })
    }

    fn decode(&mut self, message: &[u8]) {
        let _ = self.receiver.decode(&self.there, message, &mut |_| Err("no results here".into()));
    }
}

thread_local! {
    static ENDS: std::cell::RefCell<Ends> = Ends::new().expect("Lua starts").into();
}

pub fn target(data: &[u8]) {
    ENDS.with_borrow_mut(|ends| {
        ends.decode(data);
        // Three bytes each: where (two) and what.
        let mut damaged = ends.good.clone();
        for change in data.chunks_exact(3) {
            let at = usize::from(change[0]) << 8 | usize::from(change[1]);
            let length = damaged.len();
            damaged[at % length] = change[2];
        }
        ends.decode(&damaged);
        let _ = ends.receiver.learn(Hash::of(data), data.to_vec());
    });
}
