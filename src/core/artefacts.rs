//! Which worker has which artefact, and to whom one has been offered.
//!
//! Knows hashes and workers, not tasks. An artefact that the driver reports gone is forgotten everywhere, so that
//! the next task in need of it asks again.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::model::{Hash, WorkerId};

/// How a worker stands to an artefact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// Offered, no answer yet.
    Offered,
    /// In its store.
    Here,
}

/// The register.
#[derive(Clone, Debug, Default)]
pub(super) struct Artefacts {
    stands: FxHashMap<Hash, BTreeMap<WorkerId, Stand>>,
    of_worker: FxHashMap<WorkerId, Vec<Hash>>,
    /// How many offers to a worker have no answer yet; none of 0.
    open: FxHashMap<WorkerId, u32>,
}

impl Artefacts {
    /// The worker has it. Is that news?
    pub fn have(&mut self, worker: WorkerId, artefact: Hash) -> bool {
        self.set(worker, artefact, Stand::Here) != Some(Stand::Here)
    }

    /// It is to be offered to the worker. False if it was already, or is there.
    pub fn offer(&mut self, worker: WorkerId, artefact: Hash) -> bool {
        if self.stands.get(&artefact).is_some_and(|workers| workers.contains_key(&worker)) {
            return false;
        }
        self.set(worker, artefact, Stand::Offered).is_none()
    }

    /// Does the worker have it?
    pub fn holds(&self, worker: WorkerId, artefact: &Hash) -> bool {
        self.stands.get(artefact).and_then(|workers| workers.get(&worker)) == Some(&Stand::Here)
    }

    /// Is anything on its way to the worker?
    pub fn awaits(&self, worker: WorkerId) -> bool {
        self.open.contains_key(&worker)
    }

    /// Who has it, in the order of their numbers.
    pub fn holders(&self, artefact: &Hash) -> impl Iterator<Item = WorkerId> {
        let workers = self.stands.get(artefact).into_iter().flatten();
        workers.filter(|(_, stand)| **stand == Stand::Here).map(|(worker, _)| *worker)
    }

    /// Nobody has it: forgets it and names those to whom it had been offered.
    pub fn gone(&mut self, artefact: &Hash) -> Vec<WorkerId> {
        let workers = self.stands.remove(artefact).unwrap_or_default();
        for worker in workers.keys() {
            if let Some(list) = self.of_worker.get_mut(worker) {
                list.retain(|hash| hash != artefact);
            }
        }
        let offered = workers.into_iter().filter(|(_, stand)| *stand == Stand::Offered);
        let offered: Vec<WorkerId> = offered.map(|(worker, _)| worker).collect();
        offered.iter().for_each(|worker| self.close(*worker));
        offered
    }

    /// The worker is lost, and its store with it.
    pub fn lose(&mut self, worker: WorkerId) {
        self.open.remove(&worker);
        for artefact in self.of_worker.remove(&worker).unwrap_or_default() {
            if let Some(workers) = self.stands.get_mut(&artefact) {
                workers.remove(&worker);
                if workers.is_empty() {
                    self.stands.remove(&artefact);
                }
            }
        }
    }

    fn set(&mut self, worker: WorkerId, artefact: Hash, stand: Stand) -> Option<Stand> {
        let before = self.stands.entry(artefact).or_default().insert(worker, stand);
        if before.is_none() {
            self.of_worker.entry(worker).or_default().push(artefact);
        }
        if before == Some(Stand::Offered) {
            self.close(worker);
        }
        if stand == Stand::Offered {
            *self.open.entry(worker).or_default() += 1;
        }
        before
    }

    /// One of the offers to it has its answer.
    fn close(&mut self, worker: WorkerId) {
        if let Some(open) = self.open.get_mut(&worker) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&worker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_once_and_forgets() {
        let (a, b) = (Hash::of(b"a"), Hash::of(b"b"));
        let mut register = Artefacts::default();
        assert!(register.offer(WorkerId(1), a));
        assert!(!register.offer(WorkerId(1), a), "a second offer while the first is open");
        assert!(!register.holds(WorkerId(1), &a) && register.awaits(WorkerId(1)));
        assert!(register.have(WorkerId(1), a));
        assert!(!register.have(WorkerId(1), a), "known already");
        assert!(!register.awaits(WorkerId(1)));
        assert!(register.have(WorkerId(0), a) && register.offer(WorkerId(2), a));
        assert_eq!(register.holders(&a).collect::<Vec<_>>(), [WorkerId(0), WorkerId(1)]);
        register.have(WorkerId(1), b);
        register.lose(WorkerId(1));
        assert_eq!(register.holders(&b).count(), 0);
        assert_eq!(register.gone(&a), [WorkerId(2)]);
        assert!(!register.awaits(WorkerId(2)));
        assert!(register.offer(WorkerId(2), a), "asked again after it was gone");
    }
}
