//! Messages of one number, boolean or nil, or of nothing: most of what short calls get and give.
//!
//! They are what `encode` and `decode` make and read as well. But nothing in them needs memory of Lua, is numbered, or
//! is mentioned twice: they are written and read without a protected call.

use std::ffi::c_int;

use super::format::{self as tag, Reader, put_uint, unzigzag, zigzag};
use super::stack::{Kind, Stack};

/// A manifest that lists nothing and numbers nothing, but for how many values there are, which comes last.
const MANIFEST: [u8; 5] = [0; 5];
/// Bytes of a manifest.
pub const BODY: usize = MANIFEST.len() + 1;

/// Writes the message of the values from `first` to the top, whose values begin at `BODY`, into an empty buffer; not if it has more
/// than this module knows.
pub fn encode(stack: Stack, first: c_int, message: &mut Vec<u8>) -> bool {
    let values = stack.top() - first + 1;
    let kind = match values {
        ..=0 => None,
        1 => Some(stack.kind(first)),
        _ => return false,
    };
    if !matches!(kind, None | Some(Kind::Nil | Kind::Boolean | Kind::Integer | Kind::Float)) {
        return false;
    }
    message.extend_from_slice(&MANIFEST);
    message.push(kind.is_some().into());
    if let Some(kind) = kind {
        put(stack, first, kind, message);
    }
    message.push(tag::END);
    true
}

/// Writes the nil, boolean or number at `at`.
pub fn put(stack: Stack, at: c_int, kind: Kind, out: &mut Vec<u8>) {
    match kind {
        Kind::Boolean => out.push(if stack.boolean(at) { tag::TRUE } else { tag::FALSE }),
        Kind::Integer => {
            out.push(tag::INTEGER);
            put_uint(out, zigzag(stack.integer(at)));
        }
        Kind::Float => {
            out.push(tag::FLOAT);
            out.extend_from_slice(&stack.float(at).to_le_bytes());
        }
        kind => {
            debug_assert_eq!(kind, Kind::Nil);
            out.push(tag::NIL);
        }
    }
}

/// Pushes what is in the message and says how many values that are; nothing if it has more than this module knows, or is damaged.
pub fn decode(stack: Stack, bytes: &[u8]) -> Option<c_int> {
    let (&values, body) = bytes.strip_prefix(&MANIFEST)?.split_first()?;
    let (&tag::END, value) = body.split_last()? else { return None };
    if values == 0 && value.is_empty() {
        return Some(0);
    }
    if values != 1 || !stack.reserve(1) {
        return None;
    }
    let (&kind, number) = value.split_first()?;
    match (kind, number) {
        (tag::NIL, []) => stack.push_nil(),
        (tag::FALSE, []) => stack.push_boolean(false),
        (tag::TRUE, []) => stack.push_boolean(true),
        (tag::FLOAT, number) => stack.push_float(f64::from_le_bytes(number.try_into().ok()?)),
        (tag::INTEGER, number) => {
            let mut reader = Reader::new(number);
            let integer = reader.uint().ok()?;
            if reader.left() > 0 {
                return None;
            }
            stack.push_integer(unzigzag(integer));
        }
        _ => return None,
    }
    Some(1)
}
