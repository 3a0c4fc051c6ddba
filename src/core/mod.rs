//! The scheduler: which task runs when, and on which worker.
//!
//! [`Core::handle`] is the only way its state changes: an event goes in, actions come out. It does no I/O, reads no clock,
//! starts no thread, draws no random number and never iterates over a hash map: the same events give the same actions.
//! It knows tasks by number and never sees what they do, nor their outcomes beyond "ok or not".
//!
//! Each event is applied first (`submit`, `answer`, `guard`); what may have become possible by it is put on an
//! agenda, and `settle` works that off: tasks to route, nodes being prepared (`lease`), workers and pools with
//! room (`dispatch`, `gang`, `side`). Nothing recurses, so a chain of a million tasks may fail at once.
//!
//! Lower ranks go first: priority, then submission. A task that finds no room holds later ones of its pool back, unless
//! they use what it cannot; one that needs several cores or a whole node takes a *lease* on a node, which
//! then drains; measurements that have parts of a node to themselves share one (`side`). One that needs several nodes, GPUs or counters (`gang`) gets a *reservation* of nodes and a time (`reserve`).
//! That, and a bound on exclusive tasks in a row, is why nobody starves. What is lost to the cluster is tried again elsewhere, and a node that fails again and again is kept off (`quarantine`). What would not end in time is held back (`horizon`). `explain` says why a task is not running.

mod answer;
mod api;
mod artefacts;
mod check;
mod credit;
mod dispatch;
mod explain;
mod fleet;
mod gang;
mod guard;
mod horizon;
mod lease;
mod never;
mod pool;
mod quarantine;
mod queues;
mod reluctant;
mod reserve;
mod side;
mod submit;
mod task;
#[cfg(test)]
mod tests;

mod tree;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rustc_hash::FxHashMap;

pub use api::{Action, Counts, Dep, DepState, End, Event, Gang, GpuSet, Request, Tick};
pub use explain::{Explanation, Place, Reserved, Waiting, Want};
pub use guard::GRACE_US;
pub use horizon::REMEMBERED;
pub use words::Names;

use crate::model::{Kind, PoolId, TaskId, WorkerId};
use artefacts::Artefacts;
use credit::Durations;
use fleet::{Fleet, Worker};
use guard::Alarm;
use horizon::Horizon;
use pool::{Counter, Pool, Size, Stage};
use task::{Flight, GroupIx, NodeIx, Phase, PoolIx, Rank, State, Table, TaskIx};

/// The scheduler. What may come next can be tried on a copy.
#[derive(Clone, Debug, Default)]
pub struct Core {
    now: Tick,
    tasks: Table,
    fleet: Fleet,
    pools: Vec<Pool>,
    pool_ix: BTreeMap<PoolId, PoolIx>,
    groups: Vec<Group>,
    group_ix: FxHashMap<(PoolIx, String, u16), GroupIx>,
    artefacts: Artefacts,
    durations: Durations,
    horizon: Horizon,
    alarms: BTreeSet<(Tick, Alarm)>,
    /// Tasks under way that have a timeout.
    timed: usize,
    /// The driver will wake us then.
    announced: Option<Tick>,
    counts: [Counts; 5],
    /// Tasks submitted so far.
    submitted: u64,
    draining: bool,
    agenda: Agenda,
    out: Vec<Action>,
    /// Work done since everything was checked.
    #[cfg(debug_assertions)]
    unchecked: usize,
}

/// Tasks that run on the same nodes: those of one name that ask for as many.
#[derive(Clone, Debug, Default)]
struct Group {
    /// Where, once the first of them has a worker.
    home: Option<Gang>,
    /// The one that stands in the pool's queue for all of them.
    leader: Option<TaskIx>,
    waiting: BTreeMap<Rank, TaskIx>,
}

/// What an event made worth looking at; empty between events.
#[derive(Clone, Debug, Default)]
struct Agenda {
    /// Tasks whose dependencies have ended, or that come back from a worker.
    ready: VecDeque<TaskIx>,
    /// Tasks to skip, and because of which dependency.
    doomed: VecDeque<(TaskId, TaskId)>,
    /// Workers on which something ended or arrived.
    touched: VecDeque<WorkerId>,
    /// Pools with new tasks or new room.
    stale: VecDeque<PoolIx>,
    /// Workers whose own tasks come after those of the pool.
    late: VecDeque<WorkerId>,
    /// Workers on which a task ended: they may take short programs ahead.
    ahead: VecDeque<WorkerId>,
    /// Nodes a measurement has left.
    loud: Vec<NodeIx>,
}

impl Core {
    /// A scheduler without pools. In debug builds it checks all its books now and then.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies an event that happened at `now` and appends what must be done to `actions`.
    pub fn handle(&mut self, now: Tick, event: Event, actions: &mut Vec<Action>) {
        std::mem::swap(&mut self.out, actions);
        self.now = self.now.max(now);
        self.ring();
        self.apply(event);
        self.settle();
        self.announce();
        std::mem::swap(&mut self.out, actions);
        #[cfg(debug_assertions)]
        self.check_sometimes();
    }

    /// How many tasks of this kind stand where.
    pub fn counts(&self, kind: Kind) -> Counts {
        self.counts[kind as usize]
    }

    /// Tasks that run now, or for which a node is being prepared, by kind; what waits in a slot's pipe does not run.
    pub fn running_by_kind(&self) -> [(Kind, u64); 5] {
        let calls: u64 = self.pools.iter().map(|pool| pool.surplus).sum();
        let programs: u64 = self.fleet.iter().map(|(_, worker)| u64::from(worker.ahead)).sum();
        // Nothing else is sent ahead.
        [
            (Kind::Call, calls),
            (Kind::Exec, programs),
            (Kind::Compile, 0),
            (Kind::Measure, 0),
            (Kind::Compare, 0),
        ]
        .map(|(kind, ahead)| (kind, self.counts(kind).running.saturating_sub(ahead)))
    }

    /// The same, all kinds together.
    pub fn running(&self) -> u64 {
        self.running_by_kind().iter().map(|(_, number)| number).sum()
    }

    /// Tasks that have not been resolved.
    pub fn unresolved(&self) -> u64 {
        self.counts.iter().map(|counts| counts.waiting + counts.queued + counts.held + counts.running).sum()
    }

    /// Does something that could run wait behind what runs: in a queue, or in the pipe of a slot?
    pub fn is_backed_up(&self) -> bool {
        let queued = |counts: &Counts| counts.queued > 0;
        self.counts.iter().any(queued) || self.pools.iter().any(|pool| pool.surplus > 0)
    }

    /// Of those that have not been resolved, the ones that wait for no other.
    pub fn runnable(&self) -> u64 {
        self.counts.iter().map(|counts| counts.queued + counts.running).sum()
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::PoolOpened { pool } => self.pool_opened(pool),
            Event::PoolSettled { pool } => self.pool_settled(pool),
            Event::PoolClosed { pool } => self.pool_closed(pool),
            Event::PoolCounters { pool, capacities } => self.pool_counters(pool, capacities),
            Event::PoolQuarantine { pool, after } => self.pool_quarantine(pool, after),
            Event::WorkerReady { worker, pool, host, allocation, slots, sockets, gpus, measures } => {
                self.worker_ready(worker, pool, (&host, allocation), (slots, sockets, gpus, measures));
            }
            Event::WorkerLost { worker } => self.worker_lost(worker),
            Event::NodeFault { host } => self.node_fault(&host),
            Event::Submitted(request) => self.submitted(request),
            Event::Started { worker, task, attempt } => self.started(worker, task, attempt),
            Event::Delivers { worker, task, attempt } => self.delivers(worker, task, attempt),
            Event::Finished { worker, task, attempt, ok, unfit, artefact, elapsed_us } => {
                self.finished(worker, task, attempt, answer::Report { ok, unfit, artefact, elapsed_us });
            }
            Event::Recalled { worker, task, attempt } => self.recalled(worker, task, attempt),
            Event::Have { worker, artefact } => self.have(worker, artefact),
            Event::Gone { artefact } => self.gone(artefact),
            Event::Cancel { task } => {
                if let Some(ix) = self.tasks.find(task) {
                    self.cancel(ix);
                }
            }
            Event::Deadline { at } => self.horizon.ends(self.now, at),
            Event::Took { like, us } => self.horizon.learn(like, us),
            Event::LetGo => self.let_go(),
            Event::Drain => {
                self.draining = true;
                self.cancel_all(|_| true);
            }
            Event::Tick => {}
        }
    }

    /// Works the agenda off: whatever can start, starts.
    fn settle(&mut self) {
        loop {
            if let Some((task, cause)) = self.agenda.doomed.pop_front() {
                self.skip(task, cause);
            } else if let Some(ix) = self.agenda.ready.pop_front() {
                self.route(ix);
            } else if let Some(worker) = self.agenda.touched.pop_front() {
                self.serve_worker(worker);
            } else if let Some(pool) = self.agenda.stale.pop_front() {
                self.serve_pool(pool);
                self.serve_deferred(pool);
                self.plan_steal(pool);
            } else if let Some(worker) = self.agenda.late.pop_front() {
                self.serve_own(worker, false);
            } else if let Some(worker) = self.agenda.ahead.pop_front() {
                self.send_ahead(worker);
            } else {
                break;
            }
        }
        while let Some(node) = self.agenda.loud.pop() {
            self.tell_loud(node);
        }
    }

    /// The task moves on; the counters follow. Returns the state it left.
    fn enter(&mut self, ix: TaskIx, state: State) -> State {
        let task = &mut self.tasks[ix];
        let before = std::mem::replace(&mut task.state, state);
        let counts = &mut self.counts[task.kind as usize];
        *bucket(counts, &before) -= 1;
        *bucket(counts, &task.state) += 1;
        if task.timeout_us().is_some() {
            self.timed += usize::from(task.state.is_flying());
            self.timed -= usize::from(before.is_flying());
        }
        before
    }

    /// The task is to be routed anew.
    fn make_ready(&mut self, ix: TaskIx) {
        self.enter(ix, State::Queued(task::Home::Ready));
        self.agenda.ready.push_back(ix);
    }

    /// Something changed on the worker: look at it and its pool.
    fn touch(&mut self, worker: WorkerId) {
        if self.fleet.alive(worker) {
            self.agenda.touched.push_back(worker);
            self.mark_stale(self.fleet[worker].pool);
        }
    }

    fn mark_stale(&mut self, pool: PoolIx) {
        if !self.agenda.stale.contains(&pool) {
            self.agenda.stale.push_back(pool);
        }
    }

    /// The worker's load or its node's lease changed: its pool's tree follows.
    fn refresh(&mut self, id: WorkerId) {
        let worker = &self.fleet[id];
        if !worker.alive || worker.barred {
            return;
        }
        let open = self.fleet[worker.node].is_open();
        let pool = &mut self.pools[worker.pool.at()];
        pool.offer(worker.place, worker.measures, worker.offer(open));
        let surplus = worker.surplus();
        pool.surplus = pool.surplus + u64::from(surplus) - u64::from(worker.counted);
        self.fleet[id].counted = surplus;
    }

    fn pool_opened(&mut self, id: PoolId) {
        if let Some(ix) = self.pool_ix.get(&id) {
            let pool = &mut self.pools[ix.at()];
            if pool.stage == Stage::Settled {
                pool.stage = Stage::Growing;
            }
            return;
        }
        self.pool_ix.insert(id, PoolIx::new(self.pools.len()));
        self.pools.push(Pool::new(id));
    }

    fn pool_settled(&mut self, id: PoolId) {
        let Some(ix) = self.pool_ix.get(&id).copied() else { return };
        if self.pools[ix.at()].stage == Stage::Growing {
            self.pools[ix.at()].stage = Stage::Settled;
            self.pools[ix.at()].changed(); // nobody waits any more for one that measures
            self.reconsider(ix);
        }
    }

    fn pool_closed(&mut self, id: PoolId) {
        let Some(ix) = self.pool_ix.get(&id).copied() else { return };
        self.pools[ix.at()].stage = Stage::Closed;
        self.cancel_all(|task| task.pool == ix);
    }

    fn pool_counters(&mut self, id: PoolId, capacities: BTreeMap<String, u32>) {
        let Some(ix) = self.pool_ix.get(&id).copied() else { return };
        let pool = &mut self.pools[ix.at()];
        for (name, capacity) in capacities {
            match pool.counters.iter_mut().find(|counter| counter.name == name) {
                Some(counter) => counter.capacity = capacity,
                None => pool.counters.push(Counter { name, capacity, used: 0 }),
            }
        }
        pool.look = true;
        self.reconsider(ix);
    }

    fn worker_ready(
        &mut self,
        id: WorkerId,
        pool: PoolId,
        (host, allocation): (&str, u16),
        (slots, sockets, gpus, measures): (u16, Box<[u16]>, GpuSet, bool),
    ) {
        let Some(pool) = self.pool_ix.get(&pool).copied() else { return };
        if self.fleet.knows(id) {
            return;
        }
        let node = self.fleet.node(host);
        let slots = slots.max(1);
        let size = Size { slots, gpus: gpus.len(), measures };
        let place = self.pools[pool.at()].add(id, size, node);
        self.fleet
            .add(id, Worker { allocation, sockets, measures, ..Worker::new(pool, place, node, slots, gpus) });
        if self.fleet[node].quiet {
            self.out.push(Action::Quiet { worker: id, on: true });
        }
        self.enlist(id);
        self.review(pool);
    }

    /// The worker, which its pool has given a place, takes tasks from now on.
    fn enlist(&mut self, id: WorkerId) {
        let Worker { pool, node, measures, .. } = self.fleet[id];
        self.pools[pool.at()].reluctant += u32::from(!measures);
        for ix in std::mem::take(&mut self.fleet[node].parked).into_values() {
            self.make_ready(ix);
        }
        self.refresh(id);
        self.touch(id);
    }
}

/// The counter for tasks in this state.
fn bucket<'a>(counts: &'a mut Counts, state: &State) -> &'a mut u64 {
    match state {
        State::Waiting { .. } => &mut counts.waiting,
        State::Queued(_) => &mut counts.queued,
        State::Held => &mut counts.held,
        State::Flying(Flight { phase: Phase::Wedged, .. }) | State::Vacant => &mut counts.done,
        State::Leasing(_) | State::Flying(_) => &mut counts.running,
    }
}
