//! Values and closures between Lua states: [`Shipper`].
//!
//! Closures travel as bytecode named by its content hash, sent once per receiver, with their upvalues and
//! the globals they read; the graph keeps cycles, sharing (variables too) and the difference between integer
//! and float. Standard values and modules go by name. `_ENV` never travels: on the other side a message gets
//! a table of globals of its own, through which the globals of that side are seen, so what a task writes to
//! globals is gone when it ends. Not seen: globals under a computed name (`_G[name]`, `pairs(_G)`, `load`ed
//! text) and what was added to the standard tables.
//!
//! | file | |
//! |---|---|
//! | `format` | the bytes, and the manifest that can be read without Lua |
//! | `encode`, `frames`, `future` | from values to bytes |
//! | `decode` | and back |
//! | `plain` | both, for a number or nothing |
//! | `hooks` | values that are made anew, and shared ones |
//! | `call` | a shipped function called, from message to message |
//! | `stop` | and stopped from outside |
//! | `known` | what goes by name or number |
//! | `fields` | tables made from Rust, at once |
//! | `read` | and read by Rust, at once |
//! | `luac` | reads bytecode: globals read, factory of closures |
//! | `path` | where something lies, for errors |
//! | `stack` | the raw Lua stack |
//! | `error` | why not |
//!
//! Lua raises errors by long jumps, which skip destructors. So everything that may raise runs inside
//! `stack::protected`, and what it owns belongs to the `Shipper`, outside of the jump. A crafted chunk can
//! crash Lua: bytecode is loaded only if it was [learned](Shipper::learn) under its own hash.

#![allow(unsafe_code)]

mod call;
mod decode;
mod encode;
mod error;
mod fields;
mod format;
mod frames;
mod future;
mod hooks;
mod known;
mod luac;
mod path;
mod plain;
mod read;
mod stack;
mod standard;
mod stop;
mod submit;

use std::ffi::c_int;
use std::rc::Rc;

use bytes::Bytes;
use mlua::ffi::lua_State;
use mlua::{Lua, MultiValue, Table, Value};

use crate::model::{CompactBytes, Hash, TaskId};
pub use call::{Around, Called, Gathered, Wanted};
use decode::Decoder;
use encode::Encoder;
pub use error::ShipError;
pub use fields::{Field, Fields};
pub use format::{Codes, Manifest};
use format::{Message, Reader};
pub use frames::Numbered;
use frames::{GAP, Variable};
use known::{Known, LOADED_FROM, Share};
pub use luac::{How, Use, returned, uses};
pub use read::read;
use stack::{Stack, protected};
pub use stop::{Stopper, ToStop, look as look_whether_to_stop};
pub use submit::{learn, submit_functions};

/// A state with all of Lua's libraries, C modules included. mlua's `catch_rust_panics` stays on: turning it
/// off puts mlua's own `pcall` in the place of Lua's, and coroutines cannot yield through that one.
pub fn new_state() -> Lua {
    // SAFETY: this allows C modules and bytecode. The user's C code is the user's; `load` is to be replaced by
    // one for text only, and the shipper knows where its bytecode comes from.
    unsafe { Lua::unsafe_new() }
}

/// Functions whose variables take more are told of (B): it is sent with every call.
const HEAVY: usize = 1 << 20;
/// A larger body becomes the message; of a smaller one the buffer is kept for the next (B).
const KEPT: usize = 1 << 20;
/// No more is shipped at once (B): half of what a message may have.
pub const MESSAGE_LIMIT: usize = 512 << 20;

/// The table of where each module of this state was loaded from, by its name: what came from a file goes by
/// name to the other side.
pub fn loaded_from(lua: &Lua) -> mlua::Result<Table> {
    match lua.named_registry_value(LOADED_FROM)? {
        Value::Table(table) => Ok(table),
        _ => {
            let table = lua.create_table()?;
            lua.set_named_registry_value(LOADED_FROM, &table)?;
            Ok(table)
        }
    }
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shipped {
    /// For `decode` on the other end.
    pub bytes: CompactBytes,
    /// Where the values begin, after the manifest.
    pub body: usize,
    /// Bytecode the other end must learn first.
    pub codes: Codes,
    /// Tasks whose results it waits for.
    pub deps: Vec<TaskId>,
    /// Artefacts that must be in the store of the other end, those of shared values among them.
    pub artefacts: Vec<Hash>,
    /// Modules of files whose functions and tables go by name.
    pub modules: Vec<String>,
    /// What makes it big, if the variables of its functions do.
    pub heavy: Option<Box<Heavy>>,
}

impl Shipped {
    /// Where the first value is if it is a string: where it begins in the bytes, and its length (B).
    pub fn first_string(&self) -> Option<(usize, usize)> {
        let mut reader = Reader::new(self.bytes.get(self.body..)?);
        if !reader.accept(format::STRING) && !reader.accept(format::BYTES) {
            return None;
        }
        let length = reader.string().ok()?.len();
        Some((self.body + reader.at - length, length))
    }
}

/// The variable that makes a message big.
#[derive(Clone, Debug, PartialEq)]
pub struct Heavy {
    /// Which one, of which function.
    pub variable: String,
    /// What it takes (B).
    pub bytes: usize,
    /// What all variables take (B).
    pub captured: usize,
}

/// Ships values out of and into one Lua state.
///
/// A `Shipper` belongs to the state it was made for; the methods that take a state want that one (or a
/// coroutine of it). Decoding may `require` a module, and so run code: keep no other borrow meanwhile.
pub struct Shipper {
    known: Known,
    encoder: frames::Buffers,
    decoder: decode::Buffers,
    label: &'static str,
}

impl Shipper {
    /// The table of standard values is fixed, so the ends agree whatever else their states hold. Make it
    /// after replacing standard functions, or call [`Shipper::standard_changed`] then.
    pub fn new(lua: &Lua) -> mlua::Result<Self> {
        loaded_from(lua)?;
        let mut shipper = Self {
            known: Known::new(),
            encoder: frames::Buffers::default(),
            decoder: decode::Buffers::default(),
            label: "arg",
        };
        shipper.with_known(lua, |stack, known| known.set_up(stack))?;
        Ok(shipper)
    }

    /// Standard functions were replaced by the library: from now on the new ones go by their names too.
    pub fn standard_changed(&mut self, lua: &Lua) -> mlua::Result<()> {
        self.with_known(lua, |stack, known| known.read_standard(stack))
    }

    /// Tables with this metatable are futures, with fields `id, ended, ok, value`.
    pub fn set_future_metatable(&mut self, lua: &Lua, metatable: &Table) -> mlua::Result<()> {
        lua.set_named_registry_value("harness.future", metatable)?; // kept alive: its address is remembered
        self.known.future_meta = metatable.to_pointer() as usize;
        Ok(())
    }

    /// Tables with this metatable are handles of shared values, with the field `hash`.
    pub fn set_share_metatable(&mut self, lua: &Lua, metatable: &Table) -> mlua::Result<()> {
        lua.set_named_registry_value("harness.share", metatable)?; // kept alive: its address is remembered
        self.known.share_meta = metatable.to_pointer() as usize;
        Ok(())
    }

    /// A message in the store of artefacts, which from now on travels by its hash.
    pub fn add_share(&mut self, hash: Hash, message: &Shipped) {
        let codes = message.codes.iter().filter_map(|code| self.known.find_code(*code)).collect();
        let share = Share { codes, artefacts: message.artefacts.clone(), value: None };
        self.known.shares.entry(hash).or_insert(share);
    }

    /// A shared value is not needed any more. Should it be after all, it is unpacked again.
    pub fn forget_share(&mut self, lua: &Lua, hash: Hash) {
        if let Some(value) = self.known.shares.remove(&hash).and_then(|share| share.value) {
            // SAFETY: gives a registry number back; raises nothing and needs no memory.
            let _ = unsafe { lua.exec_raw::<()>((), |state| Stack::new(state).release(value)) };
        }
    }

    /// Folder of the artefacts of this node, for paths in decoded values.
    pub fn set_store_dir(&mut self, folder: &str) {
        self.known.store_dir = folder.into();
    }

    /// What the values are called in errors: "arg" unless said.
    pub fn set_label(&mut self, label: &'static str) {
        self.label = label;
    }

    /// Packs values.
    pub fn encode(&mut self, lua: &Lua, values: MultiValue) -> Result<Shipped, ShipError> {
        let mut result = Ok(Shipped::default());
        // SAFETY: the closure works on this state and raises nothing: `encode_stack` protects itself.
        unsafe {
            lua.exec_raw::<()>(values, |state| {
                result = self.encode_stack(state, 1);
                Stack::new(state).set_top(0);
            })
        }
        .map_err(lua_error)?;
        result
    }

    /// Packs the values `first..=top` of a raw C function; the stack is as before.
    ///
    /// # Safety
    /// `state` is the shipper's, or a coroutine of it.
    pub unsafe fn encode_stack(&mut self, state: *mut lua_State, first: c_int) -> Result<Shipped, ShipError> {
        // SAFETY: the caller's promise; room is asked for before anything is pushed.
        let stack = unsafe { Stack::new(state) };
        self.encoder.head.clear();
        if plain::encode(stack, first, &mut self.encoder.head) {
            let bytes = self.encoder.head.as_slice().into();
            return Ok(Shipped { bytes, body: plain::BODY, ..Shipped::default() });
        }
        let top = stack.top();
        let count = (top - first + 1).max(0);
        if !stack.reserve(count + 4) {
            return Err(ShipError::Lua("the stack is full".into()));
        }
        (first..=top).for_each(|i| stack.push_copy(i));
        let mut encoder = Encoder::new(&mut self.known, &mut self.encoder, self.label);
        // SAFETY: `count` values were pushed; the encoder owns its buffers through `self`.
        let ran = unsafe {
            protected(state, count, &mut encoder, |stack, encoder| {
                let _ = encoder.run(stack); // why it failed is in the encoder
            })
        };
        let failure = encoder.failure.take();
        stack.set_top(top);
        if std::mem::take(&mut self.known.collector_stopped) {
            stack.start_collector();
        }
        ran.map_err(ShipError::Lua)?;
        let bytes = self.encoder.body.len() - GAP;
        match failure {
            Some(text) => Err(ShipError::CannotShip(text)),
            None if bytes > MESSAGE_LIMIT => {
                let mib = bytes.div_ceil(1 << 20);
                self.encoder.body = Vec::new();
                Err(ShipError::TooLarge { mib, limit: MESSAGE_LIMIT >> 20 })
            }
            None => Ok(self.message(count as usize)),
        }
    }

    /// The message from what the encoder left in its buffers.
    fn message(&mut self, values: usize) -> Shipped {
        let heavy = (self.encoder.heavy.captured > HEAVY).then(|| self.heavy()).flatten();
        let out = &mut self.encoder;
        let manifest = Manifest {
            codes: std::mem::take(&mut out.codes),
            deps: out.deps.take(),
            artefacts: out.artefacts.take(),
            shares: out.shares.take(),
            references: out.references as usize,
            values,
        };
        manifest.write(&mut out.head);
        let body = out.head.len();
        let bytes = if out.body.len() < KEPT {
            CompactBytes::joined(&out.head, &out.body[GAP..])
        } else {
            // What is large stays where it is, if there is room for the manifest.
            let mut bytes = std::mem::take(&mut out.body);
            let gap = GAP.saturating_sub(body);
            bytes.splice(gap..GAP, out.head.iter().copied());
            bytes.shrink_to_fit();
            Bytes::from(bytes).slice(gap..).into()
        };
        let mut artefacts = manifest.artefacts;
        artefacts.extend(manifest.shares);
        artefacts.extend(out.needed.take());
        let modules = std::mem::take(&mut out.modules).into_iter().filter(|name| !known::is_library(name));
        let modules = modules.map(|name| String::from_utf8_lossy(&name).into_owned()).collect();
        Shipped { bytes, body, codes: manifest.codes, deps: manifest.deps, artefacts, modules, heavy }
    }

    /// Which variable made the message in the buffers big.
    fn heavy(&self) -> Option<Box<Heavy>> {
        let heavy = self.encoder.heavy;
        let (code, variable) = match heavy.variable? {
            Variable::Upvalue { code, upvalue } => {
                let name = luac::upvalue_name(&self.known.codes[code as usize].bytes, upvalue as usize - 1);
                (code, format!("upvalue `{}` of", name?))
            }
            Variable::Global { code, name } => {
                let name = String::from_utf8_lossy(&self.known.names[name as usize]);
                (code, format!("global `{name}` read by"))
            }
        };
        let location = &self.known.codes[code as usize].chunk.location;
        let variable = format!("{variable} function at {location}");
        Some(Box::new(Heavy { variable, bytes: heavy.bytes, captured: heavy.captured }))
    }

    /// Bytecode by its hash, to send to who needs it.
    pub fn bytecode(&self, hash: Hash) -> Option<Rc<[u8]>> {
        self.known.find_code(hash).map(|code| self.known.codes[code as usize].bytes.clone())
    }

    /// Where a function was written, as people read it: `campaign.lua:3`.
    pub fn location(&self, hash: Hash) -> Option<&str> {
        self.known.find_code(hash).map(|code| self.known.codes[code as usize].chunk.location.as_str())
    }

    /// Did this bytecode come from the other end?
    pub fn learned(&self, hash: Hash) -> bool {
        self.known.find_code(hash).is_some_and(|code| self.known.codes[code as usize].learned)
    }

    /// Takes bytecode from the other end. It must be what its hash says, and read as a chunk.
    pub fn learn(&mut self, hash: Hash, bytes: Vec<u8>) -> Result<(), ShipError> {
        let bad = |why| ShipError::BadCode { hash, why };
        if let Some(code) = self.known.find_code(hash) {
            self.known.codes[code as usize].learned = true;
            return Ok(());
        }
        if Hash::of(&bytes) != hash {
            return Err(bad("its content has another hash"));
        }
        let chunk = luac::read(&bytes).map_err(bad)?;
        let mut canonical = bytes.clone();
        luac::canonicalise(&mut canonical).map_err(bad)?;
        if canonical != bytes || chunk.upvalues > 255 {
            return Err(bad("it is not in canonical form"));
        }
        self.known.add_code(hash, bytes.into(), chunk, true);
        Ok(())
    }

    /// Unpacks values. `deps` gives the result of each task the message waits for.
    pub fn decode(
        &mut self,
        lua: &Lua,
        bytes: &[u8],
        deps: &mut dyn FnMut(TaskId) -> Result<Value, String>,
    ) -> Result<MultiValue, ShipError> {
        let results = match Manifest::of(bytes)?.deps {
            tasks if tasks.is_empty() => Value::Nil,
            tasks => {
                let results = lua.create_table().map_err(lua_error)?;
                for (i, task) in (1..).zip(tasks) {
                    let result = deps(task).map_err(ShipError::Dependency)?;
                    results.raw_set(i, result).map_err(lua_error)?;
                }
                Value::Table(results)
            }
        };
        let mut outcome = Ok(0);
        // SAFETY: the closure works on this state and raises nothing: `decode_stack` protects itself.
        let values = unsafe {
            lua.exec_raw::<MultiValue>(results, |state| {
                outcome = self.decode_stack(state, bytes, 1);
                Stack::new(state).remove(1);
            })
        };
        outcome?;
        values.map_err(lua_error)
    }

    /// Unpacks values onto the stack and returns their number. At index `deps` lies a table: the results of
    /// the tasks in the manifest, in its order; 0 if the message waits for none.
    ///
    /// # Safety
    /// `state` is the shipper's, or a coroutine of it, and `deps` a valid index or 0.
    pub unsafe fn decode_stack(
        &mut self,
        state: *mut lua_State,
        bytes: &[u8],
        deps: c_int,
    ) -> Result<c_int, ShipError> {
        // SAFETY: the caller's promise.
        match plain::decode(unsafe { Stack::new(state) }, bytes) {
            Some(values) => Ok(values),
            // SAFETY: the caller's promise.
            None => unsafe { self.decode_message(state, &Message::of(bytes)?, deps) },
        }
    }

    /// As `decode_stack`, of a message whose manifest was read.
    ///
    /// # Safety
    /// As `decode_stack`.
    unsafe fn decode_message(
        &mut self,
        state: *mut lua_State,
        Message { manifest, reader }: &Message<'_>,
        deps: c_int,
    ) -> Result<c_int, ShipError> {
        if let (0, Some(task)) = (deps, manifest.deps.first()) {
            return Err(ShipError::Dependency(format!("the result of task {task} did not come")));
        }
        for hash in &manifest.shares {
            // SAFETY: the caller's promise.
            unsafe { self.unpack_share(state, *hash) }?;
        }
        let mut decoder = Decoder::new(&mut self.known, &mut self.decoder, manifest, *reader)?;
        // SAFETY: the caller's promise; room is asked for before anything is pushed.
        let stack = unsafe { Stack::new(state) };
        let top = stack.top();
        if !stack.reserve(4) {
            return Err(ShipError::Lua("the stack is full".into()));
        }
        if deps == 0 {
            stack.push_nil()
        } else {
            stack.push_copy(deps)
        }
        // SAFETY: one value was pushed; the decoder owns its buffers through `self`.
        let left = unsafe {
            protected(state, 1, &mut decoder, |stack, decoder| {
                let _ = decoder.run(stack); // why it failed is in the decoder
            })
        };
        let (failure, below) = (decoder.failure.take(), decoder.below());
        let left = left.map_err(ShipError::Lua)?;
        if let Some(error) = failure {
            stack.set_top(top);
            return Err(error);
        }
        (0..below).for_each(|_| stack.remove(top + 1));
        Ok(left - below)
    }

    /// Unpacks a shared value, unless it lies here already, and keeps it.
    ///
    /// # Safety
    /// As `decode_stack`.
    unsafe fn unpack_share(&mut self, state: *mut lua_State, hash: Hash) -> Result<(), ShipError> {
        if self.known.shares.get(&hash).is_some_and(|share| share.value.is_some()) {
            return Ok(());
        }
        let bad = |why: String| ShipError::Share { hash, why };
        let path = format!("{}/{}", self.known.store_dir, hash.object_path());
        let bytes = std::fs::read(&path).map_err(|error| bad(format!("{path}: {error}")))?;
        if Hash::of(&bytes) != hash {
            return Err(bad(format!("{path} is damaged")));
        }
        // SAFETY: the caller's promise.
        let values = unsafe { self.decode_stack(state, &bytes, 0) }?;
        if values != 1 {
            return Err(bad(format!("{path} is not one value")));
        }
        let mut kept = 0;
        // SAFETY: the value lies at the top; the number belongs to this frame, which outlives the call.
        unsafe { protected(state, 1, &mut kept, |stack, kept| *kept = stack.keep_raises()) }
            .map_err(ShipError::Lua)?;
        self.known.shares.entry(hash).or_default().value = Some(kept);
        Ok(())
    }

    fn with_known(&mut self, lua: &Lua, work: fn(Stack, &mut Known)) -> mlua::Result<()> {
        let mut ran = Ok(0);
        // SAFETY: as in `encode`.
        unsafe {
            lua.exec_raw::<()>((), |state| {
                let stack = Stack::new(state);
                ran = protected(state, 0, &mut self.known, work);
                if std::mem::take(&mut self.known.collector_stopped) {
                    stack.start_collector();
                }
                stack.set_top(0);
            })
        }?;
        ran.map(|_| ()).map_err(mlua::Error::runtime)
    }
}

fn lua_error(error: mlua::Error) -> ShipError {
    ShipError::Lua(error.to_string())
}

#[cfg(test)]
mod tests;
