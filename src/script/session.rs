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

/// `start(spec)` -> `ask, close, stderr`, or nil and why; `ask(line, seconds, as_text, bytes, seq)` -> a table, or the line itself, and
/// the bytes that followed it, or nil, why and the status in one word. An answer has to have the `seq`, if there is one.
pub fn start_function(lua: &Lua, mut start: StartSession) -> mlua::Result<Function> {
    lua.create_function_mut(move |lua, spec: Value| {
        let helper = match start(&lua.from_value::<SessionSpec>(spec)?) {
            Ok(helper) => Rc::new(RefCell::new(Some(helper))),
            Err(why) => return (Value::Nil, why).into_lua_multi(lua),
        };
        let asked = helper.clone();
        type Asked = (LuaString, f64, bool, Option<LuaString>, Option<i64>);
        let request = lua.create_function(move |lua, (line, seconds, as_text, bytes, seq): Asked| {
            let answer = match asked.borrow_mut().as_mut() {
                Some(helper) => request(lua, helper.as_mut(), (&line, bytes.as_ref(), seq), seconds, as_text),
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
    (line, bytes, seq): (&LuaString, Option<&LuaString>, Option<i64>),
    seconds: f64,
    as_text: bool,
) -> Result<(Value, Option<LuaString>), NoAnswer> {
    let limit = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let bytes = bytes.map(|bytes| bytes.as_bytes());
    let Answer { line, bytes } = helper.ask(&line.as_bytes(), bytes.as_deref(), limit)?;
    let Some(answer) = table(&line) else {
        let text: String = String::from_utf8_lossy(&line).chars().take(200).collect();
        let why = format_args!("its answer is not a JSON object or array in one line: {text}; it was ended");
        return Err(helper.end(NoAnswer::new(Status::Error, why)));
    };
    if let Some(seq) = seq
        && answer.get("seq").and_then(serde_json::Value::as_i64) != Some(seq)
    {
        let other =
            answer.get("seq").map_or_else(|| "no `seq`".to_string(), |other| format!("`seq` {other}"));
        let why = format_args!("its answer is to another question: it has {other}, not {seq}; it was ended");
        return Err(helper.end(NoAnswer::new(Status::Error, why)));
    }
    let answer = if as_text { lua.create_string(line).map(Value::String) } else { value(lua, &answer) };
    let bytes = bytes.map(|bytes| lua.create_string(bytes)).transpose();
    answer.and_then(|answer| Ok((answer, bytes?))).map_err(|error| NoAnswer::new(Status::Error, error))
}

/// An object or array of JSON, read whole even where its text is handed on: what is skipped may be no text, and deeper than
/// anybody reads. None if it is something else.
fn table(line: &[u8]) -> Option<serde_json::Value> {
    let is_table = matches!(line.trim_ascii_start().first(), Some(b'{' | b'['));
    if is_table { serde_json::from_slice(line).ok() } else { None }
}

fn value(lua: &Lua, answer: &serde_json::Value) -> mlua::Result<Value> {
    let plain = SerializeOptions::new()
        .set_array_metatable(false)
        .serialize_none_to_null(false)
        .serialize_unit_to_null(false);
    lua.to_value_with(answer, plain)
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
