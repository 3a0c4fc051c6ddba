//! What can be said of Lua without running it: is it Lua, which globals does it use, which modules does it ask for?

use mlua::MultiValue;

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

/// What a call gives that returns nothing.
pub fn nothing() -> Result<CallReturn, ScriptError> {
    let lua = raw::new_state();
    let shipped = Shipper::new(&lua)?.encode(&lua, MultiValue::new());
    let shipped = shipped.map_err(|error| ScriptError::Internal(error.to_string()))?;
    Ok(CallReturn { values: shipped.bytes, codes: Vec::new(), text: Some(b"1".to_vec().into()) })
}
