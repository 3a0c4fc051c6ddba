//! What was built on a node whose store is not ours comes home before its build is told to have ended.
//!
//! Until then the node has work of ours, which a measurement there must not meet, and only that node has what others
//! will need. A build whose artefact does not arrive has failed, and says why: a campaign that goes on without it would
//! only find that out later.

use std::sync::Arc;
use std::time::Instant;

use super::driver::Driver;
use crate::core::Event;
use crate::model::human::duration;
use crate::model::{Attempt, Detail, Hash, Outcome, Status, TaskId, ToWorker, WorkerId};

/// Builds that wait for one artefact from one worker.
pub(super) struct Homing {
    builds: Vec<(TaskId, Attempt)>,
    /// When the last piece came.
    heard: Instant,
}

impl Driver {
    /// A task has ended on a worker. Has what it made to come home first?
    pub(super) fn comes_home(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) -> bool {
        let outcome = self.tasks.live(task).and_then(|live| live.rare.outcome.as_deref());
        let Some(hash) = outcome.and_then(Outcome::artefact).filter(|hash| !self.store.contains(*hash))
        else {
            return false;
        };
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        if let Err(error) = worker.fetch(hash, &self.store) {
            self.did_not_arrive(id, task, &error.to_string());
            return false;
        }
        let homing = self.homing.entry((id, hash));
        let homing = homing.or_insert_with(|| Homing { builds: Vec::new(), heard: Instant::now() });
        homing.builds.push((task, attempt));
        self.handle(Event::Delivers { worker: id, task, attempt });
        true
    }

    /// A piece came.
    pub(super) fn piece_came(&mut self, id: WorkerId, hash: Hash, offset: u64, bytes: &[u8], last: bool) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let complete = worker.chunk(hash, offset, bytes, last);
        if let Some(homing) = self.homing.get_mut(&(id, hash)) {
            homing.heard = Instant::now();
        }
        match complete {
            Ok(false) => {}
            Ok(true) => {
                for (task, attempt) in self.homing.remove(&(id, hash)).map(|h| h.builds).unwrap_or_default() {
                    self.finished(id, task, attempt);
                }
            }
            Err(reason) => self.give_up_homing(id, hash, &reason.to_string()),
        }
    }

    /// It will not come: the builds that wait for it have failed.
    pub(super) fn give_up_homing(&mut self, id: WorkerId, hash: Hash, reason: &str) {
        self.break_off_homing(id, hash);
        for (task, attempt) in self.homing.remove(&(id, hash)).map(|h| h.builds).unwrap_or_default() {
            self.did_not_arrive(id, task, reason);
            self.finished(id, task, attempt);
        }
    }

    /// The build is to end now, wherever what it made is. Has it ended there?
    pub(super) fn cut_homing_short(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) -> bool {
        let waits = |homing: &Homing| homing.builds.contains(&(task, attempt));
        let found = self.homing.iter().find(|((worker, _), homing)| *worker == id && waits(homing));
        let Some(place) = found.map(|(place, _)| *place) else { return false };
        if let Some(homing) = self.homing.get_mut(&place) {
            homing.builds.retain(|build| *build != (task, attempt));
            if homing.builds.is_empty() {
                self.homing.remove(&place);
                self.break_off_homing(id, place.1);
            }
        }
        self.did_not_arrive(id, task, "its build was told to end meanwhile");
        self.finished(id, task, attempt);
        true
    }

    /// A worker is gone, and with it the builds whose artefacts were still there.
    pub(super) fn forget_homing(&mut self, id: WorkerId) {
        self.homing.retain(|(worker, _), _| *worker != id);
    }

    /// When the first of them has been without news for too long.
    pub(super) fn homing_due(&self) -> Option<Instant> {
        self.homing.values().map(|homing| homing.heard).min().map(|heard| heard + self.limits().transfer)
    }

    /// Gives up on those that do not get on.
    pub(super) fn watch_homing(&mut self, now: Instant) {
        let limit = self.limits().transfer;
        let late = self.homing.iter().filter(|(_, homing)| homing.heard + limit <= now);
        for (id, hash) in late.map(|(place, _)| *place).collect::<Vec<_>>() {
            let reason = format!("nothing of it has come for {}", duration(limit.as_secs_f64()));
            self.give_up_homing(id, hash, &reason);
        }
    }

    fn break_off_homing(&mut self, id: WorkerId, hash: Hash) {
        if let Some(worker) = self.workers.get_mut(&id)
            && worker.give_up_fetch(hash)
        {
            worker.peer.queue(&ToWorker::Unwanted(hash));
        }
    }

    fn did_not_arrive(&mut self, id: WorkerId, task: TaskId, reason: &str) {
        let host = self.workers.get(&id).map_or("", |worker| worker.host()).to_string();
        let Some(outcome) = self.tasks.live(task).and_then(|live| live.rare.outcome.as_mut()) else { return };
        let outcome = Arc::make_mut(outcome);
        outcome.status = Status::SetupFailed;
        outcome.reason = Some(format!(
            "built on {host}, but what it made did not reach the root, whose store all nodes are served from: {reason}"
        ));
        if let Detail::Compile(result) = &mut outcome.detail {
            result.artefact = None;
        }
    }
}
