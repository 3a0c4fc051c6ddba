//! Messages one after the other in one run of bytes, each with its length before it: calls that travel together, and what
//! they returned.

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
}
