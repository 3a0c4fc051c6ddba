//! A task inside the scheduler, and the table of all that have not ended.
//!
//! A queued plain call costs 96 B here, 4 in the index by id and 12 in its queue if it comes in order: what few tasks have
//! (dependents, artefacts, a group) sits in a box of its own.

use std::num::{NonZeroU32, NonZeroU64};
use std::ops::{Index, IndexMut};

use super::Tick;
use super::api::{Gang, GpuSet};
use super::pool::{GangShape, Shape};
use crate::model::{ByTask, Hash, Kind, TaskId, WorkerId};

/// Places in tables. That there is none takes no room: there are several of these for each of a million tasks.
macro_rules! ix {
    ($($(#[$doc:meta])* $name:ident),+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) struct $name(NonZeroU32);

        impl $name {
            pub fn new(at: usize) -> Self {
                Self(NonZeroU32::MIN.saturating_add(at as u32))
            }

            pub fn at(self) -> usize {
                self.0.get() as usize - 1
            }
        }
    )+};
}

ix!(
    /// Where a task is in the table.
    TaskIx,
    /// Where a node is in the fleet.
    NodeIx,
    /// Where a pool is.
    PoolIx,
    /// Where a group is.
    GroupIx
);

/// No alarm is set.
pub(super) const NEVER: Tick = Tick(u64::MAX);

/// The order of tasks: higher priority first; then what was never tried, in the order of submission; then what was, and
/// of that what was tried longest ago. Lower ranks go first, and no two are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u64);

impl Rank {
    /// Of the task submitted as the `seq`th; `tried` as in [`Request`](super::Request).
    pub fn new(priority: i32, seq: u64, tried: Option<NonZeroU64>) -> Self {
        /// What was tried before is behind all that was not.
        const AGAIN: u64 = 1 << 47;
        let priority = priority.clamp(i16::MIN.into(), i16::MAX.into());
        let lateness = (i32::from(i16::MAX) - priority) as u64;
        let turn = match tried {
            None => seq & (AGAIN - 1),
            // The last bits are for those tried at the same time, which should not be.
            Some(at) => AGAIN | at.get().min((AGAIN >> 8) - 1) << 8 | seq & 0xff,
        };
        Self(lateness << 48 | turn)
    }

    /// Greater means a lower priority.
    pub fn lateness(self) -> u64 {
        self.0 >> 48
    }
}

/// What a task occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Need {
    /// A share of one unit; may wait in a pipe.
    Call,
    /// So many units of one worker.
    Cores(u16),
    /// So many nodes, each for itself alone, with at least so many cores.
    Whole { nodes: u16, cores: u16 },
    /// So many units on each of several nodes, which it shares.
    Share { nodes: u16, cores: u16 },
    /// A part of a node, of which others have nothing but parts of the same sort.
    Part(Part),
}

/// What a measurement has to itself while others like it run beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Part {
    /// So many cores, with all their threads.
    Cores(u16),
    /// A socket with at least so many cores.
    Socket(u16),
}

impl Part {
    /// How much of its sort it takes.
    pub fn units(self) -> u16 {
        match self {
            Part::Cores(cores) => cores,
            Part::Socket(_) => 1,
        }
    }

    /// May the two be on one node?
    pub fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl Need {
    /// Units one of its workers must have.
    pub fn cores(self) -> u16 {
        match self {
            Need::Call => 1,
            Need::Cores(cores) | Need::Whole { cores, .. } | Need::Share { cores, .. } => cores,
            Need::Part(Part::Cores(cores) | Part::Socket(cores)) => cores,
        }
    }

    /// Nodes it takes.
    pub fn nodes(self) -> u16 {
        match self {
            Need::Call | Need::Cores(_) | Need::Part(_) => 1,
            Need::Whole { nodes, .. } | Need::Share { nodes, .. } => nodes,
        }
    }

    /// Is its node to be quiet: drained for it, and nothing else there but parts of the same sort?
    pub fn is_quiet(self) -> bool {
        matches!(self, Need::Whole { .. } | Need::Part(_))
    }

    /// Units it occupies of a worker with so many.
    pub fn units(self, slots: u16) -> u16 {
        match self {
            Need::Whole { .. } => slots,
            Need::Part(part) => part.units(),
            other => other.cores(),
        }
    }
}

/// A task that has not ended, or whose units are still occupied.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub id: TaskId,
    pub rank: Rank,
    pub class: u64,
    /// When to look after it, `NEVER` if not; also in the core's list of alarms. While it rests, until when.
    pub alarm: Tick,
    pub pool: PoolIx,
    pub retries: u32,
    /// Starts so far.
    pub attempt: u32,
    pub need: Need,
    /// What the pipe was charged for the attempt under way (µs), as it goes back; only calls have any. In its `Flight` it would take 8 B.
    pub charged: u16,
    pub kind: Kind,
    pub accept_failed: bool,
    /// Its end is recorded.
    pub recorded: bool,
    pub rare: Option<Box<Rare>>,
    pub state: State,
}

/// What few tasks have.
#[derive(Clone, Debug, Default)]
pub(super) struct Rare {
    pub host: Option<NodeIx>,
    pub not_on: Option<NodeIx>,
    /// Where it was struck last: it keeps off that as long as there are others.
    pub shuns: Option<NodeIx>,
    /// Attempts that came to nothing, the first first.
    pub strikes: Vec<Strike>,
    pub group: Option<GroupIx>,
    pub timeout_us: Option<u64>,
    /// Whose durations it shares.
    pub like: Option<u64>,
    /// GPUs it needs on each node.
    pub gpus: u16,
    /// What it needs of its pool's counters.
    pub needs: Vec<Claim>,
    /// The GPUs it has on each node of its gang.
    pub granted: Box<[GpuSet]>,
    /// Artefacts that must be on its node.
    pub inputs: Vec<Hash>,
    /// Who waits for it; some may have ended.
    pub dependents: Vec<TaskId>,
}

/// An attempt that came to nothing, which says little of the task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Strike {
    /// Who led it; of a gang, who was lost.
    pub worker: WorkerId,
    /// The worker was lost; else its node could not run the task.
    pub lost: bool,
}

/// So much of a counter of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    /// Where the counter is in its pool.
    pub counter: usize,
    pub amount: u32,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// The entry is free.
    Vacant,
    /// So many dependencies have not ended.
    Waiting { deps: u32 },
    /// It could run.
    Queued(Home),
    /// It could run, but would not end in time.
    Held,
    /// The nodes of this gang are being prepared for it.
    Leasing(Gang),
    /// It holds units of workers.
    Flying(Flight),
}

/// Which queue a task stands in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Home {
    /// The core's list of tasks to route.
    Ready,
    /// Its pool's queue of tasks of this shape.
    Shape(u32),
    /// Its pool's queue of gangs that ask for the same.
    Gangs(u32),
    /// The queue of one worker: it may run nowhere else.
    Worker(WorkerId),
    /// Behind the first task of its group, which has no node yet.
    Group(GroupIx),
    /// Its host has no worker yet.
    Parked(NodeIx),
    /// None: it was struck, and its alarm has not rung.
    Resting,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flight {
    pub gang: Gang,
    pub phase: Phase,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// Artefacts are on their way to the worker.
    Staging,
    /// Handed to the worker.
    Sent { at: Tick },
    /// Asked back; the answer is `Recalled`, or it has begun.
    Recalling,
    /// The worker said it has begun.
    Running,
    /// To be ended; the answer has not come.
    Killed(Why),
    /// Resolved without an answer: its units are dead until its worker reports, is lost or is given up.
    Wedged,
}

/// Why an attempt is to be ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Why {
    Cancelled,
    Overdue,
    /// A worker of its gang was lost.
    MemberLost,
}

impl State {
    /// Was it sent to its workers, or is about to be?
    pub fn is_flying(&self) -> bool {
        matches!(self, Self::Flying(_))
    }

    /// Has it been sent, and not said that it began?
    pub fn is_unsaid(&self) -> bool {
        matches!(self, Self::Flying(Flight { phase: Phase::Sent { .. } | Phase::Recalling, .. }))
    }
}

impl Task {
    /// The part few tasks have, made if need be.
    pub fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub fn inputs(&self) -> &[Hash] {
        self.rare.as_ref().map_or(&[], |rare| &rare.inputs)
    }

    pub fn group(&self) -> Option<GroupIx> {
        self.rare.as_ref()?.group
    }

    pub fn host(&self) -> Option<NodeIx> {
        self.rare.as_ref()?.host
    }

    pub fn not_on(&self) -> Option<NodeIx> {
        let rare = self.rare.as_ref()?;
        rare.not_on.or(rare.shuns)
    }

    pub fn shuns(&self) -> Option<NodeIx> {
        self.rare.as_ref()?.shuns
    }

    pub fn strikes(&self) -> &[Strike] {
        self.rare.as_ref().map_or(&[], |rare| &rare.strikes)
    }

    /// The workers that were lost with it, the first first.
    pub fn taken_along(&self) -> Vec<WorkerId> {
        self.strikes().iter().filter(|strike| strike.lost).map(|strike| strike.worker).collect()
    }

    /// May run on one worker only.
    pub fn is_bound(&self) -> bool {
        self.host().is_some() || self.group().is_some()
    }

    /// Measures, or decides where others of its group do.
    pub fn is_choosy(&self) -> bool {
        matches!(self.kind, Kind::Measure | Kind::Compare) || self.group().is_some()
    }

    pub fn timeout_us(&self) -> Option<u64> {
        self.rare.as_ref()?.timeout_us
    }

    /// GPUs it needs on each node.
    pub fn gpus(&self) -> u16 {
        self.rare.as_ref().map_or(0, |rare| rare.gpus)
    }

    pub fn needs(&self) -> &[Claim] {
        self.rare.as_ref().map_or(&[], |rare| &rare.needs)
    }

    /// What it asks for, if it takes room on one worker.
    pub fn shape(&self) -> Shape {
        Shape { need: self.need, not_on: self.not_on(), choosy: self.is_choosy() }
    }

    /// What it asks for as a gang.
    pub fn gang_shape(&self) -> GangShape {
        GangShape {
            shape: self.shape(),
            gpus: self.gpus(),
            needs: self.needs().into(),
            host: self.host(),
            group: self.group(),
            timeout_us: self.timeout_us(),
            brings: !self.inputs().is_empty(),
        }
    }

    /// It needs several things at once (nodes, GPUs, counters), so it is scheduled as a gang, if only of one node.
    pub fn is_gang(&self) -> bool {
        self.need.nodes() > 1 || self.gpus() > 0 || !self.needs().is_empty()
    }
}

/// All tasks that have not ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    entries: Vec<Task>,
    vacant: Vec<TaskIx>,
    by_id: ByTask<TaskIx>,
}

impl Table {
    /// Where the task is.
    pub fn find(&self, id: TaskId) -> Option<TaskIx> {
        self.by_id.get(id).copied()
    }

    pub fn insert(&mut self, task: Task) -> TaskIx {
        let id = task.id;
        let ix = match self.vacant.pop() {
            Some(ix) => {
                self[ix] = task;
                ix
            }
            None => {
                self.entries.push(task);
                TaskIx::new(self.entries.len() - 1)
            }
        };
        self.by_id.insert(id, ix);
        ix
    }

    pub fn remove(&mut self, ix: TaskIx) {
        let task = &mut self.entries[ix.at()];
        (task.state, task.rare) = (State::Vacant, None);
        self.by_id.remove(task.id);
        self.vacant.push(ix);
    }

    /// Places, free ones too.
    #[cfg(debug_assertions)]
    pub fn places(&self) -> usize {
        self.entries.len()
    }

    /// Those in the table, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (TaskIx, &Task)> {
        let all = self.entries.iter().enumerate().map(|(at, task)| (TaskIx::new(at), task));
        all.filter(|(_, task)| task.state != State::Vacant)
    }
}

impl Index<TaskIx> for Table {
    type Output = Task;

    fn index(&self, ix: TaskIx) -> &Task {
        &self.entries[ix.at()]
    }
}

impl IndexMut<TaskIx> for Table {
    fn index_mut(&mut self, ix: TaskIx) -> &mut Task {
        &mut self.entries[ix.at()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_order_by_priority_then_submission() {
        let new = |priority, seq| Rank::new(priority, seq, None);
        let mut ranks = [new(0, 2), new(-5, 0), new(9, 7), new(0, 1), new(i32::MAX, 9)];
        ranks.sort();
        assert_eq!(ranks.map(|rank| rank.0 & 0xffff), [9, 7, 1, 2, 0]);
    }

    #[test]
    fn what_was_tried_before_goes_behind_what_was_not_and_the_oldest_try_first() {
        let new = |priority, seq, tried| Rank::new(priority, seq, NonZeroU64::new(tried));
        let in_order = [
            new(1, 9, 7),
            Rank::new(0, u64::from(u32::MAX), None),
            new(0, 3, 1),
            new(0, 2, 1 << 20),
            new(0, 1, (1 << 20) + 1),
            new(0, 4, u64::MAX),
            new(0, 5, u64::MAX),
            Rank::new(-1, 0, None),
        ];
        assert!(in_order.is_sorted_by(|a, b| a < b), "{in_order:x?}");
    }

    #[test]
    fn a_queued_task_is_small() {
        assert_eq!((size_of::<Task>(), size_of::<Option<TaskIx>>()), (96, 4));
    }
}
