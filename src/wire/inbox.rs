//! Bytes that have come, and the messages in them.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{APART, APART_BYTES, MESSAGE_LIMIT, WireError};
use crate::model::Message;

/// A larger inbox is given back once it is empty (B).
const KEPT_BYTES: usize = 1 << 20;

/// What came of a byte stream of messages and was not taken yet.
pub struct Inbox {
    /// Stays initialised to its end, so that no read has to clear memory first.
    bytes: Vec<u8>,
    /// Where the first byte not taken is.
    start: usize,
    /// Where the first message begins that is not whole, leaving its bulk aside.
    scanned: usize,
    /// Where what came ends.
    end: usize,
    /// The bulks of messages that lie before `scanned`, in order.
    bulks: VecDeque<Bytes>,
    /// That of the last of those messages, while it comes: what comes first is of it.
    coming: Option<Coming>,
    /// All that ever came (B).
    received: u64,
    /// What is longer is taken for garbage (B).
    limit: usize,
}

/// A bulk of which not all has come. It lies in memory of its own, which nobody has to copy it from.
struct Coming {
    bytes: Vec<u8>,
    filled: usize,
    /// The space that was given out last is this one's.
    given: bool,
}

/// Where the parts of a message are.
struct Frame {
    /// How long the bulk is that follows, if one does.
    bulk: Option<usize>,
    /// Where the message begins, and the next.
    begin: usize,
    end: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self::of_pieces(MESSAGE_LIMIT)
    }
}

impl Inbox {
    /// For what never comes in longer pieces (B): nobody who claims so is given the room.
    pub fn of_pieces(limit: usize) -> Self {
        let (start, scanned, end) = (0, 0, 0);
        let (bulks, coming) = (VecDeque::new(), None);
        Self { bytes: Vec::new(), start, scanned, end, bulks, coming, received: 0, limit }
    }

    /// Where to put what comes next: at least `least` bytes.
    pub fn space(&mut self, least: usize) -> &mut [u8] {
        if let Some(coming) = &mut self.coming {
            // At its end something else may come behind it.
            coming.given = coming.bytes.len() - coming.filled >= least;
        }
        if self.coming.as_ref().is_none_or(|coming| !coming.given) {
            return self.space_behind(least);
        }
        self.coming.as_mut().map_or(&mut [], |coming| &mut coming.bytes[coming.filled..])
    }

    /// The same behind what came last.
    fn space_behind(&mut self, least: usize) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.scanned, self.end) = (0, 0, 0);
            if self.bytes.len() > KEPT_BYTES {
                self.bytes = Vec::new();
            }
        }
        if self.bytes.len() - self.end < least {
            self.make_room(least);
        }
        &mut self.bytes[self.end..]
    }

    /// Moves what is there to the front, and where that is not enough makes room for all of the message that has
    /// begun: a large one is moved once, not each time the room has doubled.
    fn make_room(&mut self, least: usize) {
        let there = self.end - self.start;
        let rest_of_it =
            self.frame(self.scanned).ok().flatten().map_or(0, |frame| frame.end.saturating_sub(self.end));
        // Of many small ones nobody knows how many: twice as much each time.
        let wanted = there + least + if rest_of_it > 0 { rest_of_it } else { there };
        if there + least.max(rest_of_it) <= self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
        } else {
            // Fresh memory comes cleared from the system; what exists would have to be.
            let mut larger = vec![0; wanted];
            larger[..there].copy_from_slice(&self.bytes[self.start..self.end]);
            self.bytes = larger;
        }
        (self.scanned, self.start, self.end) = (self.scanned - self.start, 0, there);
    }

    /// So many bytes of the space were filled.
    pub fn filled(&mut self, count: usize) {
        self.received += count as u64;
        match &mut self.coming {
            Some(coming) if coming.given => coming.filled = (coming.filled + count).min(coming.bytes.len()),
            _ => self.end = (self.end + count).min(self.bytes.len()),
        }
        self.scan();
    }

    /// Finds the messages in what came, and moves bulks to where they belong.
    fn scan(&mut self) {
        loop {
            if let Some(coming) = &mut self.coming {
                let rest = &mut coming.bytes[coming.filled..];
                let came = rest.len().min(self.end - self.scanned);
                let behind = self.scanned + came;
                rest[..came].copy_from_slice(&self.bytes[self.scanned..behind]);
                // The gap is closed from the side where less lies.
                if self.scanned - self.start < self.end - behind {
                    self.bytes.copy_within(self.start..self.scanned, self.start + came);
                    (self.start, self.scanned) = (self.start + came, behind);
                } else {
                    self.bytes.copy_within(behind..self.end, self.scanned);
                    self.end -= came;
                }
                coming.filled += came;
                if coming.filled < coming.bytes.len() {
                    return;
                }
                self.bulks.push_back(mem::take(&mut coming.bytes).into());
                self.coming = None;
            }
            match self.frame(self.scanned) {
                Ok(Some(frame)) if frame.end <= self.end => {
                    self.scanned = frame.end;
                    let coming = |length| Coming { bytes: vec![0; length], filled: 0, given: false };
                    self.coming = frame.bulk.map(coming);
                }
                _ => return,
            }
        }
    }

    /// All that ever came (B): while it grows the other end lives, however large its message.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Where the parts are of the message that begins at `at`, once what says so is there.
    fn frame(&self, at: usize) -> Result<Option<Frame>, WireError> {
        let (bulk, at, length) = match (self.word(at), self.word(at + 4)) {
            (Some(length), _) if length & APART == 0 => (None, at, length),
            (Some(bulk), Some(length)) => (Some(bulk & !APART), at + 4, length),
            _ => return Ok(None),
        };
        let whole = length + bulk.unwrap_or(0);
        if whole > self.limit || bulk.is_some_and(|bulk| bulk < APART_BYTES) {
            return Err(WireError::Garbage(format!("a message of {whole} bytes")));
        }
        Ok(Some(Frame { bulk, begin: at + 4, end: at + 4 + length }))
    }

    fn word(&self, at: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..self.end)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes) as usize)
    }

    /// The next whole message, if there is one.
    pub fn take<M: Message>(&mut self) -> Result<Option<M>, WireError> {
        let Some(frame) = self.frame(self.start)?.filter(|frame| frame.end <= self.end) else {
            return Ok(None);
        };
        if frame.bulk.is_some() && self.bulks.is_empty() {
            return Ok(None);
        }
        let mut message: M = decode(&self.bytes[frame.begin..frame.end])?;
        if frame.bulk.is_some() {
            match (message.bulk_mut(), self.bulks.pop_front()) {
                (Some(place), Some(bulk)) => *place = bulk.into(),
                _ => return Err(WireError::Garbage("bytes behind a message that has none".into())),
            }
        }
        self.start = frame.end;
        Ok(Some(message))
    }

    /// The bytes of the next whole message, if there is one; of messages that have no bulk.
    pub fn take_bytes(&mut self) -> Result<Option<&[u8]>, WireError> {
        let Some(frame) = self.frame(self.start)?.filter(|frame| frame.end <= self.end) else {
            return Ok(None);
        };
        if frame.bulk.is_some() {
            return Err(WireError::Garbage("a piece that is apart".into()));
        }
        self.start = frame.end;
        Ok(Some(&self.bytes[frame.begin..frame.end]))
    }
}

/// One message from exactly these bytes: anything left over is an error.
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, WireError> {
    let (message, rest) = postcard::take_from_bytes(bytes).map_err(|e| WireError::Garbage(e.to_string()))?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(WireError::Garbage(format!("{} bytes left over", rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Outgoing, append};
    use super::*;
    use crate::model::{Attempt, CallReturn, Detail, FromWorker, Hash, Outcome, Status, TaskId, ToWorker};

    /// Room to read into, as readers ask for it (B).
    const READ_BYTES: usize = 1000;

    fn filled(inbox: &mut Inbox, piece: &[u8]) {
        inbox.space(piece.len())[..piece.len()].copy_from_slice(piece);
        inbox.filled(piece.len());
    }

    fn done(task: u64, bulk: usize) -> FromWorker {
        let values = Bytes::from(vec![task as u8; bulk]);
        let outcome = Outcome {
            detail: Detail::Call(CallReturn { values: values.into(), ..CallReturn::default() }),
            ..Outcome::failed(Status::Ok, "")
        };
        FromWorker::Done(TaskId(task), Attempt(0), Arc::new(outcome))
    }

    /// Whatever lies before and behind it, and wherever the stream is cut.
    #[test]
    fn what_is_large_comes_apart_and_in_its_place() {
        let messages = [
            done(1, 70_000),
            FromWorker::Alive,
            done(2, 10),
            done(3, 65_536),
            done(4, 300_000),
            FromWorker::Ready,
        ];
        let mut outgoing = Outgoing::default();
        messages.iter().for_each(|message| outgoing.put(message, MESSAGE_LIMIT).unwrap());
        let mut stream = Vec::new();
        while let Some(part) = outgoing.take_front(7777) {
            stream.extend_from_slice(&part);
        }
        assert!(outgoing.is_empty() && stream.len() > 435_000 && stream.len() < 436_000);
        for size in [1, 13, 4096, 65_535, 200_000, stream.len()] {
            for taken_late in [false, true] {
                let (mut inbox, mut came) = (Inbox::default(), Vec::<FromWorker>::new());
                for piece in stream.chunks(size) {
                    // As who reads: into all the room there is.
                    let mut rest = piece;
                    while !rest.is_empty() {
                        let space = inbox.space(READ_BYTES);
                        let count = space.len().min(rest.len());
                        space[..count].copy_from_slice(&rest[..count]);
                        inbox.filled(count);
                        rest = &rest[count..];
                    }
                    if !taken_late {
                        came.extend(std::iter::from_fn(|| inbox.take().unwrap()));
                    }
                }
                came.extend(std::iter::from_fn(|| inbox.take().unwrap()));
                assert!(came == messages, "in pieces of {size}, taken late: {taken_late}");
                assert_eq!(inbox.received(), stream.len() as u64);
                assert!(
                    inbox.bytes.len() < stream.len() || taken_late || size > 200_000,
                    "{}",
                    inbox.bytes.len()
                );
            }
        }
    }

    #[test]
    fn a_bulk_is_copied_on_neither_side() {
        let sent = done(1, 1 << 20);
        let place = |message: &FromWorker| message.bulk().map(|bulk| bulk.as_ptr());
        let mut outgoing = Outgoing::default();
        outgoing.put(&sent, MESSAGE_LIMIT).unwrap();
        let (mut inbox, mut seen, mut last) = (Inbox::default(), Vec::new(), None);
        while !outgoing.is_empty() {
            let front = outgoing.front();
            seen.push(front.as_ptr());
            let space = inbox.space(READ_BYTES);
            let count = space.len().min(front.len());
            space[..count].copy_from_slice(&front[..count]);
            last = Some(space.as_ptr());
            inbox.filled(count);
            outgoing.sent(count);
        }
        assert!(seen.contains(&place(&sent).unwrap()));
        let came: FromWorker = inbox.take().unwrap().unwrap();
        assert_eq!((&came, place(&came)), (&sent, last), "it stays where it was read to");
    }

    #[test]
    fn bytes_behind_a_message_that_has_none_are_garbage() {
        let mut stream = (70_000 | APART as u32).to_le_bytes().to_vec();
        append(&mut stream, &FromWorker::Alive, MESSAGE_LIMIT).unwrap();
        stream.resize(stream.len() + 70_000, 0);
        let mut inbox = Inbox::default();
        filled(&mut inbox, &stream);
        assert!(matches!(inbox.take::<FromWorker>(), Err(WireError::Garbage(_))));
        // Longer than anything may be: no room is made for it.
        let mut inbox = Inbox::default();
        filled(&mut inbox, &[0xff; 8]);
        assert!(matches!(inbox.take::<FromWorker>(), Err(WireError::Garbage(_))));
        assert!(inbox.coming.is_none());
    }

    #[test]
    fn an_inbox_makes_room_for_a_large_message_once_and_gives_it_back() {
        let mut stream = Vec::new();
        append(&mut stream, &FromWorker::Alive, MESSAGE_LIMIT).unwrap();
        append(&mut stream, &ToWorker::Code(Hash::of(b""), vec![7; 8 << 20]), MESSAGE_LIMIT).unwrap();
        let (mut inbox, mut sizes) = (Inbox::default(), Vec::new());
        for piece in stream.chunks(1000) {
            inbox.space(READ_BYTES)[..piece.len()].copy_from_slice(piece);
            inbox.filled(piece.len());
            if sizes.is_empty() {
                assert_eq!(inbox.take::<FromWorker>().unwrap(), Some(FromWorker::Alive));
            }
            sizes.push(inbox.bytes.len());
        }
        sizes.dedup();
        assert!(sizes.len() <= 2, "{sizes:?}");
        assert_eq!(inbox.received(), stream.len() as u64);
        let Some(ToWorker::Code(_, bytes)) = inbox.take().unwrap() else { panic!("another message") };
        assert_eq!(bytes.len(), 8 << 20);
        assert!(inbox.space(READ_BYTES).len() < KEPT_BYTES);
    }
}
