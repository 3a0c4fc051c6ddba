//! Who gets the room there is: the tasks of a pool in the order of their ranks, each on the least loaded worker
//! that fits; and the tasks that may run on one worker only.

use super::Core;
use super::api::{Action, Gang};
use super::credit::CHEAPEST_CALL;
use super::fleet::Lease;
use super::fleet::room_of;
use super::gang::Walk;
use super::queues::Head;
use super::task::{Flight, Need, Phase, PoolIx, Rank, State, TaskIx};
use crate::model::{Attempt, Kind, WorkerId};

/// So many holders of an artefact are looked at for one to prefer.
const HOLDERS_ASKED: usize = 16;

impl Core {
    /// Starts what the pool's room allows.
    pub(super) fn serve_pool(&mut self, pool: PoolIx) {
        // Shapes whose heads go no later found nothing in this round.
        let mut passed: Option<Rank> = None;
        // Once a task finds nothing, no later one may drain a node: it would take what the first one waits for.
        let mut may_drain = true;
        let mut walk = Walk::default();
        let mut full = false;
        while let Some(head) = self.pools[pool.at()].shapes.first_after(passed) {
            let Head { queue: shape, rank, ix } = head;
            if !self.pools[pool.at()].gangs.is_empty() {
                self.serve_gangs(pool, Some(rank), &mut walk, may_drain);
            }
            let top = self.pools[pool.at()].top(self.all_avoid(pool));
            if self.hold_if_late(ix) {
                continue;
            }
            full |= top.key == 0 || (!may_drain && top.idle == 0 && room_of(top) < CHEAPEST_CALL);
            let kept = self.pools[pool.at()].reservation.is_some();
            let placed =
                !full && !self.is_vain(pool, ix, may_drain) && self.place(pool, shape, ix, may_drain);
            let yields = !placed && self.give_way(pool, rank);
            if kept && self.pools[pool.at()].reservation.is_none() {
                walk = Walk::default(); // what was kept for a gang is open: it chooses anew before those behind it
            }
            full &= !yields;
            if placed || yields {
                continue;
            }
            if self.fill_in(pool, shape) {
                continue;
            }
            may_drain = false;
            let fills = self.pools[pool.at()].reservation.as_ref().is_some_and(|kept| kept.until.is_some());
            if full && !fills {
                break; // saves a look at each of many shapes
            }
            passed = Some(rank);
            let need = self.tasks[ix].need;
            if matches!(need, Need::Call | Need::Cores(1)) && !self.is_restricted(ix) {
                full = true; // one unit anywhere would do for it: whatever comes free is its
                if !fills {
                    break;
                }
            }
        }
        if !self.pools[pool.at()].gangs.is_empty() {
            self.serve_gangs(pool, None, &mut walk, may_drain);
        }
        self.serve_parts(pool);
    }

    /// Is it no call, and no unit idle where it may run? Parts of nodes that are leased are served by themselves.
    fn is_vain(&self, pool: PoolIx, ix: TaskIx, may_drain: bool) -> bool {
        !may_drain
            && self.tasks[ix].need != Need::Call
            && self.pools[pool.at()].top(self.avoids(ix)).idle == 0
    }

    /// Finds room for the head of a shape. False: there is none now.
    fn place(&mut self, pool: PoolIx, shape: u32, ix: TaskIx, may_drain: bool) -> bool {
        let need = self.tasks[ix].need;
        if need.is_quiet() {
            return self.join_any(pool, ix) || self.place_whole(pool, shape, ix, may_drain);
        }
        if let Some(worker) = self.pick(pool, ix, need) {
            self.dequeue(ix);
            self.put(ix, Gang::one(worker));
            return true;
        }
        let reserved = self.pools[pool.at()].reserved.is_some();
        let patient = need == Need::Call || (need.cores() == 1 && !self.is_restricted(ix));
        if patient || reserved || !may_drain {
            return false;
        }
        // Several units are never free at once where single ones are taken as soon as they are, nor is one where it is
        // only to be here and calls may wait for it too: reserve a worker.
        let Some(worker) = self.drainable(pool, shape, ix) else { return false };
        self.pools[pool.at()].reserved = Some(ix);
        self.dequeue(ix);
        self.lease(ix, Gang::one(worker));
        true
    }

    fn place_whole(&mut self, pool: PoolIx, shape: u32, ix: TaskIx, may_drain: bool) -> bool {
        let Some(worker) = self.drainable(pool, shape, ix) else { return false };
        let worker = self.prefer_holder(pool, ix, worker);
        if !may_drain && !self.fleet.is_empty(self.fleet[worker].node) {
            return false;
        }
        self.dequeue(ix);
        self.lease(ix, Gang::one(worker));
        true
    }

    /// Is it not for every worker of its pool?
    pub(super) fn is_restricted(&self, ix: TaskIx) -> bool {
        self.tasks[ix].not_on().is_some() || self.avoids(ix)
    }

    /// The least loaded worker whose node could be leased for the head of this shape.
    fn drainable(&mut self, pool: PoolIx, shape: u32, ix: TaskIx) -> Option<WorkerId> {
        let books = &self.pools[pool.at()];
        if books.shapes[shape].hopeless == Some(books.epoch) {
            return None;
        }
        let (need, not_on) = (self.tasks[ix].need, self.tasks[ix].not_on());
        let found = books.best(0, self.avoids(ix), |id| {
            let worker = &self.fleet[id];
            worker.suffices(need)
                && self.fleet[worker.node].lease == Lease::Open
                && Some(worker.node) != not_on
        });
        if found.is_none() {
            let books = &mut self.pools[pool.at()];
            books.shapes[shape].hopeless = Some(books.epoch);
        }
        found
    }

    /// The worker for a task that shares: the least loaded with room, one that has its artefact if equal.
    fn pick(&self, pool: PoolIx, ix: TaskIx, need: Need) -> Option<WorkerId> {
        let books = &self.pools[pool.at()];
        let task = &self.tasks[ix];
        let idle = if let Need::Cores(cores) = need { cores } else { 0 };
        let not_on = task.not_on();
        let worker =
            books.best(idle, self.avoids(ix), |id| not_on.is_none_or(|node| self.fleet[id].node != node))?;
        let fits = self.fleet[worker].fits(need, self.charge(ix));
        fits.then(|| self.prefer_holder(pool, ix, worker))
    }

    /// Another worker, just as idle as `best`, that has the first artefact the task needs; else `best`.
    fn prefer_holder(&self, pool: PoolIx, ix: TaskIx, best: WorkerId) -> WorkerId {
        let task = &self.tasks[ix];
        let Some(artefact) = task.inputs().first().filter(|artefact| !self.artefacts.holds(best, artefact))
        else {
            return best;
        };
        let likeness = |id: WorkerId| {
            let worker = &self.fleet[id];
            let node = &self.fleet[worker.node];
            (
                worker.measures,
                worker.slots,
                worker.idle(),
                node.lease,
                node.reserved,
                self.fleet.is_empty(worker.node),
            )
        };
        let equal = |id: &WorkerId| {
            let worker = &self.fleet[*id];
            worker.serves(pool)
                && likeness(*id) == likeness(best)
                && (worker.idle() > 0 || task.need != Need::Call)
                && Some(worker.node) != task.not_on()
        };
        self.artefacts.holders(artefact).take(HOLDERS_ASKED).find(equal).unwrap_or(best)
    }

    /// What the task takes of a pipe.
    pub(super) fn charge(&self, ix: TaskIx) -> u16 {
        let task = &self.tasks[ix];
        if task.need == Need::Call { self.durations.charge(task.class) } else { 0 }
    }

    /// Gives the workers' units to a task that shares and has left its queue.
    pub(super) fn put(&mut self, ix: TaskIx, gang: Gang) {
        let (need, charge, group) = (self.tasks[ix].need, self.charge(ix), self.tasks[ix].group());
        self.tasks[ix].charged = charge;
        self.bind(group, &gang);
        self.take_over(&gang, ix);
        for id in gang.iter().copied() {
            self.tell_loud(self.fleet[id].node); // before it hears of work beside which nothing is measured
            self.fleet[id].hold(ix, need, charge);
            self.refresh(id);
        }
        gang[1..].iter().for_each(|id| self.count_unseen(ix, *id, 1));
        let lacking = self.lacks_any(ix, &gang);
        let leader = gang.leader();
        self.enter(ix, State::Flying(Flight { gang, phase: Phase::Staging }));
        if lacking {
            self.count_unseen(ix, leader, 1);
        } else {
            self.send(ix);
        }
    }

    /// Sends an attempt that waited for artefacts, if they are all there. Where they did not come in time it is held back.
    pub(super) fn send_if_staged(&mut self, ix: TaskIx) {
        let State::Flying(Flight { gang, .. }) = &self.tasks[ix].state else { return };
        let gang = gang.clone();
        if self.lacks_any(ix, &gang) {
            return;
        }
        if self.is_late(ix) {
            self.land(ix);
            self.agenda.ready.push_back(ix);
            return;
        }
        self.count_unseen(ix, gang.leader(), -1);
        self.send(ix);
    }

    /// The attempt begins or ceases to hold units of which the worker does not know.
    pub(super) fn count_unseen(&mut self, ix: TaskIx, id: WorkerId, by: i16) {
        if self.tasks[ix].need != Need::Call {
            let unseen = &mut self.fleet[id].unseen;
            *unseen = unseen.saturating_add_signed(by);
            self.refresh(id);
        }
    }

    pub(super) fn send(&mut self, ix: TaskIx) {
        let at = self.now;
        let task = &mut self.tasks[ix];
        let State::Flying(flight) = &mut task.state else { return };
        task.attempt += 1;
        flight.phase = Phase::Sent { at };
        let leader = flight.gang.leader();
        self.out.push(Action::Start {
            task: task.id,
            attempt: Attempt(task.attempt),
            gang: flight.gang.clone(),
            gpus: task.rare.as_ref().map(|rare| rare.granted.clone()).unwrap_or_default(),
        });
        if task.kind != Kind::Call {
            self.guard_start(ix, leader); // a call may wait its turn
        }
    }

    /// Sends short programs ahead to a worker whose units are all held by programs. Only what is next in the pool
    /// goes, and only where it could go anyway; the pool has been served before.
    pub(super) fn send_ahead(&mut self, id: WorkerId) {
        if !self.fleet.alive(id) || self.fleet[id].barred {
            return;
        }
        let (node, pool) = (self.fleet[id].node, self.fleet[id].pool);
        if self.fleet[node].lease != Lease::Open || self.fleet[node].reserved.is_some() {
            return;
        }
        let Some(Head { ix, .. }) = self.pools[pool.at()].shapes.first() else { return };
        if self.is_late(ix) {
            return self.mark_stale(pool);
        }
        let task = &self.tasks[ix];
        let most = if task.kind == Kind::Exec { self.durations.ahead(task.class) } else { 0 };
        if self.fleet[id].takes_ahead(most) && task.need == Need::Cores(1) && task.rare.is_none() {
            self.dequeue(ix);
            self.put(ix, Gang::one(id));
            // The next in the pool may be of another kind: it is asked first.
            self.mark_stale(pool);
            self.agenda.ahead.push_back(id);
        }
    }

    /// The pool's queues have moved on: some workers' own tasks may be before them now.
    pub(super) fn serve_deferred(&mut self, pool: PoolIx) {
        let head = self.pools[pool.at()].shapes.first().map(|head| head.rank);
        while let Some(entry) = self.pools[pool.at()].deferred.first_entry()
            && head.is_none_or(|head| *entry.key() < head)
        {
            let worker = entry.remove();
            self.touch(worker);
        }
    }

    /// Something ended or arrived on the worker.
    pub(super) fn serve_worker(&mut self, id: WorkerId) {
        if !self.fleet.alive(id) {
            return;
        }
        let node = self.fleet[id].node;
        if let Some(ix) = self.fleet[node].lease.holder() {
            self.advance(ix);
        }
        if self.fleet[id].barred {
            return;
        }
        if self.fleet[node].lease == Lease::Open && self.fleet[node].streak > 0 && !self.follow_up(id) {
            self.fleet[node].streak = 0;
        }
        if !self.fleet[id].own.is_empty() {
            self.serve_own(id, true);
            if !self.fleet[id].own.is_empty() {
                self.agenda.late.push_back(id);
            }
        }
    }

    /// Starts tasks that may run on this worker only: those that go before the pool's (`early`), or, after the pool
    /// has been served, all that fit.
    pub(super) fn serve_own(&mut self, id: WorkerId, early: bool) {
        if !self.fleet.alive(id) {
            return;
        }
        let (node, pool) = (self.fleet[id].node, self.fleet[id].pool);
        while let Some((rank, ix)) = self.fleet[id].own.first() {
            if self.hold_if_late(ix) {
                continue;
            }
            let first = self.pools[pool.at()].shapes.first().is_none_or(|head| rank < head.rank);
            let lease = self.fleet[node].lease;
            if !first && !early {
                self.pools[pool.at()].deferred.insert(rank, id);
            }
            if !lease.is_open() || (early && !first) || !self.admits(node, ix) {
                return;
            }
            let need = self.tasks[ix].need;
            let fits = self.fleet[id].fits(need, self.charge(ix));
            if self.borrows(node, ix) {
                // It must be gone in time: it waits for nothing any more.
                let begins = if need.is_quiet() {
                    self.fleet.is_empty(node)
                } else {
                    self.fleet[id].idle() >= need.cores()
                };
                if !begins || lease != Lease::Open || self.lacks_any(ix, &[id]) {
                    return;
                }
            }
            if fits && !need.is_quiet() {
                self.dequeue(ix);
                self.put(ix, Gang::one(id));
            } else if lease == Lease::Open && (first || (fits && self.fleet.is_empty(node))) {
                self.dequeue(ix);
                self.lease(ix, Gang::one(id));
            } else {
                return;
            }
            if !self.pools[pool.at()].sides.is_empty() {
                self.mark_stale(pool); // some let it pass who may join others now, or may join it
            }
        }
    }
}
