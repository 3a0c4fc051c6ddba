//! Why a task is not running: the scheduler's books, read for a person. Changes nothing.
//!
//! It names what is wanted, what there is, who holds the rest and who goes first, by task and host; `told` makes words
//! of it, with the names the driver knows. It looks at everything there is and is meant to be asked now and then, not for each event.

use std::collections::{BTreeMap, BTreeSet};

use super::Core;
use super::api::{Gang, Tick};
use super::fleet::Lease;
use super::task::{Flight, Home, NodeIx, Phase, PoolIx, Rank, State, Task, TaskIx};
use crate::model::{Kind, TaskId, WorkerId};

/// So many others are named.
const MOST_NAMED: usize = 8;

/// Where a task stands, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// It has ended, or was never submitted.
    Unknown,
    /// It was sent to these hosts, the leader's first.
    Running {
        /// Where.
        hosts: Vec<String>,
        /// It was sent ahead, and waits there for others to end.
        ahead: bool,
        /// Its worker said that it began.
        begun: bool,
    },
    /// It has its place; files it needs are on their way there.
    Files {
        /// Where.
        hosts: Vec<String>,
    },
    /// Its nodes are being drained; these still run there.
    Draining {
        /// Where.
        hosts: Vec<String>,
        /// Who is waited for; some of them.
        running: Vec<TaskId>,
    },
    /// These must end first; some of them.
    Dependencies {
        /// Which.
        tasks: Vec<TaskId>,
        /// How many they are in all.
        count: u32,
    },
    /// The first of its group has no node yet; the others follow it.
    Group {
        /// The first.
        leader: Option<TaskId>,
    },
    /// Its host has no worker that could take it.
    NoWorker {
        /// The host.
        host: String,
    },
    /// It was struck, and rests before it is tried again.
    Resting {
        /// The worker that was lost with it, or whose node could not run it.
        worker: WorkerId,
        /// Where that was.
        host: String,
        /// Was it lost?
        lost: bool,
        /// How often that happened.
        strikes: usize,
        /// Until then.
        until: Tick,
    },
    /// The pool has no worker yet.
    EmptyPool,
    /// A counter is used up, or an earlier task waits for it.
    Counter {
        /// Its name.
        name: String,
        /// How much it needs.
        wanted: u32,
        /// How much nobody uses.
        free: u32,
        /// How much there is.
        capacity: u32,
        /// Who uses it, and earlier tasks that wait for it; some of them.
        holders: Vec<TaskId>,
    },
    /// It would not end in time.
    Late {
        /// How long it may take (µs).
        takes_us: u64,
        /// What is left (µs).
        left_us: u64,
    },
    /// There is no room.
    Room(Place),
}

/// Room a task does not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it asks for.
    pub wanted: Want,
    /// Nodes that would do if they were empty.
    pub suitable: usize,
    /// Those of them that have the room now, kept or not.
    pub free: usize,
    /// Who holds the others; some of them.
    pub holders: Vec<TaskId>,
    /// Nodes given to, or being drained for, one task alone or some that share it: host and tasks; some of them.
    pub drained: Vec<(String, Vec<TaskId>)>,
    /// What is kept for it, or for somebody before it.
    pub reserved: Option<Reserved>,
    /// Of the same pool, the first that goes before it.
    pub behind: Option<TaskId>,
    /// Nodes that would do and are in quarantine; some of them.
    pub quarantined: Vec<String>,
}

/// What a task asks of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// How many.
    pub nodes: u16,
    /// Units on each.
    pub cores: u16,
    /// GPUs on each.
    pub gpus: u16,
    /// Nothing else may run there.
    pub whole: bool,
}

/// Nodes kept for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// For whom.
    pub task: TaskId,
    /// How many.
    pub nodes: usize,
    /// When it starts at the latest; not known if something without a timeout runs there.
    pub until: Option<Tick>,
}

/// Tasks that wait for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The first of them to go; some of them.
    pub first: Vec<TaskId>,
    /// How many they are in all.
    pub count: usize,
    /// Why the very first waits; the others wait for the like.
    pub why: Explanation,
}

impl Core {
    /// All that wait, by reason; the reason of most of them first.
    pub fn waiting(&self) -> Vec<Waiting> {
        // Of a million tasks only those are kept that will be named.
        let mut groups: BTreeMap<_, (usize, BTreeSet<(Rank, TaskId)>)> = BTreeMap::new();
        for (_, task) in self.tasks.iter() {
            let Some(like) = self.waits_like(task) else { continue };
            let (count, first) = groups.entry((task.pool, like)).or_default();
            *count += 1;
            if first.len() < MOST_NAMED || first.last().is_some_and(|(last, _)| task.rank < *last) {
                first.insert((task.rank, task.id));
            }
            if first.len() > MOST_NAMED {
                first.pop_last();
            }
        }
        let explained = groups.into_values().filter_map(|(count, first)| {
            let first: Vec<TaskId> = first.into_iter().map(|(_, id)| id).collect();
            Some(Waiting { count, why: self.explain(*first.first()?), first })
        });
        let mut all: Vec<Waiting> = explained.collect();
        all.sort_by_key(|group| std::cmp::Reverse(group.count));
        all
    }

    /// Tasks the worker has, each with whether it runs.
    pub fn tasks_of(&self, worker: WorkerId) -> Vec<(TaskId, bool)> {
        if !self.fleet.alive(worker) {
            return Vec::new();
        }
        let runs = |task: &Task| {
            let State::Flying(Flight { phase, .. }) = &task.state else { return false };
            !matches!(phase, Phase::Staging | Phase::Wedged)
        };
        let tasks = self.on_worker(worker).into_iter().map(|(ix, is_ahead)| (&self.tasks[ix], is_ahead));
        tasks.map(|(task, is_ahead)| (task.id, !is_ahead && runs(task))).collect()
    }

    /// Tasks the worker has, each with whether it was sent ahead and waits there: of calls and programs that have not said that they
    /// began, so many of the last ones.
    fn on_worker(&self, worker: WorkerId) -> Vec<(TaskIx, bool)> {
        let worker = &self.fleet[worker];
        let may_wait = |ix: TaskIx| {
            let task = &self.tasks[ix];
            task.state.is_unsaid() && matches!(task.kind, Kind::Call | Kind::Exec)
        };
        let mut ahead = worker.surplus() as usize + usize::from(worker.ahead);
        let from_last = worker.tasks.iter().rev().map(|ix| {
            let is_ahead = ahead > 0 && may_wait(*ix);
            ahead -= usize::from(is_ahead);
            (*ix, is_ahead)
        });
        let mut tasks: Vec<(TaskIx, bool)> = from_last.collect();
        tasks.reverse();
        tasks
    }

    /// Waiting tasks that are alike in this wait for the same; none for one that does not wait.
    fn waits_like(&self, task: &Task) -> Option<(u8, u64)> {
        Some(match &task.state {
            State::Vacant => return None,
            State::Flying(Flight { phase: Phase::Staging, .. }) => (1, 0),
            State::Flying(_) => return None,
            State::Waiting { .. } => (0, 0),
            State::Leasing(_) => (2, 0),
            State::Held => (9, 0),
            State::Queued(Home::Ready) => (3, 0),
            State::Queued(Home::Shape(shape)) => (4, u64::from(*shape)),
            State::Queued(Home::Worker(worker)) => (5, u64::from(worker.0)),
            State::Queued(Home::Parked(node)) => (6, node.at() as u64),
            State::Queued(Home::Resting) => (10, 0),
            State::Queued(Home::Group(_)) => (7, 0),
            State::Queued(Home::Gangs(_)) => {
                let (nodes, cores, gpus) = (task.need.nodes(), task.need.cores(), task.gpus());
                let counter = task.needs().first().map_or(0, |need| need.counter as u64 + 1);
                (8, counter << 48 | u64::from(nodes) << 32 | u64::from(gpus) << 16 | u64::from(cores))
            }
        })
    }

    /// Why the task is not running.
    pub fn explain(&self, task: TaskId) -> Explanation {
        let Some(ix) = self.tasks.find(task) else { return Explanation::Unknown };
        let entry = &self.tasks[ix];
        match &entry.state {
            State::Vacant | State::Flying(Flight { phase: Phase::Wedged, .. }) => Explanation::Unknown,
            State::Waiting { deps } => Explanation::Dependencies { tasks: self.awaited(task), count: *deps },
            State::Queued(home) => self.explain_queued(ix, entry, *home),
            State::Held => Explanation::Late {
                takes_us: self.may_take_us(ix).unwrap_or_default(),
                left_us: self.left_us(),
            },
            State::Leasing(gang) => self.explain_leasing(ix, gang),
            State::Flying(Flight { gang, phase: Phase::Staging, .. }) => {
                Explanation::Files { hosts: self.hosts(gang) }
            }
            State::Flying(Flight { gang, phase, .. }) => {
                let ahead = self.on_worker(gang.leader()).contains(&(ix, true));
                let begun = matches!(phase, Phase::Running);
                Explanation::Running { hosts: self.hosts(gang), ahead, begun }
            }
        }
    }

    fn explain_leasing(&self, ix: TaskIx, gang: &Gang) -> Explanation {
        let hosts = self.hosts(gang);
        let lacks = |id: &WorkerId| {
            self.tasks[ix].inputs().iter().any(|artefact| !self.artefacts.holds(*id, artefact))
        };
        if gang.iter().any(lacks) {
            return Explanation::Files { hosts };
        }
        let nodes = gang.iter().map(|id| self.fleet[*id].node);
        Explanation::Draining { hosts, running: self.named(nodes.flat_map(|node| self.on_node(node))) }
    }

    fn explain_queued(&self, ix: TaskIx, task: &Task, home: Home) -> Explanation {
        let pool = &self.pools[task.pool.at()];
        match home {
            Home::Parked(node) => Explanation::NoWorker { host: self.fleet[node].host.clone() },
            Home::Group(group) => {
                let leader = self.groups[group.at()].leader;
                Explanation::Group { leader: leader.map(|leader| self.tasks[leader].id) }
            }
            Home::Resting => self.explain_rest(ix),
            _ if pool.alive == 0 => Explanation::EmptyPool,
            Home::Worker(id) => Explanation::Room(self.explain_room(ix, vec![id])),
            Home::Ready | Home::Shape(_) | Home::Gangs(_) => {
                if let Some(counter) = self.explain_counter(task) {
                    return counter;
                }
                let demand = self.demand(ix);
                let all = pool.places.iter().flatten().copied();
                Explanation::Room(
                    self.explain_room(ix, all.filter(|id| self.suits(ix, demand, *id)).collect()),
                )
            }
        }
    }

    fn explain_rest(&self, ix: TaskIx) -> Explanation {
        let Some((worker, lost, until)) = self.rest_of(ix) else { return Explanation::Unknown };
        let host = self.fleet[self.fleet[worker].node].host.clone();
        Explanation::Resting { worker, host, lost, strikes: self.tasks[ix].strikes().len(), until }
    }

    fn explain_counter(&self, task: &Task) -> Option<Explanation> {
        let pool = &self.pools[task.pool.at()];
        for need in task.needs() {
            let counter = &pool.counters[need.counter];
            let uses = |other: &Task| other.needs().iter().any(|other| other.counter == need.counter);
            let gangs = pool.gangs.tasks().map(|ix| &self.tasks[ix]);
            let mut earlier: Vec<&Task> =
                gangs.filter(|other| other.rank < task.rank && uses(other)).collect();
            earlier.sort_unstable_by_key(|other| other.rank);
            if counter.free() >= need.amount && earlier.is_empty() {
                continue;
            }
            let holds = |other: &Task| matches!(other.state, State::Flying(_) | State::Leasing(_));
            let holders = self.tasks.iter().map(|(_, other)| other);
            let holders = holders.filter(|other| other.pool == task.pool && holds(other) && uses(other));
            return Some(Explanation::Counter {
                name: counter.name.clone(),
                wanted: need.amount,
                free: counter.free(),
                capacity: counter.capacity,
                holders: holders.chain(earlier).take(MOST_NAMED).map(|other| other.id).collect(),
            });
        }
        None
    }

    /// `workers` are those that would do.
    fn explain_room(&self, ix: TaskIx, workers: Vec<WorkerId>) -> Place {
        let task = &self.tasks[ix];
        let pool = &self.pools[task.pool.at()];
        let demand = self.demand(ix);
        let mut nodes: Vec<NodeIx> = workers.iter().map(|id| self.fleet[*id].node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let (with_room, full): (Vec<WorkerId>, Vec<WorkerId>) =
            workers.iter().partition(|id| self.has_room(demand, **id));
        let mut free: Vec<NodeIx> = with_room.iter().map(|id| self.fleet[*id].node).collect();
        free.sort_unstable();
        free.dedup();
        let closed =
            |node: &&NodeIx| matches!(self.fleet[**node].lease, Lease::Draining(_) | Lease::Quiet(_));
        let drained = nodes.iter().filter(closed).map(|node| {
            let node = &self.fleet[*node];
            (node.host.clone(), self.named(node.holders()))
        });
        let kept = nodes.iter().filter_map(|node| self.fleet[*node].reserved);
        let kept = kept.min_by_key(|holder| (*holder != ix, self.tasks[*holder].rank));
        let reserved = kept.and_then(|holder| {
            let books = self.pools[self.tasks[holder].pool.at()].reservation.as_ref()?;
            Some(self.reserved(books))
        });
        let first = [pool.shapes.first(), pool.gangs.first()];
        let first = first.into_iter().flatten().min_by_key(|head| head.rank);
        let first = first.filter(|head| head.rank < task.rank);
        let busy = full.iter().flat_map(|id| self.on_node(self.fleet[*id].node));
        Place {
            wanted: Want { nodes: demand.nodes, cores: demand.cores, gpus: demand.gpus, whole: demand.whole },
            suitable: nodes.len(),
            free: free.len(),
            holders: self.named(busy),
            drained: drained.take(MOST_NAMED).collect(),
            reserved,
            behind: first.map(|head| self.tasks[head.ix].id),
            quarantined: self.barred_hosts(task.pool).take(MOST_NAMED).collect(),
        }
    }

    /// Nodes with workers of the pool that take nothing any more.
    fn barred_hosts(&self, pool: PoolIx) -> impl Iterator<Item = String> {
        let barred = move |id: &WorkerId| self.fleet[*id].barred && self.fleet[*id].pool == pool;
        let nodes = self.fleet.nodes().filter(move |(_, node)| node.workers.iter().any(barred));
        nodes.map(|(_, node)| node.host.clone())
    }

    /// Tasks without which this one does not start, in the order of their entries.
    fn awaited(&self, task: TaskId) -> Vec<TaskId> {
        let before = self
            .tasks
            .iter()
            .filter(|(_, other)| other.rare.as_ref().is_some_and(|rare| rare.dependents.contains(&task)));
        before.map(|(_, other)| other.id).take(MOST_NAMED).collect()
    }

    /// But for those that wait there themselves.
    fn on_node(&self, node: NodeIx) -> impl Iterator<Item = TaskIx> {
        let tasks = self.fleet[node].workers.iter().flat_map(|id| self.on_worker(*id));
        tasks.filter(|(_, is_ahead)| !is_ahead).map(|(ix, _)| ix)
    }

    /// Each once, a few of them.
    fn named(&self, tasks: impl Iterator<Item = TaskIx>) -> Vec<TaskId> {
        let mut named = Vec::new();
        for id in tasks.map(|ix| self.tasks[ix].id) {
            if named.len() == MOST_NAMED {
                break;
            }
            if !named.contains(&id) {
                named.push(id);
            }
        }
        named
    }

    fn hosts(&self, gang: &Gang) -> Vec<String> {
        gang.iter().map(|id| self.fleet[self.fleet[*id].node].host.clone()).collect()
    }
}
