//! Artefacts between this node's store and the root: what is said about them.

use crate::artefact::{self, Piece, Store, StoreError};
use crate::model::{FromWorker, Hash, ToWorker};
use crate::transport::Peer;

pub(super) struct Transfers {
    store: Store,
    under_way: artefact::Transfers,
}

impl Transfers {
    pub(super) fn new(store: Store) -> Self {
        Self { store, under_way: artefact::Transfers::default() }
    }

    /// The root has an artefact that a task here will need.
    pub(super) fn offered(&mut self, hash: Hash, root: &mut Peer<FromWorker, ToWorker>) {
        if self.store.contains(hash) {
            return root.queue(&FromWorker::Have(hash));
        }
        // One that is on its way already has been given up by the root: all of it has to come again.
        self.under_way.give_up(hash);
        match self.under_way.expect(hash, &self.store) {
            Ok(_) => root.queue(&FromWorker::Want(hash)),
            Err(error) => root.queue(&FromWorker::Unkept(hash, error.to_string())),
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
        match self.under_way.take(hash, offset, bytes, last) {
            Ok(true) => root.queue(&FromWorker::Have(hash)),
            Ok(false) => {}
            Err(error @ (StoreError::Damaged { .. } | StoreError::OutOfOrder { .. })) => {
                root.queue(&FromWorker::Damaged(hash, error.to_string()));
            }
            Err(error) => root.queue(&FromWorker::Unkept(hash, error.to_string())),
        }
    }

    /// The root wants an artefact that was made here.
    pub(super) fn wanted(&mut self, hash: Hash) {
        self.under_way.send(hash);
    }

    /// The root gave it up.
    pub(super) fn unwanted(&mut self, hash: Hash) {
        self.under_way.unsend(hash);
    }

    /// Is there a piece to send at once?
    pub(super) fn is_due(&self, root: &Peer<FromWorker, ToWorker>) -> bool {
        self.under_way.is_due(|| root.backlog())
    }

    /// Sends pieces while nothing more urgent waits.
    pub(super) fn pump(&mut self, root: &mut Peer<FromWorker, ToWorker>) {
        while let Some(piece) = self.under_way.next_piece(&self.store, || root.backlog()) {
            root.queue(&match piece {
                Ok(Piece { hash, offset, bytes, last }) => FromWorker::Chunk(hash, offset, bytes, last),
                Err((hash, error)) => FromWorker::Gone(hash, error.to_string()),
            });
        }
    }
}
