//! A call from message to message, or several: unpack the function, call it, pack what it returns.
//!
//! Done below mlua, which would turn an error that is a table into text on its way to Rust. Knows nothing
//! of tasks; what an error looks like is the handler's affair.

use std::ffi::c_int;

use mlua::ffi;
use mlua::{Function, Lua, Value};

use super::format::Message;
use super::frames::Numbered;
use super::stack::{Kind, Stack};
use super::stop::Stopper;
use super::{ShipError, Shipped, Shipper, lua_error};
use crate::model::Hash;
use crate::model::batch::{self, BrokenOff};

/// How a call ended.
#[derive(Debug)]
pub enum Called {
    /// It returned.
    Returned {
        /// Its values.
        values: Shipped,
        /// The first of them as text, if it is a number, or a string that is not [there](Shipped::first_string) as it is.
        text: Option<Vec<u8>>,
    },
    /// It raised an error.
    Raised {
        /// What the error says.
        message: String,
        /// Where it came from.
        traceback: String,
        /// The error itself, if it can be shipped.
        value: Option<Shipped>,
    },
    /// It was told to stop, and did.
    Stopped {
        /// File and line; empty if it was in no function of the campaign.
        at: String,
        /// How it came there.
        traceback: String,
    },
    /// Lua had no memory left.
    OutOfMemory,
}

/// What is called around a shipped function.
pub struct Around {
    /// Lets it be stopped.
    pub stopper: Box<Stopper>,
    /// Called with two integers before each call.
    pub before: Function,
    /// Makes `{ message, traceback, error }` of an error, on the stack where it was raised.
    pub handler: Function,
}

/// What of the values of a call is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: they are dropped.
    Nothing,
    /// The values.
    Values,
    /// Them, and the first one as text.
    Text,
}

/// What calls returned that travelled together.
#[derive(Default)]
pub struct Gathered {
    /// A [`batch`] of the values of each.
    pub values: Vec<u8>,
    /// Bytecode they refer to.
    pub codes: Numbered<Hash>,
}

/// A message with a function in it, or with what one is called with that came before.
struct Call<'b> {
    function: Option<&'b Message<'b>>,
    bytes: &'b [u8],
    /// What `before` is called with.
    before: (i64, i64),
    wanted: Wanted,
}

// What lies on the stack of a call.
const HANDLER: c_int = 1;
const DEPS: c_int = 2;
const ARGUMENT: c_int = 3;
const BEFORE: c_int = 4;

impl Shipper {
    /// Calls the function that is the first value of the message with the others, and with `argument` after them
    /// unless it is nil. `deps` is a sequence of the results it waits for, in the order of the manifest, or nil.
    pub fn call(
        &mut self,
        lua: &Lua,
        around: &Around,
        before: (i64, i64),
        bytes: &[u8],
        (deps, argument, wanted): (Value, Value, Wanted),
    ) -> Result<Called, ShipError> {
        let mut result = None;
        let call = Call { function: None, bytes, before, wanted };
        // SAFETY: the closure raises nothing: all that may is called protected.
        unsafe {
            lua.exec_raw::<()>((&around.handler, deps, argument, &around.before), |state| {
                result = Some(self.call_watched(state, &around.stopper, &call));
                Stack::new(state).set_top(0);
            })
        }
        .map_err(lua_error)?;
        result.unwrap_or_else(|| Err(ShipError::Lua("nothing was called".into())))
    }

    /// Calls that travelled together, one after the other, each as if it were alone: `calls` gives the message of each, and
    /// what `before` is called with. The function is in the messages, or it came before them. Goes on while `go_on`
    /// says so, and gives how one ended that did not return.
    pub fn call_each(
        &mut self,
        lua: &Lua,
        around: &Around,
        function: Option<&[u8]>,
        calls: &mut dyn Iterator<Item = (Result<&[u8], BrokenOff>, (i64, i64))>,
        gathered: &mut Gathered,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Called>, ShipError> {
        let function = function.map(Message::of).transpose()?;
        let mut result = Ok(None);
        // SAFETY: as in `call`.
        unsafe {
            lua.exec_raw::<()>((&around.handler, Value::Nil, Value::Nil, &around.before), |state| {
                for (message, before) in calls {
                    let called = match message {
                        // A signal between two of them finds none that it could stop.
                        Ok(_) if around.stopper.is_to_stop() => {
                            Ok(Called::Stopped { at: String::new(), traceback: String::new() })
                        }
                        Ok(bytes) => {
                            let function = function.as_ref();
                            let call = Call { function, bytes, before, wanted: Wanted::Values };
                            self.call_watched(state, &around.stopper, &call)
                        }
                        Err(BrokenOff) => Err(ShipError::Lua(BrokenOff.to_string())),
                    };
                    match called {
                        Ok(Called::Returned { values, .. }) => gathered.put(values),
                        other => {
                            result = other.map(Some);
                            break;
                        }
                    }
                    if !go_on() {
                        break;
                    }
                }
                Stack::new(state).set_top(0);
            })
        }
        .map_err(lua_error)?;
        result
    }

    /// # Safety
    /// As `call_stack`.
    unsafe fn call_watched(
        &mut self,
        state: *mut ffi::lua_State,
        stopper: &Stopper,
        call: &Call<'_>,
    ) -> Result<Called, ShipError> {
        // SAFETY: the caller's promise; what may raise is called protected.
        let (result, stopped) = unsafe { stopper.watch(state, || self.call_stack(state, call)) };
        // SAFETY: the caller's promise; what the call left is taken from the stack.
        let stack = unsafe { Stack::new(state) };
        stack.set_top(BEFORE);
        if !stopped {
            return result;
        }
        stopper.push_description(state);
        let (at, traceback) = match stack.kind(-1) {
            Kind::Table => (field(stack, stack.top(), 1), field(stack, stack.top(), 2)),
            _ => Default::default(), // there was no memory to describe it
        };
        stack.set_top(BEFORE);
        Ok(Called::Stopped { at, traceback })
    }

    /// # Safety
    /// On the stack of this state lie, and nothing else: handler, deps, argument, and `before`.
    unsafe fn call_stack(
        &mut self,
        state: *mut ffi::lua_State,
        &Call { function, bytes, before, wanted }: &Call<'_>,
    ) -> Result<Called, ShipError> {
        // SAFETY: the caller's promise.
        let stack = unsafe { Stack::new(state) };
        let prepared = stack.reserve(4) && {
            stack.push_copy(BEFORE);
            stack.push_integer(before.0);
            stack.push_integer(before.1);
            stack.call_protected(2)
        };
        if !prepared {
            return Err(ShipError::Lua("the preparation of a call failed".into()));
        }
        stack.set_top(BEFORE);
        let deps = if stack.kind(DEPS) == Kind::Nil { 0 } else { DEPS };
        let mut values = 0;
        if let Some(function) = function {
            // SAFETY: `state` is ours, `deps` lies on its stack.
            values += unsafe { self.decode_message(state, function, deps) }?;
        }
        // SAFETY: as above.
        values += unsafe { self.decode_stack(state, bytes, deps) }?;
        if values == 0 {
            return Err(ShipError::Corrupt { at: 0, what: "there is no function in it" });
        }
        let more = stack.kind(ARGUMENT) != Kind::Nil && stack.reserve(1);
        if more {
            stack.push_copy(ARGUMENT);
        }
        let results = if wanted == Wanted::Nothing { 0 } else { ffi::LUA_MULTRET };
        // SAFETY: function and arguments were pushed above the handler.
        let status = unsafe { ffi::lua_pcall(state, values - 1 + i32::from(more), results, HANDLER) };
        match status {
            ffi::LUA_OK => {}
            ffi::LUA_ERRMEM => return Ok(Called::OutOfMemory),
            _ => return Ok(self.raised(state, stack)),
        }
        // SAFETY: as above.
        let values = unsafe { self.encode_stack(state, BEFORE + 1) }?;
        let is_text = wanted == Wanted::Text && values.first_string().is_none();
        let text = if is_text { text(stack, BEFORE + 1) } else { None };
        Ok(Called::Returned { values, text })
    }

    /// What the handler made of an error; the bare error where it could not run (out of memory).
    fn raised(&mut self, state: *mut ffi::lua_State, stack: Stack) -> Called {
        let at = stack.top();
        if stack.kind(at) != Kind::Table || !stack.reserve(8) {
            let message = text(stack, at).unwrap_or_else(|| b"an error in the error handler".to_vec());
            let message = String::from_utf8_lossy(&message).into_owned();
            return Called::Raised { message, traceback: String::new(), value: None };
        }
        let (message, traceback) = (field(stack, at, 1), field(stack, at, 2));
        stack.raw_get_i(at, 3);
        // SAFETY: the error lies at the top.
        let value = unsafe { self.encode_stack(state, at + 1) }.ok();
        Called::Raised { message, traceback, value }
    }
}

impl Gathered {
    fn put(&mut self, values: Shipped) {
        batch::put(&mut self.values, &values.bytes);
        values.codes.iter().for_each(|code| _ = self.codes.number(*code));
    }
}

/// Text in a sequence.
fn field(stack: Stack, table: i32, i: i64) -> String {
    stack.raw_get_i(table, i);
    let text = text(stack, stack.top()).unwrap_or_default();
    stack.set_top(-2);
    String::from_utf8_lossy(&text).into_owned()
}

/// A string, or a number as a command gets it; nothing for other values.
fn text(stack: Stack, index: i32) -> Option<Vec<u8>> {
    if index > stack.top() {
        return None;
    }
    match stack.kind(index) {
        Kind::String => Some(stack.bytes(index).to_vec()),
        Kind::Integer => Some(stack.integer(index).to_string().into_bytes()),
        Kind::Float => Some(number_text(stack.float(index)).into_bytes()),
        _ => None,
    }
}

/// The shortest text that reads back as the same number, as a literal in a command is written: 64.0 is `64` (`number_text` of
/// lua/harness/failure.lua says the same).
fn number_text(number: f64) -> String {
    let with = |digits: c_int| {
        let mut text = [0_u8; 32]; // of 17 digits, sign, point and exponent it takes 24
        // SAFETY: it writes no more than there is room for.
        let length =
            unsafe { libc::snprintf(text.as_mut_ptr().cast(), text.len(), c"%.*g".as_ptr(), digits, number) };
        String::from_utf8_lossy(&text[..usize::try_from(length).unwrap_or_default()]).into_owned()
    };
    (15..=17).map(with).find(|text| text.parse() == Ok(number)).unwrap_or_else(|| with(14))
}
