//! `harness.session` in a slot: a helper process that is asked a line of JSON and answers with another. Bytes may follow each:
//! those that JSON has no form for, and those too many to be read character by character.
//!
//! Turns answers into tables. Knows nothing of processes: it is given a function that starts one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use mlua::serde::ser::Options as SerializeOptions;
use mlua::{Function, IntoLuaMulti, Lua, LuaSerdeExt, LuaString, MultiValue, Value};
use serde::Deserialize;

use crate::model::Status;

/// What to start.
#[derive(Clone, Debug, Deserialize)]
pub struct SessionSpec {
    /// Program and arguments.
    pub cmd: Vec<String>,
    /// Set on top of the slot's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// A folder relative to the campaign's.
    pub cwd: Option<String>,
    /// What becomes of its standard error.
    #[serde(default)]
    pub stderr: Stderr,
}

/// What becomes of a helper's standard error, whose end is kept in any case.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Stderr {
    /// Nothing else.
    #[default]
    Kept,
    /// It is passed on to the slot's, where people see it.
    Shown,
}

/// A helper process. Dropped, it is ended.
pub trait Helper {
    /// Sends a line, with the bytes it announces, and waits at most so long for an answer. Or why there is none: then it has been
    /// ended.
    fn ask(&mut self, line: &[u8], bytes: Option<&[u8]>, limit: Duration) -> Result<Answer, NoAnswer>;

    /// Ends it for this reason; gives the reason with what it said last.
    fn end(&mut self, why: NoAnswer) -> NoAnswer;

    /// The end of what it wrote to its standard error.
    fn stderr(&mut self) -> Vec<u8>;
}

/// What a helper answers.
#[derive(Debug)]
pub struct Answer {
    /// Without its end.
    pub line: Vec<u8>,
    /// If it [announces](bytes_behind) any.
    pub bytes: Option<Vec<u8>>,
}

/// How many bytes, and another end of a line, follow this line: `{"bytes":12` is how it begins then.
pub fn bytes_behind(line: &[u8]) -> Option<usize> {
    let rest = line.strip_prefix(br#"{"bytes":"#)?.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_all = matches!(rest[digits..].trim_ascii_start().first(), Some(b',' | b'}'));
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok().filter(|_| is_all)
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub struct NoAnswer {
    /// In one word.
    pub status: Status,
    /// For people.
    pub why: String,
}

impl NoAnswer {
    /// With this status.
    pub fn new(status: Status, why: impl ToString) -> Self {
        Self { status, why: why.to_string() }
    }
}

/// Starts a process, or says why it cannot.
pub type StartSession = Box<dyn FnMut(&SessionSpec) -> Result<Box<dyn Helper>, String>>;

/// `start(spec)` -> `ask, close, stderr`, or nil and why; `ask(line, seconds, as_text, bytes)` -> a table, or the line itself, and
/// the bytes that followed it, or nil, why and the status in one word.
pub fn start_function(lua: &Lua, mut start: StartSession) -> mlua::Result<Function> {
    lua.create_function_mut(move |lua, spec: Value| {
        let helper = match start(&lua.from_value::<SessionSpec>(spec)?) {
            Ok(helper) => Rc::new(RefCell::new(Some(helper))),
            Err(why) => return (Value::Nil, why).into_lua_multi(lua),
        };
        let asked = helper.clone();
        type Asked = (LuaString, f64, bool, Option<LuaString>);
        let request = lua.create_function(move |lua, (line, seconds, as_text, bytes): Asked| {
            let answer = match asked.borrow_mut().as_mut() {
                Some(helper) => request(lua, helper.as_mut(), (&line, bytes.as_ref()), seconds, as_text),
                None => Err(NoAnswer::new(Status::Error, "it is closed; start another one")),
            };
            match answer {
                Ok(answer) => answer.into_lua_multi(lua),
                Err(no) => (Value::Nil, no.why, no.status.word()).into_lua_multi(lua),
            }
        })?;
        let said = helper.clone();
        let stderr = lua.create_function(move |lua, ()| {
            let text = said.borrow_mut().as_mut().map(|helper| helper.stderr());
            lua.create_string(text.unwrap_or_default())
        })?;
        let close = lua.create_function(move |_, ()| {
            drop(helper.borrow_mut().take());
            Ok(MultiValue::new())
        })?;
        (request, close, stderr).into_lua_multi(lua)
    })
}

fn request(
    lua: &Lua,
    helper: &mut dyn Helper,
    (line, bytes): (&LuaString, Option<&LuaString>),
    seconds: f64,
    as_text: bool,
) -> Result<(Value, Option<LuaString>), NoAnswer> {
    let limit = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let bytes = bytes.map(|bytes| bytes.as_bytes());
    let Answer { line, bytes } = helper.ask(&line.as_bytes(), bytes.as_deref(), limit)?;
    match table_or_text(lua, &line, as_text) {
        Some(answer) => {
            let bytes = bytes.map(|bytes| lua.create_string(bytes)).transpose();
            answer
                .and_then(|answer| Ok((answer, bytes?)))
                .map_err(|error| NoAnswer::new(Status::Error, error))
        }
        None => {
            let text: String = String::from_utf8_lossy(&line).chars().take(200).collect();
            let why =
                format_args!("its answer is not a JSON object or array in one line: {text}; it was ended");
            Err(helper.end(NoAnswer::new(Status::Error, why)))
        }
    }
}

/// An object or array of JSON; None if it is something else.
fn table_or_text(lua: &Lua, line: &[u8], as_text: bool) -> Option<mlua::Result<Value>> {
    if !matches!(line.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return None;
    }
    // Whole, also where its text is handed on: what is skipped may be no text, and deeper than anybody reads.
    let answer: serde_json::Value = serde_json::from_slice(line).ok()?;
    if as_text {
        return Some(lua.create_string(line).map(Value::String));
    }
    let plain = SerializeOptions::new()
        .set_array_metatable(false)
        .serialize_none_to_null(false)
        .serialize_unit_to_null(false);
    Some(lua.to_value_with(&answer, plain))
}

#[cfg(test)]
mod tests {
    use super::bytes_behind;

    #[test]
    fn a_line_says_first_how_many_bytes_follow_it() {
        for (line, bytes) in [
            (r#"{"bytes":12}"#, Some(12)),
            (r#"{"bytes": 0, "id": 1}"#, Some(0)),
            (r#"{"id": 1, "bytes": 3}"#, None),
            (r#"{"bytes":1.5}"#, None),
            (r#"{"bytes":-1}"#, None),
            (r#"{"bytes":"1"}"#, None),
            (r#"{"bytes":99999999999999999999}"#, None),
            (r#"{"bytes":"#, None),
            ("", None),
        ] {
            assert_eq!(bytes_behind(line.as_bytes()), bytes, "{line}");
        }
    }
}
