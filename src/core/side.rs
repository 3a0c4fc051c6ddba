//! Measurements side by side: several share the lease of a node, each with a part of one worker's cores to itself.
//!
//! The first of them leases its node as one that has it alone does. Others of its sort join it where parts are left:
//! while the node is being prepared their artefacts come too, and once it is quiet only those whose artefacts are
//! there, for nothing travels beside a measurement. Who waits for the node is not made to wait for ever: nobody joins
//! before one of higher priority, nor, after so many in a row, before anyone older. Which cores those are is the
//! keeper's affair; here they are counted.

use super::Core;
use super::api::Gang;
use super::fleet::{Lease, Node};
use super::lease::LONGEST_STREAK;
use super::task::{Flight, Need, NodeIx, Part, PoolIx, Rank, State, TaskIx};
use crate::model::WorkerId;

impl Core {
    /// Lets everybody in who finds a part, in the order of their ranks.
    pub(super) fn serve_parts(&mut self, pool: PoolIx) {
        self.forget_sides(pool);
        while !self.pools[pool.at()].sides.is_empty()
            && let Some((ix, id)) = self.next_to_join(pool)
        {
            if !self.hold_if_late(ix) {
                self.join(ix, id);
            }
        }
    }

    /// Joins others of its sort. False: there are none with a part to spare.
    pub(super) fn join_any(&mut self, pool: PoolIx, ix: TaskIx) -> bool {
        self.forget_sides(pool);
        let found = self.pools[pool.at()].sides.iter().copied().find(|id| self.may_join(ix, *id));
        found.inspect(|id| self.join(ix, *id)).is_some()
    }

    fn next_to_join(&self, pool: PoolIx) -> Option<(TaskIx, WorkerId)> {
        let books = &self.pools[pool.at()];
        let own = books.sides.iter().filter_map(|id| self.fleet[*id].own.first());
        let shared = books.shapes.heads().map(|head| (head.rank, head.ix));
        let mut heads: Vec<(Rank, TaskIx)> = shared.chain(own).collect();
        heads.retain(|(_, ix)| matches!(self.tasks[*ix].need, Need::Part(_)));
        heads.sort_unstable();
        let place = |ix| books.sides.iter().copied().find(|id| self.may_join(ix, *id));
        heads.into_iter().find_map(|(_, ix)| Some((ix, place(ix)?)))
    }

    fn join(&mut self, ix: TaskIx, id: WorkerId) {
        let (gang, node) = (Gang::one(id), self.fleet[id].node);
        self.dequeue(ix);
        self.bind(self.tasks[ix].group(), &gang);
        self.take_over(&gang, ix);
        self.fleet[node].sharers.push(ix);
        self.enter(ix, State::Leasing(gang.clone()));
        match self.fleet[node].lease {
            Lease::Quiet(_) => self.begin(ix, gang),
            lease => lease.holder().into_iter().for_each(|holder| self.advance(holder)),
        }
    }

    /// Is there a part for it on this worker, now?
    pub(super) fn may_join(&self, ix: TaskIx, id: WorkerId) -> bool {
        let (task, worker) = (&self.tasks[ix], &self.fleet[id]);
        let node = &self.fleet[worker.node];
        let (Need::Part(part), Some((with, leader))) = (task.need, self.side(node)) else { return false };
        let used: u16 = node.holders().map(|other| self.tasks[other].need.units(worker.slots)).sum();
        let is_quiet = matches!(node.lease, Lease::Quiet(_));
        part.is_like(with)
            && leader == id
            && used + part.units() <= worker.parts(part)
            && self.suits(ix, self.demand(ix), id)
            && self.outranks(ix, worker.node)
            && !self.lets_pass(ix, worker.node)
            && (!is_quiet || task.inputs().iter().all(|artefact| self.artefacts.holds(id, artefact)))
    }

    /// Does somebody wait for the node who must go first?
    fn lets_pass(&self, ix: TaskIx, node: NodeIx) -> bool {
        let (rank, node) = (self.tasks[ix].rank, &self.fleet[node]);
        let long = node.streak >= LONGEST_STREAK;
        let goes_first = |other: Rank| other < rank && (long || other.lateness() < rank.lateness());
        node.workers.iter().any(|id| {
            let worker = &self.fleet[*id];
            let pool = &self.pools[worker.pool.at()];
            let shared = [pool.shapes.first(), pool.gangs.first()].into_iter().flatten();
            shared.map(|head| head.rank).chain(worker.own.first().map(|(rank, _)| rank)).any(goes_first)
        })
    }

    /// What those have who share the node's lease, and the worker they are on.
    fn side(&self, node: &Node) -> Option<(Part, WorkerId)> {
        let holder = &self.tasks[node.lease.holder()?];
        let (State::Leasing(gang) | State::Flying(Flight { gang, .. })) = &holder.state else { return None };
        if let Need::Part(part) = holder.need { Some((part, gang.leader())) } else { None }
    }

    fn forget_sides(&mut self, pool: PoolIx) {
        if self.pools[pool.at()].sides.is_empty() {
            return;
        }
        let mut sides = std::mem::take(&mut self.pools[pool.at()].sides);
        let holds =
            |id: WorkerId| self.side(&self.fleet[self.fleet[id].node]).is_some_and(|(_, by)| by == id);
        sides.retain(|id| holds(*id));
        self.pools[pool.at()].sides = sides;
    }
}
