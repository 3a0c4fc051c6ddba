//! A call from message to message: unpack the function, call it, pack what it returns.
//!
//! Done below mlua, which would turn an error that is a table into text on its way to Rust. Knows nothing
//! of tasks; what an error looks like is the handler's affair.

use mlua::ffi;
use mlua::{Function, Lua, Value};

use super::stack::{Kind, Stack};
use super::stop::Stopper;
use super::{ShipError, Shipped, Shipper, lua_error};

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

impl Shipper {
    /// Calls the function that is the first value of the message with the others, and with `argument` after them
    /// unless it is nil; what it returns is dropped unless it is `wanted`. `deps` is a sequence of the results it waits
    /// for, in the order of the manifest, or nil.
    pub fn call(
        &mut self,
        lua: &Lua,
        around: &Around,
        before: (i64, i64),
        bytes: &[u8],
        (deps, argument, wanted): (Value, Value, bool),
    ) -> Result<Called, ShipError> {
        let mut result = Err(ShipError::Lua("nothing was called".into()));
        let values = (&around.handler, deps, argument, &around.before, before.0, before.1);
        // SAFETY: the closure raises nothing: all that may is called protected.
        unsafe {
            lua.exec_raw::<()>(values, |state| {
                result = self.call_watched(state, &around.stopper, bytes, wanted)
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
        bytes: &[u8],
        wanted: bool,
    ) -> Result<Called, ShipError> {
        // SAFETY: the caller's promise; what may raise is called protected.
        let (result, stopped) = unsafe { stopper.watch(state, || self.call_stack(state, bytes, wanted)) };
        if !stopped {
            return result;
        }
        // SAFETY: the caller's promise; the stack is empty now.
        let stack = unsafe { Stack::new(state) };
        stopper.push_description(state);
        let (at, traceback) = match stack.kind(1) {
            Kind::Table => (field(stack, 1, 1), field(stack, 1, 2)),
            _ => Default::default(), // there was no memory to describe it
        };
        stack.set_top(0);
        Ok(Called::Stopped { at, traceback })
    }

    /// # Safety
    /// On the stack of this state lie: handler, deps, argument, `before` and its two arguments. It is left empty.
    unsafe fn call_stack(
        &mut self,
        state: *mut ffi::lua_State,
        bytes: &[u8],
        wanted: bool,
    ) -> Result<Called, ShipError> {
        const HANDLER: i32 = 1;
        const DEPS: i32 = 2;
        const ARGUMENT: i32 = 3;
        // SAFETY: the caller's promise.
        let stack = unsafe { Stack::new(state) };
        // SAFETY: a function and two arguments lie at the top.
        if unsafe { ffi::lua_pcall(state, 2, 0, 0) } != ffi::LUA_OK {
            stack.set_top(0);
            return Err(ShipError::Lua("the preparation of a call failed".into()));
        }
        let deps = if stack.kind(DEPS) == Kind::Nil { 0 } else { DEPS };
        // SAFETY: `state` is ours, `deps` lies on its stack.
        let result = unsafe { self.decode_stack(state, bytes, deps) }.and_then(|values| {
            if values == 0 {
                return Err(ShipError::Corrupt { at: 0, what: "there is no function in it" });
            }
            let more = stack.kind(ARGUMENT) != Kind::Nil && stack.reserve(1);
            if more {
                stack.push_copy(ARGUMENT);
            }
            let results = if wanted { ffi::LUA_MULTRET } else { 0 };
            // SAFETY: function and arguments were pushed above the handler.
            let status = unsafe { ffi::lua_pcall(state, values - 1 + i32::from(more), results, HANDLER) };
            match status {
                ffi::LUA_OK => {}
                ffi::LUA_ERRMEM => return Ok(Called::OutOfMemory),
                _ => return Ok(self.raised(state, stack)),
            }
            // SAFETY: as above.
            let values = unsafe { self.encode_stack(state, ARGUMENT + 1) }?;
            let text = if values.first_string().is_none() { text(stack, ARGUMENT + 1) } else { None };
            Ok(Called::Returned { values, text })
        });
        stack.set_top(0);
        result
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

/// The shortest text that reads back as the same number, as a literal in a command is written: 64.0 is `64`.
fn number_text(number: f64) -> String {
    let plain = number == 0.0 || (1e-4..1e15).contains(&number.abs());
    if plain || !number.is_finite() {
        return number.to_string().to_lowercase();
    }
    // As C writes it, with the sign of the exponent.
    format!("{number:e}").replace('e', if number.abs() < 1.0 { "e" } else { "e+" })
}
