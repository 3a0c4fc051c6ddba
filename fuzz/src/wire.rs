//! Any bytes as a stream of messages that comes in pieces; what is understood is understood again as it was said.

use std::fmt::Debug;

use harness::model::{FromKeeper, FromSlot, FromWorker, Hello, Message, ToKeeper, ToSlot, ToWorker, Welcome};
use harness::wire::{Inbox, MESSAGE_LIMIT, Outgoing, append, decode};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn one<M: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    let Ok(message) = decode::<M>(bytes) else { return };
    let mut again = Vec::new();
    append(&mut again, &message, MESSAGE_LIMIT).expect("it is no larger than what was read");
    assert!(again.len() <= bytes.len() + 4, "{} B became {}", bytes.len(), again.len());
    let second: M = decode(&again[4..]).expect("it was just said");
    assert_eq!(format!("{message:?}"), format!("{second:?}"));
}

fn each(bytes: &[u8]) {
    one::<ToWorker>(bytes);
    one::<FromWorker>(bytes);
    one::<ToKeeper>(bytes);
    one::<FromKeeper>(bytes);
    one::<ToSlot>(bytes);
    one::<FromSlot>(bytes);
    one::<Hello>(bytes);
    one::<Welcome>(bytes);
}

/// The same with what is large, which comes behind its message.
fn in_pieces<M: Message + Debug>(stream: &[u8], size: usize) {
    let (mut inbox, mut again) = (Inbox::default(), Outgoing::default());
    for piece in stream.chunks(size) {
        inbox.space(piece.len())[..piece.len()].copy_from_slice(piece);
        inbox.filled(piece.len());
        while let Ok(Some(message)) = inbox.take::<M>() {
            again.put(&message, MESSAGE_LIMIT).expect("it is no larger than what was read");
        }
    }
    assert_eq!(inbox.received(), stream.len() as u64);
    while let Some(part) = again.take_front(size) {
        assert!(!part.is_empty() && part.len() <= size);
    }
}

pub fn target(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    each(stream);
    in_pieces::<ToWorker>(stream, 1 + usize::from(*size));
    in_pieces::<FromSlot>(stream, 1 + usize::from(*size));
    let mut inbox = Inbox::default();
    for piece in stream.chunks(1 + usize::from(*size)) {
        inbox.space(piece.len())[..piece.len()].copy_from_slice(piece);
        inbox.filled(piece.len());
        loop {
            match inbox.take_bytes() {
                Ok(Some(message)) => each(message),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert_eq!(inbox.received(), stream.len() as u64);
}
