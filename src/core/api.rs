//! What goes into the scheduler and what comes out: requests, events, actions, ends.
//!
//! The driver translates messages of workers and wishes of the script into events, and carries the actions
//! out. Nothing here holds bytes of a task: the driver keeps specifications and outcomes by [`TaskId`].

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Deref;

use serde::{Serialize, Serializer};

use crate::model::{Attempt, Hash, Kind, Placement, PoolId, Sparse, TaskId, WorkerId};

/// Microseconds since the campaign began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Tick(pub u64);

impl Tick {
    /// This long later.
    pub fn plus(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }
}

/// A task as the scheduler sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// Its name; never used twice.
    pub task: TaskId,
    /// Calls, and short programs, may be sent ahead; the others not.
    pub kind: Kind,
    /// Where it may run.
    pub pool: PoolId,
    /// Its wishes. Priorities are cut to 16 bits.
    pub placement: Sparse<Placement>,
    /// The keeper ends it after so long (µs); the core only guards that an answer comes.
    pub timeout_us: Option<u64>,
    /// How many attempts are made good that were lost, or that their node could not run.
    pub retries: u32,
    /// What must have ended before it starts.
    pub deps: Vec<Dep>,
    /// Start it even if some of `deps` failed.
    pub accept_failed: bool,
    /// Artefacts it needs on its node, besides those its dependencies produce.
    pub inputs: Vec<Hash>,
    /// Which function a call runs, which program an exec: durations are learnt per class.
    pub class: u64,
    /// Tasks of one number take about as long, as far as anybody knows.
    pub like: Option<u64>,
    /// Its end is recorded.
    pub recorded: bool,
    /// It was tried in an earlier run, and has to be again: when, in whatever unit. It goes behind what was never tried, so
    /// that runs that are too short for all do not begin with the same tasks each time.
    pub tried: Option<NonZeroU64>,
}

/// A dependency, as the driver knows it at submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dep {
    /// The task that must end first.
    pub task: TaskId,
    /// How it stands.
    pub state: DepState,
}

/// How a dependency stands at submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DepState {
    /// The core has not resolved it yet.
    Pending,
    /// It ended well, perhaps with an artefact.
    Ok(Option<Hash>),
    /// It did not end well.
    Failed,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Tasks may name this pool; again for a pool that grows. Until `PoolSettled` nothing is refused for want
    /// of a worker, because one may still come.
    PoolOpened {
        /// The pool.
        pool: PoolId,
    },
    /// All workers that will come have come or failed to.
    PoolSettled {
        /// The pool.
        pool: PoolId,
    },
    /// What tasks of the pool may share out by name (`license` = 2). Names not mentioned stay as they are. Give them
    /// before the first task: a task that needs more than there is, or a name not heard of, is refused.
    PoolCounters {
        /// The pool.
        pool: PoolId,
        /// How much there is of each.
        capacities: BTreeMap<String, u32>,
    },
    /// After how many faults of a node nothing of the pool starts there any more; never, if not said.
    PoolQuarantine {
        /// The pool.
        pool: PoolId,
        /// So many.
        after: Option<u32>,
    },
    /// Everything in it is cancelled, and whatever is submitted to it later.
    PoolClosed {
        /// The pool.
        pool: PoolId,
    },
    /// Work may be sent.
    WorkerReady {
        /// The worker; never ready twice.
        worker: WorkerId,
        /// Its pool.
        pool: PoolId,
        /// Its node.
        host: String,
        /// Which allocation that is of: a gang stays inside one.
        allocation: u16,
        /// Units of capacity, at least 1.
        slots: u16,
        /// Cores of each socket of its node that it may use, for measurements that have some to themselves.
        sockets: Box<[u16]>,
        /// GPUs it may use. A number means the same one to all workers of a node, which share them.
        gpus: GpuSet,
        /// May measurements run there, although others would do? If not, they do where no others can take them: it
        /// shares its node with the root.
        measures: bool,
    },
    /// It will not answer any more.
    WorkerLost {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker was to start on the host and did not.
    NodeFault {
        /// The host.
        host: String,
    },
    /// The script wants this.
    Submitted(Request),
    /// The attempt has begun.
    Started {
        /// Who says so.
        worker: WorkerId,
        /// Which task.
        task: TaskId,
        /// Which start of it.
        attempt: Attempt,
    },
    /// The attempt has done its work, and what it made is on its way to where others find it: `Finished` follows. The
    /// driver watches that it comes, for time that is the task's own has nothing to do with it.
    Delivers {
        /// Who says so.
        worker: WorkerId,
        /// Which task.
        task: TaskId,
        /// Which start of it.
        attempt: Attempt,
    },
    /// The attempt has ended and the driver holds its outcome.
    Finished {
        /// Who says so.
        worker: WorkerId,
        /// Which task.
        task: TaskId,
        /// Which start of it.
        attempt: Attempt,
        /// Did it succeed?
        ok: bool,
        /// The node could not run it, which says nothing of the task: it may be tried on another one.
        unfit: bool,
        /// What it built; it is on that worker's node.
        artefact: Option<Hash>,
        /// How long it ran (µs).
        elapsed_us: u64,
    },
    /// The call or program had not begun and will not.
    Recalled {
        /// Who says so.
        worker: WorkerId,
        /// Which task.
        task: TaskId,
        /// Which start of it.
        attempt: Attempt,
    },
    /// The artefact is on the worker's node.
    Have {
        /// The worker.
        worker: WorkerId,
        /// The artefact.
        artefact: Hash,
    },
    /// Nobody has the artefact any more: what waits for it is refused, one task of a queue after another.
    Gone {
        /// The artefact.
        artefact: Hash,
    },
    /// The script does not want the task any more.
    Cancel {
        /// The task; unknown and ended ones are ignored.
        task: TaskId,
    },
    /// Time is over then: what would not end before is not started.
    Deadline {
        /// When.
        at: Tick,
    },
    /// A task of this number took so long, before this core was.
    Took {
        /// Which [`like`](Request::like).
        like: u64,
        /// How long (µs).
        us: u64,
    },
    /// A later run would come no further: what is held back starts all the same, until the end of a task was
    /// [recorded](Request::recorded).
    LetGo,
    /// Cancel everything, start nothing more.
    Drain,
    /// Time has passed; due at the moment `WakeAt` named.
    Tick,
}

/// What the driver must do, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Send the task to the leader of its gang.
    Start {
        /// The task.
        task: TaskId,
        /// Counts starts, from 1. A recalled task starts under a new number, although that costs no retry:
        /// otherwise a late `Recalled` could not be told from an answer to the new start.
        attempt: Attempt,
        /// Its workers, the leader first.
        gang: Gang,
        /// The GPUs it may use on each of them, in the same order; empty if it asked for none. The numbers are the same
        /// on all nodes where that is possible.
        gpus: Box<[GpuSet]>,
    },
    /// Ask for an unstarted call back.
    Recall {
        /// Who has it.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which start of it.
        attempt: Attempt,
    },
    /// End the attempt now.
    Kill {
        /// Who runs it.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which start of it.
        attempt: Attempt,
    },
    /// Bring the artefact to the worker; answer `Have` or, if nobody has it, `Gone`.
    Offer {
        /// Who needs it.
        worker: WorkerId,
        /// The artefact.
        artefact: Hash,
    },
    /// Measurements have the worker's node (true), or no longer.
    Quiet {
        /// The worker.
        worker: WorkerId,
        /// Be quiet?
        on: bool,
    },
    /// All the worker could do is held by attempts that did not end when they were to be killed: declare it lost
    /// (`WorkerLost`), so that its processes end and its tasks go elsewhere.
    GiveUp {
        /// The worker.
        worker: WorkerId,
    },
    /// The node has failed so often that nothing of the pool starts there any more; what runs there goes on.
    Quarantine {
        /// The pool.
        pool: PoolId,
        /// The node.
        host: String,
    },
    /// A node in quarantine takes tasks of the pool again: it has no other one left.
    Readmit {
        /// The pool.
        pool: PoolId,
        /// The node.
        host: String,
    },
    /// The task is not started, now or later: it would not end in time.
    Hold {
        /// The task.
        task: TaskId,
    },
    /// The task has ended; exactly one for every task submitted.
    Resolve {
        /// The task.
        task: TaskId,
        /// How.
        end: End,
    },
    /// Send `Tick` then, and not when it was asked for before: that is earlier now, or any event that came since did for it.
    WakeAt(Tick),
}

/// How a task ended for the scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The driver holds the outcome that was reported.
    Finished,
    /// A dependency did not end well.
    Skipped {
        /// The dependency itself, which may be skipped in its turn.
        cause: TaskId,
    },
    /// The script, or a drain, gave it up.
    Cancelled,
    /// Its worker was lost, and no retry or no worker is left.
    LostWorker {
        /// The workers that were lost with it, the first first.
        workers: Vec<WorkerId>,
    },
    /// No answer long after its deadline. The units it holds stay occupied until its worker reports or is lost.
    Overdue,
    /// Its worker gave it back after it was to be killed, for there was no answer long after its deadline: nobody knows whether it ran.
    CameBack,
    /// It can never run.
    Refused {
        /// What was asked and what there is.
        reason: String,
    },
}

/// The workers of one attempt, the leader first; never empty. A slice with room for one without allocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Gang {
    /// The usual case.
    One([WorkerId; 1]),
    /// Several nodes.
    Many(Box<[WorkerId]>),
}

impl Gang {
    /// A gang of `leader` alone.
    pub fn one(leader: WorkerId) -> Self {
        Self::One([leader])
    }

    /// The worker that runs the task and answers for it.
    pub fn leader(&self) -> WorkerId {
        self[0]
    }
}

/// The leader is the first of these; there must be one.
impl From<Vec<WorkerId>> for Gang {
    fn from(workers: Vec<WorkerId>) -> Self {
        if let [one] = workers[..] { Self::one(one) } else { Self::Many(workers.into()) }
    }
}

impl Deref for Gang {
    type Target = [WorkerId];

    fn deref(&self) -> &[WorkerId] {
        match self {
            Gang::One(one) => one,
            Gang::Many(many) => many,
        }
    }
}

/// Some of a node's GPUs, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuSet(u64);

impl GpuSet {
    /// How many.
    pub fn len(self) -> u16 {
        self.0.count_ones() as u16
    }

    /// None?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their numbers, lowest first.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        (0..64).filter(move |gpu| self.0 >> gpu & 1 == 1)
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The lowest `count` of them.
    pub(super) fn lowest(self, count: u16) -> Self {
        self.iter().take(count.into()).collect()
    }
}

/// As its numbers.
impl Serialize for GpuSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// Those of these numbers, all below 64.
impl FromIterator<u16> for GpuSet {
    fn from_iter<I: IntoIterator<Item = u16>>(numbers: I) -> Self {
        numbers.into_iter().fold(Self::default(), |set, gpu| Self(set.0 | 1 << gpu))
    }
}

/// Tasks of one kind, by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Dependencies have not ended.
    pub waiting: u64,
    /// Could run.
    pub queued: u64,
    /// Could run, but would not end in time.
    pub held: u64,
    /// On a worker, or a node is being prepared.
    pub running: u64,
    /// Resolved.
    pub done: u64,
}
