//! Reservations: the first gang that waits is promised nodes and a time, and others may pass it only if they keep it.
//!
//! The nodes are those that are free the earliest, given the timeouts of what runs there, of as many as it pays to look at; the
//! time is when the last of them is. Whatever else comes free while the gang waits takes the place of that one. A later task may
//! use one of them only if its own timeout ends before that time. Something without a timeout may
//! run for ever: on such a node the time is not known, and nobody passes. A promised time never moves back for the sake of a later
//! task; an earlier one, or a node that is lost, makes a new promise. One reservation per pool is enough: every gang is
//! the first at last.

use super::Core;
use super::api::{Gang, Tick};
use super::explain::Reserved;
use super::fleet::{Lease, Node};
use super::gang::{Demand, is_member};
use super::guard::ANSWER_US;
use super::pool::Reservation;
use super::task::{Flight, NEVER, NodeIx, Phase, PoolIx, Rank, State, TaskIx};
use crate::model::WorkerId;

/// So many tasks of a queue are asked whether they end in time.
pub(super) const MOST_ASKED: usize = 32;
/// Of so many workers of which it is known when they have room, or of so many for each of its nodes, a gang is promised the best. That
/// others would have room before them does not delay it: they take their places when they do. It is only told a later time.
const ENOUGH: usize = 64;
const ENOUGH_EACH: usize = 4;

impl Core {
    /// Which nodes are kept for whom at present, in the order of the pools.
    pub fn reservations(&self) -> impl Iterator<Item = Reserved> {
        self.pools.iter().filter_map(|pool| pool.reservation.as_ref()).map(|kept| self.reserved(kept))
    }

    pub(super) fn reserved(&self, kept: &Reservation) -> Reserved {
        Reserved { task: self.tasks[kept.ix].id, nodes: kept.workers.len(), until: kept.until }
    }

    /// Keeps nodes for the first gang that waits: those that are free the earliest. `free`: workers with idle units. Where it was
    /// promised a time, or nothing has a time, it gives up what it has for these alone: others are not known to be free before.
    pub(super) fn reserve(&mut self, pool: PoolIx, ix: TaskIx, free: &[WorkerId]) {
        let old = self.pools[pool.at()].reservation.take();
        let demand = self.demand(ix);
        // A worker that measures may have come: then a reluctant one is none for it any more.
        let would_do = |old: &&Reservation| old.workers.iter().all(|id| self.suits(ix, demand, *id));
        let present = old.as_ref().filter(|old| old.ix == ix).filter(would_do);
        let is_first =
            |present: &&Reservation| present.workers.iter().all(|id| self.outranks(ix, self.fleet[*id].node));
        let promised = |present: &&Reservation| present.until.is_some_and(|until| self.now < until);
        let settled =
            present.is_some_and(|present| promised(&present) || self.is_untimed() && is_first(&present));
        let kept = present.map_or(&[][..], |present| &present.workers);
        let mut near = [free, kept].concat();
        near.sort_unstable();
        near.dedup();
        let others = if settled { &[] } else { &self.pools[pool.at()].places[..] };
        let others = others.iter().flatten().filter(|id| near.binary_search(id).is_err());
        let chosen = self.earliest(ix, demand, near.iter().copied(), others.copied());
        let frees = |workers: &[WorkerId]| workers.iter().map(|id| self.frees_at(demand, *id)).max();
        let at = chosen.as_deref().and_then(frees).unwrap_or(NEVER);
        let before = present.and_then(|present| present.until);
        if before.is_some_and(|before| self.now < before && before < at) {
            self.pools[pool.at()].reservation = old; // what it has is better than it looks now
            return;
        }
        if let Some(old) = old {
            self.pools[pool.at()].reservation = Some(old);
            let kept = chosen.as_deref().unwrap_or_default();
            self.unreserve(pool, ix, kept);
        }
        let Some(workers) = chosen else { return };
        let until = (at != NEVER).then_some(at);
        let until = before.map_or(until, |before| Some(until.map_or(before, |at| at.min(before))));
        self.take_over(&workers, ix);
        for id in &workers {
            self.keep(self.fleet[*id].node, ix);
        }
        let loud = workers.iter().copied().filter(|id| !self.fleet[self.fleet[*id].node].quiet);
        let _ = self.lacks_any(ix, &loud.collect::<Vec<_>>()); // they come while it waits
        self.pools[pool.at()].reservation = Some(Reservation { ix, workers, until });
    }

    /// Where the gang could start the earliest; of equals, what is kept for it already. All who are `near` are asked, and of the
    /// `others` as many as it takes to have enough that are good.
    fn earliest(
        &self,
        ix: TaskIx,
        demand: Demand,
        near: impl Iterator<Item = WorkerId>,
        others: impl Iterator<Item = WorkerId>,
    ) -> Option<Vec<WorkerId>> {
        type Candidate = ((Tick, bool, usize), WorkerId);
        let (suits, untimed, nodes) =
            (self.suiting(ix, demand), self.is_untimed(), usize::from(demand.nodes));
        let candidate = |id: WorkerId| -> Option<Candidate> {
            let worker = &self.fleet[id];
            let may = suits(&id) && self.outranks(ix, worker.node);
            let elsewhere = self.fleet[worker.node].reserved != Some(ix);
            may.then(|| ((self.frees_at(demand, id), elsewhere, worker.tasks.len()), id))
        };
        // Where nothing has a time none is better than another with but one task to wait for.
        let is_good = |((at, _, tasks), _): &Candidate| *at != NEVER || untimed && *tasks <= 1;
        let mut enough = if untimed { nodes } else { ENOUGH.max(ENOUGH_EACH * nodes) };
        let (mut good, mut rest): (Vec<_>, Vec<_>) = near.filter_map(candidate).partition(is_good);
        let mut others = others.filter_map(candidate);
        loop {
            while good.len() < enough
                && let Some(other) = others.next()
            {
                if is_good(&other) { good.push(other) } else { rest.push(other) }
            }
            if good.len() < enough {
                good.append(&mut rest);
                return self.best_of(ix, demand, &mut good);
            }
            if let Some(gang) = self.best_of(ix, demand, &mut good) {
                return Some(gang);
            }
            enough = 2 * good.len(); // these are of several jobs, or on the same nodes
        }
    }

    /// Nothing starts there any more without its leave.
    fn keep(&mut self, node: NodeIx, ix: TaskIx) {
        if self.fleet[node].reserved.replace(ix) == Some(ix) {
            return;
        }
        for at in 0..self.fleet[node].workers.len() {
            let worker = self.fleet[node].workers[at];
            self.refresh(worker);
            // Those that go before it would only come back.
            self.recall_all(worker, |core, call| core.tasks[call].rank > core.tasks[ix].rank);
        }
    }

    /// The pool's reservation ends, but for the nodes of those workers that `ix` is to have next.
    fn unreserve(&mut self, pool: PoolIx, ix: TaskIx, kept: &[WorkerId]) {
        let Some(old) = self.pools[pool.at()].reservation.take() else { return };
        for id in old.workers {
            let node = self.fleet[id].node;
            if old.ix == ix && is_member(id, kept) || self.fleet[node].reserved != Some(old.ix) {
                continue;
            }
            self.fleet[node].reserved = None;
            self.reopen(node);
        }
    }

    /// Gives up what is kept in this pool.
    pub(super) fn drop_reservation(&mut self, pool: PoolIx) {
        if let Some(ix) = self.pools[pool.at()].reservation.as_ref().map(|old| old.ix) {
            self.unreserve(pool, ix, &[]);
        }
    }

    /// The task needs no nodes kept for it.
    pub(super) fn cease_reserving(&mut self, ix: TaskIx) {
        let pool = self.tasks[ix].pool;
        if self.pools[pool.at()].reservation.as_ref().is_some_and(|old| old.ix == ix) {
            self.drop_reservation(pool);
        }
    }

    /// The task is about to use these: what was promised there to others that come later is void.
    pub(super) fn take_over(&mut self, workers: &[WorkerId], ix: TaskIx) {
        for id in workers {
            let node = self.fleet[*id].node;
            if let Some(holder) = self.fleet[node].reserved
                && holder != ix
                && self.tasks[ix].rank < self.tasks[holder].rank
            {
                self.drop_reservation(self.tasks[holder].pool);
            }
        }
    }

    /// A task of this rank finds no room, and nodes are kept for a later one: it comes first. Was it so?
    pub(super) fn give_way(&mut self, pool: PoolIx, rank: Rank) -> bool {
        let later = |old: &Reservation| self.tasks[old.ix].rank > rank;
        let yields = self.pools[pool.at()].reservation.as_ref().is_some_and(later);
        if yields {
            self.drop_reservation(pool);
        }
        yields
    }

    /// Is the node kept for nobody who goes before the task?
    pub(super) fn outranks(&self, ix: TaskIx, node: NodeIx) -> bool {
        self.fleet[node].reserved.is_none_or(|holder| self.tasks[ix].rank <= self.tasks[holder].rank)
    }

    /// Does it use a node that is kept for somebody before it?
    pub(super) fn borrows(&self, node: NodeIx, ix: TaskIx) -> bool {
        !self.outranks(ix, node)
    }

    /// May it start on this node now, as far as reservations go?
    pub(super) fn admits(&self, node: NodeIx, ix: TaskIx) -> bool {
        self.outranks(ix, node)
            || self.fleet[node].reserved.is_some_and(|holder| {
                let until = self.promise(holder);
                until.is_some_and(|until| self.ends_by(ix, until))
            })
    }

    /// When the gang starts at the latest, if that is known.
    pub(super) fn promise(&self, holder: TaskIx) -> Option<Tick> {
        self.pools[self.tasks[holder].pool.at()].reservation.as_ref().filter(|kept| kept.ix == holder)?.until
    }

    fn ends_by(&self, ix: TaskIx, until: Tick) -> bool {
        self.tasks[ix].timeout_us().is_some_and(|timeout| self.now.plus(timeout) <= until)
    }

    /// Starts one of the first tasks of this shape on a node kept for a gang, if it ends in time. Did it, or was it too late
    /// for that one?
    pub(super) fn fill_in(&mut self, pool: PoolIx, shape: u32) -> bool {
        let books = &self.pools[pool.at()];
        let Some(kept) = &books.reservation else { return false };
        let Some(until) = kept.until else { return false };
        let nodes = kept.workers.clone();
        let fits_in = |(_, ix): &(Rank, TaskIx)| self.ends_by(*ix, until);
        let Some((_, ix)) = books.shapes[shape].tasks().take(MOST_ASKED).find(fits_in) else { return false };
        if self.hold_if_late(ix) {
            return true;
        }
        let demand = self.demand(ix);
        let fits = |id: &&WorkerId| self.suits(ix, demand, **id) && self.has_room(demand, **id);
        let has_all = |id: &&WorkerId| {
            self.tasks[ix].inputs().iter().all(|artefact| self.artefacts.holds(**id, artefact))
        };
        let mut found = nodes.iter().filter(fits);
        // It waits for nothing there: the first, unless another one has what it needs.
        let Some(id) = found.clone().find(has_all).or_else(|| found.next()).copied() else { return false };
        if self.lacks_any(ix, &[id]) {
            return false;
        }
        self.dequeue(ix);
        if demand.whole {
            self.lease(ix, Gang::one(id))
        } else {
            self.put(ix, Gang::one(id))
        }
        true
    }

    /// When the worker's node has room for this, if everything there takes as long as it may; [`NEVER`]: not known.
    fn frees_at(&self, demand: Demand, id: WorkerId) -> Tick {
        let worker = &self.fleet[id];
        let node = &self.fleet[worker.node];
        match node.lease {
            Lease::Staging(_) | Lease::Draining(_) => return NEVER, // somebody goes before us who has not begun
            Lease::Open if self.has_room(demand, id) => return self.now,
            _ if self.is_untimed() => return NEVER,
            Lease::Open if !demand.whole => {}
            _ => return self.empties_at(node),
        }
        let of_gpus = |ix: TaskIx| {
            let task = &self.tasks[ix];
            let State::Flying(flight) = &task.state else { return 0 };
            let here = flight.gang.iter().position(|member| self.fleet[*member].node == worker.node);
            let granted = task.rare.as_ref().zip(here).and_then(|(rare, at)| rare.granted.get(at));
            granted.map_or(0, |gpus| gpus.and(worker.gpus).len())
        };
        let mut ends: Vec<(Tick, u16, u16)> = Vec::new();
        for other in &node.workers {
            for ix in &self.fleet[*other].tasks {
                let units = if *other == id { self.tasks[*ix].need.units(worker.slots) } else { 0 };
                ends.push((self.ends_at(*ix), units, of_gpus(*ix)));
            }
        }
        ends.sort_unstable();
        let mut units: u32 = ends.iter().map(|(_, units, _)| u32::from(*units)).sum();
        let mut gpus = self.fleet.free_gpus(id).len();
        for (at, released, returned) in ends {
            units -= u32::from(released);
            gpus += returned;
            if units + u32::from(demand.cores) <= u32::from(worker.slots) && gpus >= demand.gpus {
                return at;
            }
        }
        NEVER
    }

    /// Has nothing that was sent a time by which it ends?
    fn is_untimed(&self) -> bool {
        self.timed == 0 && self.alarms.is_empty()
    }

    /// When all that runs on the node has ended at the latest. The first of which that is not known settles it.
    fn empties_at(&self, node: &Node) -> Tick {
        let mut at = self.now;
        for id in &node.workers {
            for ix in &self.fleet[*id].tasks {
                at = at.max(self.ends_at(*ix));
                if at == NEVER {
                    return NEVER;
                }
            }
        }
        at
    }

    /// When a task that runs has ended at the latest; [`NEVER`]: not known.
    pub(super) fn ends_at(&self, ix: TaskIx) -> Tick {
        let task = &self.tasks[ix];
        match &task.state {
            State::Flying(Flight { phase: Phase::Staging | Phase::Wedged, .. }) => NEVER,
            State::Flying(Flight { phase: Phase::Killed(_), .. }) => task.alarm,
            State::Flying(_) if task.alarm != NEVER => {
                Tick(task.alarm.0.saturating_sub(ANSWER_US)).max(self.now)
            }
            // A call on its way to a worker where none waits in a pipe.
            State::Flying(Flight { phase: Phase::Sent { at }, gang, .. })
                if self.fleet[gang.leader()].surplus() == 0 =>
            {
                task.timeout_us().map_or(NEVER, |timeout| at.plus(timeout).max(self.now))
            }
            _ => NEVER,
        }
    }
}
