//! How workers go: lost, retired with their pool, dismissed at the end of the campaign.
//!
//! What a worker was doing is told to the core and to the script before it is forgotten; nothing here waits
//! longer than its limit.

use std::time::{Duration, Instant};

use super::driver::Driver;
use super::pools::Phase;
use super::port::{PoolError, Start};
use super::stop::STOPPING;
use super::workers::Stage;
use crate::core::Event;
use crate::model::{PoolId, ToWorker, WorkerId};
use crate::transport::LinkError;

/// Why those that were told to end are waited for no longer.
#[derive(Clone, Copy)]
pub(super) enum GivenUp {
    /// They had their time.
    Late,
    /// Somebody did not want to wait.
    BySignal,
}

impl Driver {
    /// The link to a worker broke.
    pub(super) fn link_ended(&mut self, id: WorkerId, error: &LinkError) {
        let patience = self.limits().sweep;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.is_retiring() {
            return self.part(id);
        }
        let reason = match error {
            LinkError::Closed => worker.why_it_ended(patience),
            LinkError::Failed(reason) => reason.clone(),
        };
        self.lose(id, &reason);
    }

    /// A worker is lost, and why: its tasks go elsewhere or end as `lost_worker`.
    pub(super) fn lose(&mut self, id: WorkerId, reason: &str) {
        let patience = self.limits().sweep;
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| !worker.is_gone()) else { return };
        let text = format!("worker {id} on {} is lost: {reason}", worker.host());
        let was_ready = matches!(worker.stage, Stage::Ready(_));
        let (host, had_a_pool) = (worker.host().to_string(), worker.pool.is_some() && !worker.is_retiring());
        // It may only have been silent: then it is to end, and not to run beside its successor.
        worker.peer.queue(&ToWorker::Exit);
        let _ = worker.peer.flush();
        worker.peer.hang_up();
        worker.planned_host.clone_from(&host); // what it said of itself goes
        worker.stage = Stage::Gone(text.clone());
        worker.break_off();
        worker.sweep(patience);
        let pool = worker.pool;
        self.now = Instant::now();
        let awaited = |pool: &PoolId| self.pools.pools.get(pool).is_some_and(|p| p.arriving().contains(&id));
        let awaited = pool.filter(awaited);
        let is_asked = |pool: PoolId| self.pools.pools.get(&pool).is_some_and(|p| p.phase.is_asked());
        if !awaited.is_some_and(is_asked) {
            self.progress.problem(&text); // else the script says it, for there it is an error
        }
        self.forget_homing(id);
        if was_ready {
            self.faults.note(&host, &text);
            self.forsake_gangs(id);
            self.handle(Event::WorkerLost { worker: id });
        } else if had_a_pool {
            self.node_failed(&host, &text);
        }
        if let Some(pool) = awaited {
            self.fail_opening(pool, &text);
        }
    }

    /// What somebody waits for will not come: a pool cannot be, or not grow. The script learns why.
    pub(super) fn fail_opening(&mut self, id: PoolId, reason: &str) {
        let Some(pool) = self.pools.pools.get_mut(&id) else { return };
        let arriving = pool.arriving().to_vec();
        let (event, asked) = match pool.phase {
            Phase::Opening { asked, .. } => {
                pool.phase = Phase::Failed { reason: reason.to_string(), asked };
                (Event::PoolClosed { pool: id }, asked)
            }
            Phase::Growing { .. } => {
                pool.phase = Phase::Open;
                pool.workers.retain(|worker| !arriving.contains(worker));
                // None of them has work yet.
                (Event::PoolSettled { pool: id }, true)
            }
            Phase::Open | Phase::Emptying | Phase::Closed | Phase::Failed { .. } => return,
        };
        if asked {
            self.port.spawned(Err(PoolError(reason.to_string())));
        }
        self.handle(event);
        for worker in arriving {
            self.retire(worker);
        }
    }

    /// Tells a worker that its pool is over.
    pub(super) fn retire(&mut self, id: WorkerId) {
        let patience = self.limits().sweep;
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| !worker.is_gone()) else { return };
        if worker.start == Start::Static {
            return self.free_rank(id);
        }
        if worker.said.is_some() && matches!(worker.stage, Stage::Starting) {
            // It has not come, and may never: whoever is to start it hears nothing. Should it come, nobody listens.
            worker.sweep(patience);
            self.workers.remove(&id);
            return;
        }
        worker.peer.queue(&ToWorker::Exit);
        let now = Instant::now();
        worker.stage = Stage::Retiring { since: now };
        self.pools.retire_by = Some(now + self.limits().retire);
    }

    /// A static worker says hello again when it is done with its pool. For the core it is a new one then.
    fn free_rank(&mut self, id: WorkerId) {
        let Some(mut worker) = self.workers.remove(&id) else { return };
        worker.peer.queue(&ToWorker::Retire);
        worker.id = self.pools.new_worker();
        worker.stage = Stage::Starting;
        worker.pool = None;
        worker.quarantine = None;
        worker.quiet = false;
        worker.known_code = 0;
        worker.break_off();
        self.workers.insert(worker.id, worker);
    }

    /// A retired worker has said goodbye (or closed its end): disconnect.
    pub(super) fn part(&mut self, id: WorkerId) {
        let Some(mut worker) = self.workers.remove(&id) else { return };
        worker.await_end(Duration::from_secs(1));
        worker.sweep(self.limits().sweep);
        let host = worker.host().to_string();
        self.pools.launcher.close(worker.peer.into_link(), &host);
    }

    /// Gives up those that were told to end and have not.
    pub(super) fn end_retiring(&mut self, why: GivenUp) {
        let late = self.workers.values().filter_map(|worker| match worker.stage {
            Stage::Retiring { since } => Some((worker.id, since.elapsed())),
            _ => None,
        });
        for (id, waited) in late.collect::<Vec<_>>() {
            let reason = match why {
                GivenUp::BySignal => "it was ended by force, as a signal came while it was waited for".into(),
                GivenUp::Late => {
                    format!("it did not end within {:.1} s of being told to", waited.as_secs_f64())
                }
            };
            self.lose(id, &reason);
        }
    }

    /// Ends all workers; returns when they are gone or had their time, which a signal cuts short.
    pub(super) fn dismiss(&mut self, limit: Duration) {
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        let word = if self.lost_ranks() > 0 { ToWorker::Quit } else { ToWorker::Exit };
        for id in &ids {
            let Some(worker) = self.workers.get_mut(id).filter(|worker| !worker.is_gone()) else { continue };
            // One who is told twice leaves MPI with a message it never read, and MPICH complains.
            if !worker.is_retiring() {
                worker.peer.queue(&word);
                worker.stage = Stage::Retiring { since: Instant::now() };
            }
        }
        let mut until = Instant::now() + limit;
        let mut why = GivenUp::Late;
        self.pools.retire_by = Some(until);
        loop {
            // May find that the last of them has gone: then there is nothing to sleep for.
            self.flush();
            let waits = self.workers.values().any(|worker| worker.is_retiring());
            if !waits || Instant::now() >= until {
                break;
            }
            // What else has its time now is served by nobody any more.
            self.wait_until(Some(until), false);
            while let Some(signal) = self.signals.take() {
                if STOPPING.contains(&signal) && !self.is_copy(signal) {
                    until = Instant::now();
                    why = GivenUp::BySignal;
                }
            }
            self.read_workers();
        }
        self.end_retiring(why);
    }
}
