//! Where tasks ran, as the journal keeps it: one line for each node and processor, before the first record from there.

use std::collections::{BTreeMap, BTreeSet};

use super::driver::Driver;
use super::provenance::Provenance;
use super::record;
use crate::model::{Hash, Record, WorkerId};

/// The surroundings that the journal knows.
pub(super) struct Surroundings {
    pub(super) provenance: Provenance,
    written: BTreeSet<Hash>,
    of_worker: BTreeMap<WorkerId, Hash>,
}

impl Surroundings {
    /// Those that earlier runs wrote.
    pub(super) fn new(written: BTreeSet<Hash>, provenance: Provenance) -> Self {
        Self { provenance, written, of_worker: BTreeMap::new() }
    }
}

impl Driver {
    /// What the records of this worker name as their surroundings; none for a worker that is gone unseen.
    pub(super) fn surroundings_of(&mut self, worker: WorkerId) -> Option<Hash> {
        if let Some(known) = self.surroundings.of_worker.get(&worker) {
            return Some(*known);
        }
        let hello = self.workers.get(&worker)?.hello()?;
        let env = (*hello.env).clone().named();
        let id = env.id?;
        if self.surroundings.written.insert(id) {
            self.journal.append(record::NO_TASK, Record::Env(Box::new(env)));
        }
        self.surroundings.of_worker.insert(worker, id);
        Some(id)
    }
}
