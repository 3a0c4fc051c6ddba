//! What the cluster does to tasks, and what follows: a task that was struck rests and is tried again elsewhere, and a node that
//! strikes again and again takes no more.
//!
//! A *strike* is an attempt whose worker was lost, or which its node could not run (*unfit*: no space, no such program). Either
//! says little of the task, so it is tried again, but never more often than its `retries`: a task that ends its
//! workers would have them all, one after the other. It rests before, twice as long each time, and keeps off the node
//! where it was struck while another would do.
//!
//! A *fault* is held against a node: a worker that was lost there or did not come, or a task that was unfit for it and ran on another node
//! (where no other node can run it either, it is the task). A pool takes a node of so many faults out of its books as if the
//! workers there were lost, but for what runs on them; never the last one it has, for where would its tasks go? If all it has
//! left are out, because those that were better are lost, the least faulty is let in again, until another one comes.

use super::Core;
use super::api::{Action, End, Tick};
use super::pool::Stage;
use super::task::{Home, NodeIx, Phase, PoolIx, State, Strike, Task, TaskIx};
use crate::model::{PoolId, WorkerId};

/// A task rests so long after its first strike (µs).
const FIRST_REST_US: u64 = 1_000_000;
/// And after any so long at the most (µs).
const LONGEST_REST_US: u64 = 60_000_000;

/// How long a task rests after so many strikes (µs).
fn rest_us(strikes: usize) -> u64 {
    let doubled = strikes.saturating_sub(1).min(16) as u32;
    (FIRST_REST_US << doubled).min(LONGEST_REST_US)
}

impl Core {
    /// Hosts on which the pool starts nothing because of their faults.
    pub fn quarantined(&self, pool: PoolId) -> impl Iterator<Item = &str> {
        let pool = self.pool_ix.get(&pool).map(|ix| &self.pools[ix.at()]);
        let nodes =
            self.fleet.nodes().filter(move |(_, node)| pool.is_some_and(|pool| pool.is_wary_of(node.faults)));
        nodes.map(|(_, node)| &*node.host)
    }

    /// After so many faults of a node the pool keeps off it.
    pub(super) fn pool_quarantine(&mut self, id: PoolId, after: Option<u32>) {
        let Some(ix) = self.pool_ix.get(&id).copied() else { return };
        self.pools[ix.at()].quarantine = after;
        self.review(ix);
    }

    /// A worker was to start on the host and did not.
    pub(super) fn node_fault(&mut self, host: &str) {
        let node = self.fleet.node(host);
        self.fault(node);
    }

    /// An attempt was lost with this worker.
    pub(super) fn strike(&mut self, ix: TaskIx, worker: WorkerId) {
        self.tasks[ix].rare().strikes.push(Strike { worker, lost: true });
    }

    /// A struck attempt is over and holds nothing any more: the task rests, or has been struck too often.
    pub(super) fn again(&mut self, ix: TaskIx) {
        let task = &self.tasks[ix];
        let (struck, retries) = (task.strikes(), task.retries);
        if struck.len() as u64 > u64::from(retries) {
            let end = End::LostWorker { workers: task.taken_along() };
            return self.resolve(ix, end, None);
        }
        let last = struck.last().map(|strike| self.fleet[strike.worker].node);
        let pool = &self.pools[task.pool.at()];
        if self.draining || pool.stage == Stage::Closed || pool.is_dead() {
            self.agenda.ready.push_back(ix); // it ends at once
            return;
        }
        if let Some(node) = last {
            let _ = self.keep_off(ix, node);
        }
        self.rest(ix);
    }

    /// The node could not run the task, whose attempt is over. Is it tried again on another one?
    pub(super) fn goes_elsewhere(&mut self, ix: TaskIx, worker: WorkerId) -> bool {
        let task = &self.tasks[ix];
        let may = task.need.nodes() == 1 && (task.strikes().len() as u64) < u64::from(task.retries);
        if !may || self.draining || !self.keep_off(ix, self.fleet[worker].node) {
            return false;
        }
        self.tasks[ix].rare().strikes.push(Strike { worker, lost: false });
        self.rest(ix);
        true
    }

    /// The task could run here: where it could not the node was at fault.
    pub(super) fn acquit(&mut self, ix: TaskIx, worker: WorkerId) {
        let here = self.fleet[worker].node;
        let unfit = self.tasks[ix].strikes().iter().filter(|strike| !strike.lost);
        let mut nodes: Vec<NodeIx> = unfit.map(|strike| self.fleet[strike.worker].node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes.into_iter().filter(|node| *node != here).for_each(|node| self.fault(node));
    }

    /// From now on it runs elsewhere, as long as there is such a place. Is there one?
    fn keep_off(&mut self, ix: TaskIx, node: NodeIx) -> bool {
        if !self.pools[self.tasks[ix].pool.at()].is_on(node) {
            return true; // nothing starts there anyway
        }
        let task = &mut self.tasks[ix];
        if task.is_bound() || task.rare().not_on.is_some() {
            return false;
        }
        task.rare().shuns = Some(node);
        let elsewhere = self.never(ix).is_none();
        if !elsewhere {
            self.tasks[ix].rare().shuns = None;
        }
        elsewhere
    }

    /// Where nothing else would do, it runs there after all.
    pub(super) fn shun_no_longer(&mut self, ix: TaskIx) {
        if self.tasks[ix].shuns().is_some() && self.never(ix).is_some() {
            self.tasks[ix].rare().shuns = None;
        }
    }

    fn rest(&mut self, ix: TaskIx) {
        let rest = rest_us(self.tasks[ix].strikes().len());
        self.enter(ix, State::Queued(Home::Resting));
        self.set_alarm(ix, self.now.plus(rest));
    }

    /// Those of the pool that rest.
    pub(super) fn resting_in(&self, pool: PoolIx) -> impl Iterator<Item = TaskIx> {
        let rests = move |task: &Task| task.pool == pool && task.state == State::Queued(Home::Resting);
        self.tasks.iter().filter(move |(_, task)| rests(task)).map(|(ix, _)| ix)
    }

    /// The task it rests after, and until when.
    pub(super) fn rest_of(&self, ix: TaskIx) -> Option<(WorkerId, bool, Tick)> {
        let task = &self.tasks[ix];
        let last = task.strikes().last().filter(|_| task.state == State::Queued(Home::Resting))?;
        Some((last.worker, last.lost, task.alarm))
    }

    /// The node failed us once more.
    pub(super) fn fault(&mut self, node: NodeIx) {
        if self.draining {
            return;
        }
        self.fleet[node].faults += 1;
        for at in 0..self.pools.len() {
            self.review(PoolIx::new(at));
        }
    }

    /// Takes nodes of too many faults out of the pool, the worst first, as long as others are left.
    pub(super) fn review(&mut self, ix: PoolIx) {
        loop {
            let pool = &self.pools[ix.at()];
            if pool.stage == Stage::Closed || pool.quarantine.is_none() || pool.hosts().len() < 2 {
                return;
            }
            let bad = pool.hosts().filter(|node| pool.is_wary_of(self.fleet[*node].faults));
            let Some(worst) = bad.max_by_key(|node| (self.fleet[*node].faults, std::cmp::Reverse(*node)))
            else {
                return;
            };
            self.bar(ix, worst);
        }
    }

    /// Does an attempt wait for artefacts?
    pub(super) fn is_staging(&self, ix: TaskIx) -> bool {
        matches!(&self.tasks[ix].state, State::Flying(flight) if flight.phase == Phase::Staging)
    }

    /// Nothing of the pool starts on the node any more; what runs there goes on.
    fn bar(&mut self, pool: PoolIx, node: NodeIx) {
        let (id, host) = (self.pools[pool.at()].id, self.fleet[node].host.clone());
        self.out.push(Action::Quarantine { pool: id, host });
        let mut workers = self.fleet[node].workers.clone();
        workers.retain(|id| self.fleet[*id].serves(pool));
        for id in workers {
            self.withdraw(id);
            for ix in self.fleet[id].tasks.clone() {
                if self.is_staging(ix) {
                    self.land(ix);
                    self.agenda.ready.push_back(ix);
                } else {
                    self.recall(ix);
                }
            }
        }
        self.stir(node);
        self.reconsider(pool);
    }

    /// If the pool has nobody left who takes tasks, the least faulty of the nodes it keeps off does again.
    pub(super) fn readmit(&mut self, pool: PoolIx) {
        let books = &self.pools[pool.at()];
        if books.alive > 0 || books.stage == Stage::Closed || self.draining {
            return;
        }
        let barred = self.fleet.iter().filter(|(_, worker)| worker.pool == pool && worker.barred);
        let best = barred.map(|(_, worker)| worker.node).min_by_key(|node| (self.fleet[*node].faults, *node));
        let Some(node) = best else { return };
        let (id, host) = (books.id, self.fleet[node].host.clone());
        self.out.push(Action::Readmit { pool: id, host });
        let mut workers = self.fleet[node].workers.clone();
        workers.retain(|id| self.fleet[*id].pool == pool);
        for id in workers {
            let worker = &mut self.fleet[id];
            worker.barred = false;
            worker.place = self.pools[pool.at()].add(id, worker.size(), node);
            self.enlist(id);
        }
    }

    /// The worker is struck off its pool's books: what only waits for it looks elsewhere.
    pub(super) fn withdraw(&mut self, id: WorkerId) {
        if std::mem::replace(&mut self.fleet[id].barred, true) {
            return;
        }
        let worker = &mut self.fleet[id];
        let (pool, node, counted) = (worker.pool, worker.node, std::mem::take(&mut worker.counted));
        let (own, groups) = (std::mem::take(&mut worker.own), std::mem::take(&mut worker.groups));
        let books = &mut self.pools[pool.at()];
        books.surplus -= u64::from(counted);
        books.lose(worker.place, worker.size(), node);
        books.reluctant -= u32::from(!worker.measures);
        for group in groups {
            let home = &mut self.groups[group.at()].home;
            if home.as_ref().is_some_and(|home| home.contains(&id)) {
                *home = None;
                self.reroute_gangs(pool, group);
            }
        }
        own.iter().for_each(|(_, ix)| self.make_ready(ix));
        for ix in self.leasing_on(node).collect::<Vec<_>>() {
            if matches!(&self.tasks[ix].state, State::Leasing(gang) if gang.contains(&id)) {
                self.land(ix);
                self.agenda.ready.push_back(ix);
            }
        }
        if self.pools[pool.at()].reservation.as_ref().is_some_and(|kept| kept.workers.contains(&id)) {
            self.drop_reservation(pool);
        }
    }
}
