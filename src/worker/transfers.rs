//! Artefacts on their way to and from the root, a piece at a time behind everything else.

use std::collections::{BTreeMap, VecDeque};

use crate::artefact::{Incoming, Store};
use crate::model::{CHUNK_BYTES, FromWorker, Hash, ToWorker};
use crate::transport::Peer;

/// No further piece while so much waits to be sent (B): results go first.
const BACKLOG_LIMIT: usize = 4 * CHUNK_BYTES;

pub(super) struct Transfers {
    store: Store,
    incoming: BTreeMap<Hash, Incoming>,
    /// What the root asked for, and how far we are.
    outgoing: VecDeque<(Hash, u64)>,
}

impl Transfers {
    pub(super) fn new(store: Store) -> Self {
        Self { store, incoming: BTreeMap::new(), outgoing: VecDeque::new() }
    }

    /// The root has an artefact that a task here will need.
    pub(super) fn offered(&mut self, hash: Hash, root: &mut Peer<FromWorker, ToWorker>) {
        if self.store.contains(hash) {
            root.queue(&FromWorker::Have(hash));
        } else if !self.incoming.contains_key(&hash) {
            match self.store.receive(hash) {
                Ok(incoming) => {
                    self.incoming.insert(hash, incoming);
                    root.queue(&FromWorker::Want(hash));
                }
                Err(error) => root.queue(&FromWorker::Gone(hash, error.to_string())),
            }
        }
    }

    /// A piece of what we wanted.
    pub(super) fn chunk(
        &mut self,
        hash: Hash,
        offset: u64,
        bytes: &[u8],
        last: bool,
        root: &mut Peer<FromWorker, ToWorker>,
    ) {
        // A piece of a transfer that failed earlier: said already.
        let Some(incoming) = self.incoming.get_mut(&hash) else { return };
        match incoming.write(offset, bytes) {
            Ok(()) if !last => {}
            Ok(()) => {
                let finished = self.incoming.remove(&hash).map(Incoming::finish);
                root.queue(&match finished {
                    Some(Err(error)) => FromWorker::Gone(hash, error.to_string()),
                    _ => FromWorker::Have(hash),
                });
            }
            Err(error) => {
                self.incoming.remove(&hash);
                root.queue(&FromWorker::Gone(hash, error.to_string()));
            }
        }
    }

    /// The root wants an artefact that was made here.
    pub(super) fn wanted(&mut self, hash: Hash) {
        self.outgoing.push_back((hash, 0));
    }

    /// Sends pieces while nothing more urgent waits.
    pub(super) fn pump(&mut self, root: &mut Peer<FromWorker, ToWorker>) {
        while root.backlog() < BACKLOG_LIMIT
            && let Some((hash, offset)) = self.outgoing.front_mut()
        {
            match self.store.read_chunk(*hash, *offset) {
                Ok((bytes, last)) => {
                    let at = *offset;
                    *offset += bytes.len() as u64;
                    root.queue(&FromWorker::Chunk(*hash, at, bytes, last));
                    if last {
                        self.outgoing.pop_front();
                    }
                }
                Err(error) => {
                    root.queue(&FromWorker::Gone(*hash, error.to_string()));
                    self.outgoing.pop_front();
                }
            }
        }
    }
}
