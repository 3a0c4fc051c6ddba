//! Arbitrary Lua patterns on arbitrary text: where one can be said as a regular expression, it captures what Lua
//! itself captures.

use harness::script::pattern::translate;
use mlua::{Function, Lua, LuaString, MultiValue, Value};
use regex::bytes::Regex;

/// Lua tries all there is: the power of the length that a pattern has parts. So there is little of both.
const LONGEST: usize = 24;
/// Captures that Lua itself takes.
const MOST_CAPTURES: usize = 32;

struct Reference {
    lua: Lua,
    matches: Function,
}

thread_local! {
    static REFERENCE: Reference = {
        let lua = Lua::new();
        let matches = lua.load("return pcall(string.match, ...)").into_function().expect("it is Lua");
        Reference { lua, matches }
    };
}

/// What Lua captures, if it knows the pattern.
fn captured(subject: &[u8], pattern: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    REFERENCE.with(|Reference { lua, matches }| {
        let text = |bytes| lua.create_string(bytes).expect("there is room");
        let all: MultiValue = matches.call((text(subject), text(pattern))).expect("it fails as a value");
        let mut all = all.into_iter();
        let Some(Value::Boolean(true)) = all.next() else { return None };
        let bytes = |text: &LuaString| text.as_bytes().to_vec();
        Some(all.map(|value| value.as_string().map(bytes)).collect())
    })
}

pub fn target(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (pattern, subject) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let Ok(translated) = translate(pattern) else { return };
    let regex = Regex::new(&translated.regex).expect("what is translated can be searched for");
    assert_eq!(regex.captures_len(), translated.groups + 1);
    let found = regex.captures(subject);
    if pattern.len() > LONGEST || subject.len() > LONGEST || translated.groups > MOST_CAPTURES {
        return;
    }
    let Some(expected) = captured(subject, pattern) else {
        panic!("Lua does not know {}", pattern.escape_ascii())
    };
    let ours = match &found {
        None => vec![None],
        Some(found) => {
            let from = usize::from(translated.groups > 0);
            found.iter().skip(from).map(|part| part.map(|part| part.as_bytes().to_vec())).collect()
        }
    };
    assert_eq!(ours, expected, "{} on {}", pattern.escape_ascii(), subject.escape_ascii());
}
