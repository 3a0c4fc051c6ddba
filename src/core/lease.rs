//! Node leases: a node is drained for a task that needs it alone, or that needs more of it than is ever free.
//!
//! Open → Staging (the task's artefacts arrive while others still run and start) → Draining (nothing starts, unstarted calls are
//! asked back) → Quiet (the task runs, nothing else of ours does, its workers are told) → Open. A task that does
//! not need the node alone takes its units out of Draining and the node is open again at once. A gang takes all
//! its nodes in one step or none, so two gangs never wait for each other. Measurements that have parts of a node
//! share its lease (`side`): its holder stands for all of them, and where it leaves the next one holds it.

use smallvec::SmallVec;

use super::Core;
use super::api::{Action, Gang};
use super::fleet::{Fleet, Lease};
use super::pool::Shape;
use super::queues::Head;
use super::task::{Flight, Need, NodeIx, Phase, State, TaskIx};
use crate::model::{Attempt, WorkerId};

/// So many exclusive tasks may follow each other on a node while older ones that share it wait: draining it for
/// each would cost more than it is fair.
pub(super) const LONGEST_STREAK: u8 = 8;

/// The nodes of a gang, each once.
pub(super) fn nodes_of(fleet: &Fleet, gang: &Gang) -> SmallVec<[NodeIx; 4]> {
    let mut nodes: SmallVec<[NodeIx; 4]> = gang.iter().map(|worker| fleet[*worker].node).collect();
    nodes.dedup();
    nodes
}

impl Core {
    /// Begins to prepare the gang's nodes, all open, for a task that has left its queue.
    pub(super) fn lease(&mut self, ix: TaskIx, gang: Gang) {
        let task = &self.tasks[ix];
        let (need, pool) = (task.need, task.pool);
        self.bind(task.group(), &gang);
        self.take_over(&gang, ix);
        let nodes = nodes_of(&self.fleet, &gang);
        let busy = nodes.iter().any(|node| !self.fleet.is_empty(*node));
        let lacking = need.is_quiet() && self.lacks_any(ix, &gang);
        if matches!(need, Need::Part(_)) {
            self.pools[pool.at()].sides.insert(gang.leader());
        }
        self.enter(ix, State::Leasing(gang));
        if lacking && busy {
            nodes.iter().for_each(|node| self.fleet[*node].lease = Lease::Staging(ix));
        } else {
            self.drain_nodes(ix, &nodes);
            self.advance(ix);
        }
    }

    /// Takes the preparation as far as it goes.
    pub(super) fn advance(&mut self, ix: TaskIx) {
        let State::Leasing(gang) = &self.tasks[ix].state else { return };
        let (gang, need) = (gang.clone(), self.tasks[ix].need);
        let leader = gang.leader();
        let node = self.fleet[leader].node;
        if self.cease_if_late(node) {
            return;
        }
        if !need.is_quiet() {
            if self.fleet[leader].fits(need, self.charge(ix)) {
                self.release(ix, &[node]);
                self.put(ix, gang);
            }
            return;
        }
        let nodes = nodes_of(&self.fleet, &gang);
        let all: SmallVec<[TaskIx; 4]> = self.fleet[node].holders().collect();
        if all.iter().filter(|other| self.lacks_any(**other, &gang)).count() > 0 {
            return;
        }
        if nodes.iter().any(|node| matches!(self.fleet[*node].lease, Lease::Staging(_))) {
            self.drain_nodes(ix, &nodes);
        }
        if nodes.iter().all(|node| self.is_calm(*node)) {
            self.hush(ix, &nodes);
            all.into_iter().for_each(|ix| self.begin(ix, gang.clone()));
        }
    }

    /// The node was not calm in time for some of those it is prepared for: they are routed, and held back. Were there any?
    fn cease_if_late(&mut self, node: NodeIx) -> bool {
        let late: Vec<TaskIx> = self.leasing_on(node).filter(|ix| self.is_late(*ix)).collect();
        for ix in &late {
            self.land(*ix);
            self.agenda.ready.push_back(*ix);
        }
        !late.is_empty()
    }

    /// Does nothing of ours run on the node, or travel to it?
    fn is_calm(&self, node: NodeIx) -> bool {
        let comes = |worker: &WorkerId| self.artefacts.awaits(*worker);
        self.fleet.is_empty(node) && !self.fleet[node].workers.iter().any(comes)
    }

    /// The nodes are calm: tells their workers.
    fn hush(&mut self, ix: TaskIx, nodes: &[NodeIx]) {
        for node in nodes {
            let node = &mut self.fleet[*node];
            node.lease = Lease::Quiet(ix);
            if !std::mem::replace(&mut node.quiet, true) {
                self.out
                    .extend(node.workers.iter().map(|worker| Action::Quiet { worker: *worker, on: true }));
            }
        }
    }

    /// Starts on quiet nodes.
    pub(super) fn begin(&mut self, ix: TaskIx, gang: Gang) {
        let need = self.tasks[ix].need;
        for worker in gang.iter() {
            let node = self.fleet[*worker].node;
            self.fleet[node].streak = self.fleet[node].streak.saturating_add(1);
            self.fleet[*worker].hold(ix, need, 0);
            self.refresh(*worker);
        }
        self.enter(ix, State::Flying(Flight { gang, phase: Phase::Staging }));
        self.send(ix);
    }

    /// Nothing starts on these nodes any more, and what has not begun is asked back.
    fn drain_nodes(&mut self, ix: TaskIx, nodes: &[NodeIx]) {
        // A call waits for room behind calls of its own worker: asking those back would turn the order round.
        let recall = self.tasks[ix].need != Need::Call;
        for node in nodes {
            self.fleet[*node].lease = Lease::Draining(ix);
            for at in 0..self.fleet[*node].workers.len() {
                let worker = self.fleet[*node].workers[at];
                self.refresh(worker);
                if recall {
                    self.recall_all(worker, |_, _| true);
                }
            }
        }
    }

    /// Asks for those of the worker's calls back that are `meant` and have not begun as far as we know.
    pub(super) fn recall_all(&mut self, worker: WorkerId, meant: impl Fn(&Self, TaskIx) -> bool) {
        if self.fleet[worker].calls > 0 {
            for call in self.fleet[worker].tasks.clone() {
                if meant(self, call) {
                    self.recall(call);
                }
            }
        }
    }

    /// Asks for a call back if it has not begun as far as we know. Did it?
    pub(super) fn recall(&mut self, ix: TaskIx) -> bool {
        let task = &self.tasks[ix];
        let State::Flying(Flight { gang, phase: Phase::Sent { .. } }) = &task.state else { return false };
        if task.need != Need::Call {
            return false;
        }
        let (worker, attempt) = (gang.leader(), Attempt(task.attempt));
        self.out.push(Action::Recall { worker, task: task.id, attempt });
        self.set_phase(ix, Phase::Recalling);
        true
    }

    /// The task has no claim on these nodes any more.
    pub(super) fn release(&mut self, ix: TaskIx, nodes: &[NodeIx]) {
        for node in nodes {
            if !self.fleet[*node].holders().any(|holder| holder == ix) {
                continue;
            }
            if self.leave(ix, *node) {
                self.agenda.loud.push(*node);
            }
            self.reopen(*node);
        }
        let pool = &mut self.pools[self.tasks[ix].pool.at()];
        if pool.reserved == Some(ix) {
            pool.reserved = None;
        }
    }

    /// A claim on the node is gone: its workers may take what they could not.
    pub(super) fn reopen(&mut self, node: NodeIx) {
        for at in 0..self.fleet[node].workers.len() {
            let worker = self.fleet[node].workers[at];
            self.pools[self.fleet[worker].pool.at()].changed();
            self.refresh(worker);
            self.touch(worker);
        }
    }

    /// One of those who have the node's lease leaves. Was it the last?
    fn leave(&mut self, ix: TaskIx, node: NodeIx) -> bool {
        let node = &mut self.fleet[node];
        if node.lease.holder() != Some(ix) {
            node.sharers.retain(|sharer| *sharer != ix);
            return false;
        }
        let last = node.sharers.is_empty();
        node.lease = if last { Lease::Open } else { node.lease.passed_to(node.sharers.remove(0)) };
        last
    }

    /// Those for whom the node is being prepared.
    pub(super) fn leasing_on(&self, node: NodeIx) -> impl Iterator<Item = TaskIx> {
        let leasing = |ix: &TaskIx| matches!(self.tasks[*ix].state, State::Leasing(_));
        self.fleet[node].holders().filter(leasing)
    }

    /// After a measurement: its node's workers may move again, unless the next one has begun.
    pub(super) fn tell_loud(&mut self, node: NodeIx) {
        let node = &mut self.fleet[node];
        if !matches!(node.lease, Lease::Quiet(_)) && std::mem::replace(&mut node.quiet, false) {
            self.out.extend(node.workers.iter().map(|worker| Action::Quiet { worker: *worker, on: false }));
        }
    }

    /// Starts the next exclusive task on a node that one has just left, before older tasks of the same priority
    /// that share. Did it?
    pub(super) fn follow_up(&mut self, id: WorkerId) -> bool {
        let worker = &self.fleet[id];
        let (node, pool) = (worker.node, &self.pools[worker.pool.at()]);
        let kept = self.fleet[node].reserved.is_some();
        if kept || self.fleet[node].streak >= LONGEST_STREAK || !self.fleet.is_empty(node) {
            return false;
        }
        let alone = |need: Need| need.is_quiet() && need.nodes() == 1 && worker.suffices(need);
        let own = worker.own.first();
        let shuns = |shape: &Shape, ix: TaskIx| shape.choosy && !worker.measures && self.avoids(ix);
        let suits = |head: &Head| {
            let shape = &pool.shapes[head.queue].key;
            alone(shape.need) && shape.not_on != Some(node) && !shuns(shape, head.ix)
        };
        let next = [
            own.filter(|(_, ix)| alone(self.tasks[*ix].need)),
            pool.shapes.heads().find(suits).map(|head| (head.rank, head.ix)),
        ];
        let Some((rank, ix)) = next.into_iter().flatten().min_by_key(|(rank, _)| *rank) else { return false };
        let shares = |head: &Head| !alone(pool.shapes[head.queue].key.need);
        let before = pool.shapes.heads().find(shares).map(|head| (head.rank, head.ix));
        let mut others = [before, own].into_iter().flatten();
        let outranked = others.any(|(other, _)| other.lateness() < rank.lateness());
        let gang = pool.gangs.first().is_some_and(|gang| gang.rank < rank);
        if outranked || (gang && pool.reservation.is_none()) || self.is_late(ix) {
            return false;
        }
        self.dequeue(ix);
        self.lease(ix, Gang::one(id));
        true
    }

    /// Does a worker of the gang lack an artefact the task needs? Offers what is missing.
    pub(super) fn lacks_any(&mut self, ix: TaskIx, gang: &[WorkerId]) -> bool {
        let mut lacking = false;
        for artefact in self.tasks[ix].inputs() {
            for worker in gang {
                if !self.artefacts.holds(*worker, artefact) {
                    lacking = true;
                    if self.artefacts.offer(*worker, *artefact) {
                        self.out.push(Action::Offer { worker: *worker, artefact: *artefact });
                    }
                }
            }
        }
        lacking
    }
}
