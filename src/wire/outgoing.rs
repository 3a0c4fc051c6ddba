//! Bytes on their way out.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;
use postcard::ser_flavors::Flavor;
use serde::Serialize;

use super::{APART, APART_BYTES, TooLarge};
use crate::model::Message;

/// Bytes on their way out, in order: small messages one behind the other, and between them what is large, as it lies.
#[derive(Default)]
pub struct Outgoing {
    /// What leaves before the tail; none of it is empty.
    parts: VecDeque<Bytes>,
    tail: Vec<u8>,
    /// So much has left of the first part, or of the tail if there is none (B).
    left: usize,
}

impl Outgoing {
    /// Puts a message at the end; nothing of one that takes more than `limit`.
    pub fn put<M: Message>(&mut self, message: &M, limit: usize) -> Result<(), TooLarge> {
        match message.bulk().filter(|bulk| bulk.len() >= APART_BYTES) {
            None => append(&mut self.tail, message, limit),
            Some(bulk) => self.put_apart(message, bulk.clone(), limit),
        }
    }

    /// A message without its bulk, which follows it. That it does, and how long it is, is said before.
    fn put_apart<M: Message>(&mut self, message: &M, bulk: Bytes, limit: usize) -> Result<(), TooLarge> {
        let mut rest = message.clone();
        rest.bulk_mut().map(mem::take);
        let start = self.tail.len();
        self.tail.extend_from_slice(&((APART | bulk.len()) as u32).to_le_bytes());
        if let Err(TooLarge { bytes, .. }) = append(&mut self.tail, &rest, limit.saturating_sub(bulk.len())) {
            self.tail.truncate(start);
            return Err(TooLarge { bytes: bytes + bulk.len(), limit });
        }
        self.parts.push_back(mem::take(&mut self.tail).into());
        self.parts.push_back(bulk);
        Ok(())
    }

    /// Where bytes can be put at the end that are no message of their own.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// The last bytes, so many, if they are there in one piece.
    pub fn last(&self, count: usize) -> Option<&[u8]> {
        self.tail.len().checked_sub(count).map(|begin| &self.tail[begin..])
    }

    /// Has all of it left?
    pub fn is_empty(&self) -> bool {
        self.front().is_empty()
    }

    /// So much has not left (B).
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum::<usize>() + self.tail.len() - self.left
    }

    /// What leaves next; empty only if all has left.
    pub fn front(&self) -> &[u8] {
        &self.parts.front().map_or(&self.tail[..], |part| part)[self.left..]
    }

    /// So much of the front has left (B).
    pub fn sent(&mut self, count: usize) {
        self.left += count;
        match self.parts.front() {
            Some(part) if self.left == part.len() => {
                self.parts.pop_front();
                self.left = 0;
            }
            None if self.left == self.tail.len() => {
                self.tail.clear();
                self.left = 0;
            }
            _ => {}
        }
    }

    /// Moves all of `other` to the end.
    pub fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            mem::swap(self, other);
        } else if other.parts.is_empty() {
            self.tail.extend_from_slice(other.front());
            other.sent(other.len());
        } else {
            self.close_tail();
            while let Some(part) = other.take_front(usize::MAX) {
                self.parts.push_back(part);
            }
        }
    }

    /// Takes what leaves next, at most so much of it (B), for somebody else to send.
    pub fn take_front(&mut self, most: usize) -> Option<Bytes> {
        if self.parts.is_empty() {
            self.close_tail();
        }
        let part = self.parts.front()?;
        let piece = part.slice(self.left..part.len().min(self.left.saturating_add(most)));
        self.sent(piece.len());
        Some(piece)
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push_back(mem::take(&mut self.tail).into());
        }
    }
}

/// Appends one message, with its length in front, to a byte stream; nothing of one that takes more than `limit`.
pub fn append<M: Serialize>(stream: &mut Vec<u8>, message: &M, limit: usize) -> Result<(), TooLarge> {
    let start = stream.len();
    stream.extend_from_slice(&[0; 4]);
    let appended = Appended { stream, most: start + 4 + limit, left_out: 0 };
    // Serialising plain data into memory cannot fail; a type that could is a programming error.
    let left_out = postcard::serialize_with_flavor(message, appended).expect("messages are plain data");
    let bytes = stream.len() - start - 4 + left_out;
    if bytes > limit {
        stream.truncate(start);
        return Err(TooLarge { bytes, limit });
    }
    stream[start..start + 4].copy_from_slice(&(bytes as u32).to_le_bytes());
    Ok(())
}

/// Puts what is serialised at the end of a byte stream: bytes by the slice, for a message may be large. A slice that
/// makes it too large is counted, and not copied.
struct Appended<'a> {
    stream: &'a mut Vec<u8>,
    /// The stream is not to become longer than that.
    most: usize,
    left_out: usize,
}

impl Flavor for Appended<'_> {
    type Output = usize;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.stream.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        match bytes {
            _ if bytes.len() > self.most.saturating_sub(self.stream.len()) => self.left_out += bytes.len(),
            [byte] => self.stream.push(*byte), // as most numbers are: a copy of any length would be a call
            _ => self.stream.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.left_out)
    }
}
