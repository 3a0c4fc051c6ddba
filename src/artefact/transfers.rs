//! The artefacts that travel over one connection, both ways, a piece at a time.
//!
//! Root and workers hold one of these for each other. It knows stores and pieces; what carries a piece, and who
//! wants an artefact and why, is its owner's business.

use std::collections::{BTreeMap, VecDeque};

use super::{Incoming, Store, StoreError};
use crate::model::{CHUNK_BYTES, Hash};

/// No further piece while so much waits to be sent (B): tasks and results go first.
const BACKLOG_LIMIT: usize = 4 * CHUNK_BYTES;

/// See the module.
#[derive(Debug, Default)]
pub struct Transfers {
    /// What the other side asked for, and how far it is.
    sending: VecDeque<(Hash, u64)>,
    receiving: BTreeMap<Hash, Incoming>,
}

/// A part of an artefact.
#[derive(Debug)]
pub struct Piece {
    /// Of which one.
    pub hash: Hash,
    /// Where it begins, B.
    pub offset: u64,
    /// What it is.
    pub bytes: Vec<u8>,
    /// Is it the end?
    pub last: bool,
}

impl Transfers {
    /// The other side wants this artefact.
    pub fn send(&mut self, hash: Hash) {
        self.sending.push_back((hash, 0));
    }

    /// The other side does not want it any more.
    pub fn unsend(&mut self, hash: Hash) {
        self.sending.retain(|(sent, _)| *sent != hash);
    }

    /// The next piece to send where `backlog` bytes wait to leave (asked only if there is any); none if that is enough, or nothing is to be
    /// sent. An artefact that cannot be read is named, and not tried again.
    pub fn next_piece(
        &mut self,
        store: &Store,
        backlog: impl FnOnce() -> usize,
    ) -> Option<Result<Piece, (Hash, StoreError)>> {
        let (hash, offset) = self.sending.front_mut().filter(|_| backlog() < BACKLOG_LIMIT)?;
        let piece = store.read_chunk(*hash, *offset).map(|(bytes, last)| {
            let piece = Piece { hash: *hash, offset: *offset, bytes, last };
            *offset += piece.bytes.len() as u64;
            piece
        });
        let piece = piece.map_err(|error| (*hash, error));
        if piece.as_ref().map_or(true, |piece| piece.last) {
            self.sending.pop_front();
        }
        Some(piece)
    }

    /// Is there more to send, and nothing left before it? No descriptor says so: who sleeps is not woken by it.
    pub fn is_due(&self, backlog: impl FnOnce() -> usize) -> bool {
        !self.sending.is_empty() && backlog() == 0
    }

    /// This artefact is to come. False if it is on its way already: then it need not be asked for.
    pub fn expect(&mut self, hash: Hash, store: &Store) -> Result<bool, StoreError> {
        if self.receiving.contains_key(&hash) {
            return Ok(false);
        }
        self.receiving.insert(hash, store.receive(hash)?);
        Ok(true)
    }

    /// A piece came. True if it was the last of an artefact that is now in the store. Pieces of one that failed
    /// or was given up are still to be expected, and nothing.
    pub fn take(&mut self, hash: Hash, offset: u64, bytes: &[u8], last: bool) -> Result<bool, StoreError> {
        let Some(incoming) = self.receiving.get_mut(&hash) else { return Ok(false) };
        if offset > 0 && incoming.is_empty() {
            return Ok(false); // of an earlier sending, which was given up
        }
        let written = incoming.write(offset, bytes);
        if written.is_ok() && !last {
            return Ok(false);
        }
        let incoming = self.receiving.remove(&hash);
        written?;
        incoming.map(Incoming::finish).transpose()?;
        Ok(true)
    }

    /// This one will not come. Was it coming?
    pub fn give_up(&mut self, hash: Hash) -> bool {
        self.receiving.remove(&hash).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    #[test]
    fn artefacts_arrive_one_after_another_and_yield_to_what_waits() {
        let ((_a, here), (_b, there)) = (store(), store());
        let big = here.put_bytes(&vec![7; 2 * CHUNK_BYTES + 1], false).unwrap();
        let small = here.put_bytes(b"small", false).unwrap();
        let (mut sender, mut receiver) = (Transfers::default(), Transfers::default());
        for hash in [big, small] {
            sender.send(hash);
            assert!(receiver.expect(hash, &there).unwrap());
            assert!(!receiver.expect(hash, &there).unwrap(), "asked for once");
        }
        assert!(sender.next_piece(&here, || BACKLOG_LIMIT).is_none());
        assert!(
            sender.is_due(|| 0) && !sender.is_due(|| 1),
            "once all has left nobody else says that there is more"
        );
        let mut whole = Vec::new();
        while let Some(piece) = sender.next_piece(&here, || 0) {
            let Piece { hash, offset, bytes, last } = piece.unwrap();
            whole.push(receiver.take(hash, offset, &bytes, last).unwrap());
        }
        assert_eq!(whole, [false, false, true, true]);
        assert!(there.contains(big) && there.contains(small) && receiver.receiving.is_empty());
    }

    #[test]
    fn what_failed_is_said_once_and_what_was_given_up_is_ignored() {
        let ((_a, here), (_b, there)) = (store(), store());
        let (mut sender, mut receiver) = (Transfers::default(), Transfers::default());
        let missing = Hash::of(b"missing");
        sender.send(missing);
        let failed = sender.next_piece(&here, || 0).unwrap().unwrap_err();
        assert!(matches!(failed, (hash, StoreError::Missing(_)) if hash == missing));
        assert!(sender.next_piece(&here, || 0).is_none());
        receiver.expect(missing, &there).unwrap();
        assert!(matches!(receiver.take(missing, 0, b"other", true), Err(StoreError::Damaged { .. })));
        assert!(!receiver.take(missing, 5, b"late", true).unwrap());
        receiver.expect(missing, &there).unwrap();
        assert!(receiver.give_up(missing) && !receiver.give_up(missing));
        for unwanted in [Hash::of(b"one"), missing] {
            sender.send(unwanted);
        }
        sender.unsend(missing);
        assert_eq!(sender.sending, [(Hash::of(b"one"), 0)]);
        receiver.expect(missing, &there).unwrap();
        assert!(!receiver.take(missing, 5, b"of the one before", true).unwrap());
        assert!(receiver.give_up(missing));
    }
}
