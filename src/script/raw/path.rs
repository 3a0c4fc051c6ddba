//! Where in the values something lies that cannot be shipped, in words.
//!
//! The encoder keeps its position as frames on the side of the Lua stack; nothing is noted on the way, so
//! a path costs nothing until it is needed. Knows how to read frames, not how to write values.

use std::fmt::Write;

use super::frames::{Frame, FunctionFrame, Root, Stage, TableFrame};
use super::known::Known;
use super::stack::{Kind, Stack};

/// Longer paths are shown by this many parts at either end.
const SHOWN_ENDS: usize = 8;

/// The message for a value that cannot be shipped: what it is, whose it is, and the path to it.
pub fn explain(stack: Stack, known: &Known, label: &str, root: Root, frames: &[Frame], what: &str) -> String {
    let (frames, what) = match of_the_author(known, frames) {
        Some(frames) => (frames, "value of harness's own"),
        None => (frames, what),
    };
    let mut parts = Vec::with_capacity(frames.len() + 1);
    // The nearest variable that leads to the value, and how many parts come before it.
    let mut owner = None;
    match root {
        Root::Value(i) => parts.push(format!("{label} {i}")),
        Root::Global { code, name } => {
            let name = String::from_utf8_lossy(&known.names[name as usize]).into_owned();
            parts.push(format!("global `{name}`"));
            let reader = &known.codes[code as usize].chunk.location;
            owner = Some((0, format!("global `{name}`"), format!(" read by function at {reader}")));
        }
    }
    for frame in frames {
        match frame {
            Frame::Rebuilt(rebuilt) => {
                let what = match rebuilt.next {
                    2 => "function of its `__ship`".into(),
                    next => format!("argument {} of its `__ship`", next - 2),
                };
                parts.push(format!(" -> {what}"));
            }
            Frame::Table(table) => parts.push(table_part(stack, table)),
            Frame::Function(FunctionFrame { at, code, next, .. }) => {
                let name = stack.push_upvalue(*at, next - 1).to_string_lossy().into_owned();
                stack.set_top(-2);
                let location = &known.codes[*code as usize].chunk.location;
                owner =
                    Some((parts.len(), format!("upvalue `{name}`"), format!(" of function at {location}")));
                parts.push(format!(" -> upvalue `{name}`"));
            }
        }
    }
    let mut text = String::new();
    match owner {
        // The variable itself: the path leads to the function.
        Some((at, variable, whose)) if at + 1 == parts.len() => {
            parts.pop();
            let _ = write!(text, "cannot ship {variable} ({what}){whose}");
        }
        Some((_, variable, whose)) => {
            let _ = write!(text, "cannot ship a {what} inside {variable}{whose}");
        }
        None => {
            let _ = write!(text, "cannot ship a {what}");
        }
    }
    if !parts.is_empty() {
        text.push_str("; path: ");
        text.push_str(&shorten(&parts));
    }
    text
}

/// What leads into the library, as far as the author knows it: to one of our objects or functions, not what those
/// consist of. None if nothing does.
fn of_the_author<'a>(known: &Known, frames: &'a [Frame]) -> Option<&'a [Frame]> {
    let is_ours = |frame: &Frame| match frame {
        Frame::Function(FunctionFrame { code, .. }) => {
            known.codes[*code as usize].chunk.location.starts_with("[harness]/")
        }
        _ => false,
    };
    let is_meta = |frame: &Frame| matches!(frame, Frame::Table(table) if table.stage == Stage::Meta);
    let before = &frames[..frames.iter().position(is_ours)?];
    Some(&before[..before.iter().rposition(is_meta).unwrap_or(before.len())])
}

fn shorten(parts: &[String]) -> String {
    if parts.len() <= 3 * SHOWN_ENDS {
        return parts.concat();
    }
    let (first, last) = (&parts[..SHOWN_ENDS], &parts[parts.len() - SHOWN_ENDS..]);
    format!("{} … {}", first.concat(), last.concat())
}

fn table_part(stack: Stack, table: &TableFrame) -> String {
    match table.stage {
        Stage::Array => format!("[{}]", table.next - 1),
        Stage::Pairs => key_part(stack, table),
        Stage::Key => " (as a key)".into(),
        Stage::Meta => " -> metatable".into(),
    }
}

/// `.name`, `["a b"]`, `[3]`: as it is written in Lua.
fn key_part(stack: Stack, table: &TableFrame) -> String {
    let key = table.at + 1;
    match stack.kind(key) {
        Kind::String => {
            let text = String::from_utf8_lossy(stack.bytes(key)).into_owned();
            let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if starts_well && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                format!(".{text}")
            } else {
                format!("[{text:?}]")
            }
        }
        Kind::Integer => format!("[{}]", stack.integer(key)),
        Kind::Float => format!("[{:?}]", stack.float(key)),
        Kind::Boolean => format!("[{}]", stack.boolean(key)),
        kind => format!("[<{}>]", kind.name()),
    }
}
