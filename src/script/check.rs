//! What can be said of Lua without running it: is it Lua, which globals does it use, which modules does it ask for?

use mlua::{MultiValue, Value};

use super::raw::{self, Shipper};
pub use super::raw::{How, Use};
use super::state::{ScriptError, compile};
use crate::model::CallReturn;

/// The globals that a file uses, by line; `name` is what it is called in messages, with an `@`. Or why it is no Lua.
pub fn globals(text: Vec<u8>, name: &str) -> Result<Vec<Use>, ScriptError> {
    let lua = raw::new_state();
    let function = compile(&lua, text, name)?;
    globals_of(&function.dump(false))
}

/// Those of a function that travels to workers.
pub fn globals_of(bytecode: &[u8]) -> Result<Vec<Use>, ScriptError> {
    raw::uses(bytecode).map_err(|why| ScriptError::Internal(why.into()))
}

/// How many values a call of a function gives, of which that is the bytecode: at least one, for errors are asked for as well.
pub fn returned(bytecode: &[u8]) -> usize {
    raw::returned(bytecode).map_or(1, |values| values.max(1))
}

/// Stands for a value that a call would give; nobody's text begins so.
pub(super) const MADE_UP: &str = "\0made up by harness check";

/// What a call gives that did not run: so many values. The script's side knows them (`lua/harness/dry.lua`).
pub fn made_up(values: usize) -> Result<CallReturn, ScriptError> {
    let lua = raw::new_state();
    let value = Value::String(lua.create_string(MADE_UP)?);
    let shipped = Shipper::new(&lua)?.encode(&lua, MultiValue::from_iter(vec![value; values]));
    let shipped = shipped.map_err(|error| ScriptError::Internal(error.to_string()))?;
    Ok(CallReturn { values: shipped.bytes, text: Some(b"1".to_vec().into()), ..CallReturn::default() })
}
