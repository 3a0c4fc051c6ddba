//! Workers and their nodes: what is occupied, what is free, and who has a node to himself.
//!
//! Arithmetic only: it decides nothing and emits nothing. A worker that was lost keeps its (empty) entry, since its
//! number is never used again.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Index, IndexMut};

use rustc_hash::FxHashMap;

use super::api::GpuSet;
use super::credit::PIPE_US;
use super::pool::Size;
use super::queues::Line;
use super::task::{GroupIx, Need, NodeIx, Part, PoolIx, Rank, TaskIx};
use super::tree::Offer;
use crate::model::WorkerId;

/// One worker.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub alive: bool,
    /// Its pool has struck it off: nothing starts there any more.
    pub barred: bool,
    pub pool: PoolIx,
    /// Its place in the tree of its pool.
    pub place: usize,
    pub node: NodeIx,
    /// Which allocation its node is of.
    pub allocation: u16,
    /// Units.
    pub slots: u16,
    /// Cores of each socket that it may use.
    pub sockets: Box<[u16]>,
    /// Units occupied by tasks other than calls.
    pub held: u16,
    /// Short programs sent ahead: each waits there for the next unit that comes free, or comes back. While there are any, all
    /// units are held.
    pub ahead: u16,
    /// Calls sent.
    pub calls: u32,
    /// What those are charged (µs).
    pub load: u32,
    /// GPUs of its node that it may use.
    pub gpus: GpuSet,
    /// Measurements may run here although others would do.
    pub measures: bool,
    /// Tasks other than calls that hold units the worker does not know of: they wait for artefacts, or are led from
    /// another node. It would give those units to calls in its pipe: so there must be none in it.
    pub unseen: u16,
    /// Its calls that wait in the pipe, as its pool has counted them.
    pub counted: u32,
    /// All attempts that hold something here, the oldest first.
    pub tasks: VecDeque<TaskIx>,
    /// Queued tasks that may run here only.
    pub own: Line,
    /// Groups whose node this is.
    pub groups: Vec<GroupIx>,
}

impl Worker {
    /// One that has come.
    pub fn new(pool: PoolIx, place: usize, node: NodeIx, slots: u16, gpus: GpuSet) -> Self {
        Self { alive: true, pool, place, node, slots, gpus, ..Self::unknown() }
    }

    fn unknown() -> Self {
        Self {
            alive: false,
            barred: false,
            pool: PoolIx::new(0),
            place: 0,
            node: NodeIx::new(0),
            allocation: 0,
            slots: 0,
            sockets: Box::default(),
            held: 0,
            ahead: 0,
            calls: 0,
            load: 0,
            gpus: GpuSet::default(),
            measures: true,
            unseen: 0,
            counted: 0,
            tasks: VecDeque::new(),
            own: Line::default(),
            groups: Vec::new(),
        }
    }

    /// What it has.
    pub fn size(&self) -> Size {
        Size { slots: self.slots, gpus: self.gpus.len(), measures: self.measures }
    }

    /// Units that calls may use.
    pub fn for_calls(&self) -> u32 {
        u32::from(self.slots - self.held)
    }

    /// Units nobody uses.
    pub fn idle(&self) -> u16 {
        self.for_calls().saturating_sub(self.calls) as u16
    }

    /// Calls beyond one per unit: waiting in the pipe.
    pub fn surplus(&self) -> u32 {
        self.calls.saturating_sub(self.for_calls())
    }

    /// Room left in the pipe (µs).
    fn room(&self) -> u32 {
        if self.unseen > 0 {
            return 0;
        }
        (self.for_calls() * PIPE_US).saturating_sub(self.load)
    }

    /// May tasks of this pool go there?
    pub fn serves(&self, pool: PoolIx) -> bool {
        self.pool == pool && !self.barred
    }

    /// Could it take this, were it empty?
    pub fn suffices(&self, need: Need) -> bool {
        self.slots >= need.cores()
            && match need {
                Need::Part(part) => self.parts(part) >= part.units(),
                _ => true,
            }
    }

    /// How much it has of this sort, and has a unit for.
    pub fn parts(&self, part: Part) -> u16 {
        let parts = match part {
            Part::Cores(_) => self.sockets.iter().map(|cores| usize::from(*cores)).sum(),
            Part::Socket(least) => self.sockets.iter().filter(|cores| **cores >= least).count(),
        };
        parts.min(self.slots.into()) as u16
    }

    /// Could it take this now, were its node open?
    pub fn fits(&self, need: Need, charge: u16) -> bool {
        match need {
            Need::Call => self.idle() > 0 || self.room() >= u32::from(charge),
            Need::Cores(cores) | Need::Share { cores, .. } => self.idle() >= cores,
            Need::Whole { .. } | Need::Part(_) => self.tasks.is_empty() && self.suffices(need),
        }
    }

    /// Could a short program wait here for the next unit, where `most` may wait for each?
    pub fn takes_ahead(&self, most: u16) -> bool {
        let room = self.ahead < self.slots.saturating_mul(most);
        room && self.held == self.slots && self.unseen == 0 && self.own.is_empty()
    }

    /// An attempt takes its units.
    pub fn hold(&mut self, ix: TaskIx, need: Need, charge: u16) {
        self.tasks.push_back(ix);
        match need {
            Need::Call => {
                self.calls += 1;
                self.load += u32::from(charge);
            }
            Need::Cores(1) if self.idle() == 0 => self.ahead += 1,
            Need::Cores(cores) | Need::Share { cores, .. } => self.held += cores,
            Need::Whole { .. } => self.held = self.slots,
            Need::Part(part) => self.held += part.units(),
        }
    }

    /// And gives them back.
    pub fn release(&mut self, ix: TaskIx, need: Need, charge: u16) {
        if let Some(at) = position(&self.tasks, ix) {
            self.tasks.remove(at);
        }
        match need {
            Need::Call => {
                self.calls -= 1;
                self.load -= u32::from(charge);
            }
            Need::Cores(cores) | Need::Share { cores, .. } => {
                // What waits there takes the units over.
                let taken_over = self.ahead.min(cores);
                self.ahead -= taken_over;
                self.held -= cores - taken_over;
            }
            Need::Whole { .. } => self.held = 0,
            Need::Part(part) => self.held -= part.units(),
        }
    }

    /// How it competes for the next task: empty ones first, then by idle units, then by room in the pipe.
    pub fn offer(&self, open: bool) -> Offer {
        if !open {
            return Offer::default();
        }
        let (empty, idle) = (u64::from(self.tasks.is_empty()), self.idle());
        let units = (empty << u16::BITS) | u64::from(idle);
        Offer { key: (((units << ROOM_BITS) | u64::from(self.room())) << 1) | 1, idle }
    }
}

/// Where it is among them. Answers come in the order of the starts, but of one unit after another: where there are many units thousands
/// may go before it. So blocks of them are compared at once, which processors do with several in one instruction.
fn position(tasks: &VecDeque<TaskIx>, ix: TaskIx) -> Option<usize> {
    const BLOCK: usize = 64;
    let (front, back) = tasks.as_slices();
    if front.first() == Some(&ix) {
        return Some(0);
    }
    let within = |part: &[TaskIx]| {
        let has_it = |block: &[TaskIx]| block.iter().fold(false, |found, task| found | (*task == ix));
        let block = part.chunks(BLOCK).position(has_it)? * BLOCK;
        Some(block + part[block..].iter().position(|task| *task == ix)?)
    };
    within(front).or_else(|| Some(front.len() + within(back)?))
}

/// The room in the pipe of all units there can be is below 2 to this (µs).
const ROOM_BITS: u32 = 28;

/// The room in the pipe of a worker without idle units, from what it offers (µs).
pub(super) fn room_of(offer: Offer) -> u32 {
    (offer.key >> 1) as u32 & ((1 << ROOM_BITS) - 1)
}

/// A host and its workers, of whatever pools.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub host: String,
    /// Those alive.
    pub workers: Vec<WorkerId>,
    pub lease: Lease,
    /// Who has the lease together with its holder, each a part of one worker's cores.
    pub sharers: Vec<TaskIx>,
    /// The gang it is kept for. Others that come later start here only if they end before that begins.
    pub reserved: Option<TaskIx>,
    /// GPUs in use.
    pub gpus_used: GpuSet,
    /// What its workers were told last.
    pub quiet: bool,
    /// Exclusive tasks in a row.
    pub streak: u8,
    /// Queued tasks for this host, which has no worker yet.
    pub parked: BTreeMap<Rank, TaskIx>,
    /// It had a worker once.
    pub seen: bool,
    /// How often it failed us.
    pub faults: u32,
}

impl Node {
    /// Those who have the lease.
    pub fn holders(&self) -> impl Iterator<Item = TaskIx> {
        self.lease.holder().into_iter().chain(self.sharers.iter().copied())
    }

    /// May tasks start here that have no claim on it?
    pub fn is_open(&self) -> bool {
        self.lease.is_open() && self.reserved.is_none()
    }
}

/// Who has a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lease {
    /// Everybody.
    Open,
    /// It will be this task's; artefacts are brought while others still start.
    Staging(TaskIx),
    /// Nothing new starts until this task has.
    Draining(TaskIx),
    /// Nothing else of ours runs, but those who share the lease.
    Quiet(TaskIx),
}

impl Lease {
    /// May tasks without a lease start?
    pub fn is_open(self) -> bool {
        matches!(self, Lease::Open | Lease::Staging(_))
    }

    /// The same for another task.
    pub fn passed_to(self, next: TaskIx) -> Self {
        match self {
            Lease::Open => Lease::Open,
            Lease::Staging(_) => Lease::Staging(next),
            Lease::Draining(_) => Lease::Draining(next),
            Lease::Quiet(_) => Lease::Quiet(next),
        }
    }

    /// Whose it is or will be.
    pub fn holder(self) -> Option<TaskIx> {
        match self {
            Lease::Open => None,
            Lease::Staging(ix) | Lease::Draining(ix) | Lease::Quiet(ix) => Some(ix),
        }
    }
}

/// All workers and nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Fleet {
    workers: Vec<Worker>,
    nodes: Vec<Node>,
    by_host: FxHashMap<String, NodeIx>,
}

impl Fleet {
    /// Is it alive?
    pub fn alive(&self, worker: WorkerId) -> bool {
        self.workers.get(worker.0 as usize).is_some_and(|worker| worker.alive)
    }

    /// Has it been heard of?
    pub fn knows(&self, worker: WorkerId) -> bool {
        self.workers.get(worker.0 as usize).is_some_and(|worker| worker.slots > 0)
    }

    /// How many have been heard of.
    #[cfg(debug_assertions)]
    pub fn known(&self) -> usize {
        self.workers.len()
    }

    /// The node of this name.
    pub fn node(&mut self, host: &str) -> NodeIx {
        if let Some(ix) = self.by_host.get(host) {
            return *ix;
        }
        let ix = NodeIx::new(self.nodes.len());
        self.nodes.push(Node {
            host: host.to_owned(),
            workers: Vec::new(),
            lease: Lease::Open,
            sharers: Vec::new(),
            reserved: None,
            gpus_used: GpuSet::default(),
            quiet: false,
            streak: 0,
            parked: BTreeMap::new(),
            seen: false,
            faults: 0,
        });
        self.by_host.insert(host.to_owned(), ix);
        ix
    }

    /// A worker has come.
    pub fn add(&mut self, id: WorkerId, worker: Worker) {
        let at = id.0 as usize;
        while self.workers.len() <= at {
            self.workers.push(Worker::unknown());
        }
        let node = worker.node;
        self.workers[at] = worker;
        self[node].workers.push(id);
        self[node].seen = true;
    }

    /// A worker is gone: what ran there.
    pub fn lose(&mut self, id: WorkerId) -> VecDeque<TaskIx> {
        let worker = &mut self[id];
        worker.alive = false;
        (worker.held, worker.calls, worker.load, worker.unseen) = (0, 0, 0, 0);
        let (left, node) = (std::mem::take(&mut worker.tasks), worker.node);
        self[node].workers.retain(|other| *other != id);
        left
    }

    /// Does the node have a worker that takes tasks?
    pub fn is_staffed(&self, node: NodeIx) -> bool {
        self[node].workers.iter().any(|id| !self[*id].barred)
    }

    /// Does nothing of ours run on the node?
    pub fn is_empty(&self, node: NodeIx) -> bool {
        self[node].workers.iter().all(|worker| self[*worker].tasks.is_empty())
    }

    /// Those of the worker that nobody on its node uses.
    pub fn free_gpus(&self, id: WorkerId) -> GpuSet {
        let worker = &self[id];
        worker.gpus.without(self[worker.node].gpus_used)
    }

    /// Everybody alive.
    pub fn iter(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        let all = self.workers.iter().enumerate().map(|(at, worker)| (WorkerId(at as u32), worker));
        all.filter(|(_, worker)| worker.alive)
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeIx, &Node)> {
        self.nodes.iter().enumerate().map(|(at, node)| (NodeIx::new(at), node))
    }
}

impl Index<WorkerId> for Fleet {
    type Output = Worker;

    fn index(&self, id: WorkerId) -> &Worker {
        &self.workers[id.0 as usize]
    }
}

impl IndexMut<WorkerId> for Fleet {
    fn index_mut(&mut self, id: WorkerId) -> &mut Worker {
        &mut self.workers[id.0 as usize]
    }
}

impl Index<NodeIx> for Fleet {
    type Output = Node;

    fn index(&self, ix: NodeIx) -> &Node {
        &self.nodes[ix.at()]
    }
}

impl IndexMut<NodeIx> for Fleet {
    fn index_mut(&mut self, ix: NodeIx) -> &mut Node {
        &mut self.nodes[ix.at()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_found_wherever_it_stands() {
        let ix = TaskIx::new;
        let mut tasks: VecDeque<TaskIx> = VecDeque::with_capacity(512);
        // Of a ring that was used the newer ones lie before the older ones.
        (0..400).for_each(|n| tasks.push_back(ix(n)));
        tasks.drain(..300);
        (400..600).for_each(|n| tasks.push_back(ix(n)));
        assert!(!tasks.as_slices().1.is_empty());
        for n in 300..600 {
            assert_eq!(position(&tasks, ix(n)), Some(n - 300));
        }
        assert_eq!(position(&tasks, ix(299)), None);
        assert_eq!(position(&VecDeque::new(), ix(0)), None);
    }
}
