//! Messages one after the other in one run of bytes, each with its length before it: calls that travel together, and what
//! they returned.
//!
//! Of calls the first message is the function of them all, and the others are what it is called with; or it is empty, and
//! each of the others has its function with it: values that both refer to stay the same one.

use std::time::Duration;

/// Calls that travel together go on for so long; what is left of them then may be shared out anew. A limit of each begins that
/// late for the last of them, at the most.
pub const LONGEST: Duration = Duration::from_millis(10);

/// Bytes of a length.
const LENGTH: usize = size_of::<u32>();

/// Puts a message behind those that are there. One beyond 4 GiB cannot be: messages are limited far below.
pub fn put(batch: &mut Vec<u8>, message: &[u8]) {
    batch.reserve(LENGTH + message.len());
    batch.extend_from_slice(&(message.len() as u32).to_le_bytes());
    batch.extend_from_slice(message);
}

/// The messages in a batch, in order; at the end an error if it breaks off within one.
pub fn messages(mut batch: &[u8]) -> impl Iterator<Item = Result<&[u8], BrokenOff>> {
    std::iter::from_fn(move || {
        if batch.is_empty() {
            return None;
        }
        let first = split_first(batch);
        batch = first.map_or(&[], |(_, rest)| rest);
        Some(first.map(|(message, _)| message).ok_or(BrokenOff))
    })
}

/// What a batch of calls has: the function of them all, if it comes by itself, and the messages of the calls.
pub fn calls(batch: &[u8]) -> Result<(Option<&[u8]>, &[u8]), BrokenOff> {
    let (function, calls) = split_first(batch).ok_or(BrokenOff)?;
    Ok(((!function.is_empty()).then_some(function), calls))
}

fn split_first(batch: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = batch.split_first_chunk::<LENGTH>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// A batch that ends within a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch breaks off within a message")]
pub struct BrokenOff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_were_put_in() {
        let mut batch = Vec::new();
        assert_eq!(messages(&batch).next(), None);
        for message in [&b"one"[..], b"", b"three"] {
            put(&mut batch, message);
        }
        let all: Result<Vec<_>, _> = messages(&batch).collect();
        assert_eq!(all, Ok(vec![&b"one"[..], b"", b"three"]));
        let whole = [0, 4 + 3, 4 + 3 + 4, batch.len()];
        for end in (0..batch.len()).filter(|end| !whole.contains(end)) {
            let found: Vec<_> = messages(&batch[..end]).collect();
            assert_eq!(found.iter().filter(|message| message.is_err()).count(), 1, "{end}");
            assert_eq!(found.last(), Some(&Err(BrokenOff)), "{end}");
        }
        assert_eq!(messages(&[0xff; 9]).collect::<Vec<_>>(), [Err(BrokenOff)]);
    }

    #[test]
    fn calls_have_a_function_before_them_or_in_each() {
        for function in [&b"function"[..], b""] {
            let mut batch = Vec::new();
            put(&mut batch, function);
            put(&mut batch, b"first");
            let (found, calls) = calls(&batch).unwrap();
            assert_eq!(found.unwrap_or_default(), function);
            assert_eq!(found.is_none(), function.is_empty());
            assert_eq!(messages(calls).collect::<Vec<_>>(), [Ok(&b"first"[..])]);
        }
        assert_eq!(calls(b"\x09").unwrap_err(), BrokenOff);
    }
}
