//! Each rule of the scheduler, one at a time. `tests/core_sim.rs` tries them together.

use super::*;
use crate::model::{Attempt, Exclusive, Hash, Sparse};

mod gangs;
mod horizon;
mod placement;
mod quarantine;
mod side;
mod trouble;
mod whole;

/// A core with one pool; all books are checked after every event.
struct Desk {
    core: Core,
    now: u64,
    next: u64,
    /// Of workers that join.
    gpus: u16,
    /// Of theirs.
    allocation: u16,
}

impl Desk {
    /// A settled pool 0 with workers on hosts `n0`, `n1`, … of so many slots.
    fn new(slots: &[u16]) -> Self {
        Self::with_gpus(slots, 0)
    }

    /// The same, with so many GPUs on each host.
    fn with_gpus(slots: &[u16], gpus: u16) -> Self {
        let mut desk = Self { core: Core::new(), now: 0, next: 0, gpus, allocation: 0 };
        desk.feed(Event::PoolOpened { pool: PoolId(0) });
        for (at, slots) in slots.iter().enumerate() {
            desk.join(at as u32, *slots);
        }
        desk.feed(Event::PoolSettled { pool: PoolId(0) });
        desk
    }

    fn join(&mut self, worker: u32, slots: u16) -> Vec<Action> {
        self.join_as(worker, slots, true)
    }

    /// Its node has two sockets if its slots can be halved.
    fn join_as(&mut self, worker: u32, slots: u16, measures: bool) -> Vec<Action> {
        let (host, gpus) = (format!("n{worker}"), (0..self.gpus).collect());
        let (worker, pool) = (WorkerId(worker), PoolId(0));
        let sockets = if slots.is_multiple_of(2) { vec![slots / 2; 2] } else { vec![slots] }.into();
        let allocation = self.allocation;
        self.feed(Event::WorkerReady { worker, pool, host, allocation, slots, sockets, gpus, measures })
    }

    fn feed(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.core.handle(Tick(self.now), event, &mut actions);
        self.core.check();
        actions
    }

    fn tick(&mut self, later: u64) -> Vec<Action> {
        self.now += later;
        self.feed(Event::Tick)
    }

    /// Submits a task, adjusted, and says what came of it.
    fn ask(&mut self, kind: Kind, adjust: impl FnOnce(&mut Request)) -> (TaskId, Vec<Action>) {
        let task = TaskId(self.next);
        self.next += 1;
        let mut request = Request {
            task,
            kind,
            pool: PoolId(0),
            placement: Sparse::default(),
            timeout_us: None,
            retries: 0,
            deps: Vec::new(),
            accept_failed: false,
            inputs: Vec::new(),
            class: 0,
            like: None,
            recorded: false,
            tried: None,
        };
        adjust(&mut request);
        (task, self.feed(Event::Submitted(request)))
    }

    fn exec(&mut self) -> (TaskId, Vec<Action>) {
        self.ask(Kind::Exec, |_| {})
    }

    fn measure(&mut self) -> (TaskId, Vec<Action>) {
        self.ask(Kind::Measure, |request| request.placement.exclusive = Some(Exclusive::Node))
    }

    fn started(&mut self, worker: u32, task: TaskId, attempt: u32) -> Vec<Action> {
        self.feed(Event::Started { worker: WorkerId(worker), task, attempt: Attempt(attempt) })
    }

    fn done(&mut self, worker: u32, task: TaskId) -> Vec<Action> {
        self.report(worker, task, 1, true, None)
    }

    /// A first attempt on the first worker ends well after so long.
    fn done_after(&mut self, task: TaskId, elapsed_us: u64) -> Vec<Action> {
        let (worker, attempt, artefact) = (WorkerId(0), Attempt(1), None);
        self.feed(Event::Finished { worker, task, attempt, ok: true, unfit: false, artefact, elapsed_us })
    }

    fn failed(&mut self, worker: u32, task: TaskId) -> Vec<Action> {
        self.report(worker, task, 1, false, None)
    }

    fn report(
        &mut self,
        worker: u32,
        task: TaskId,
        attempt: u32,
        ok: bool,
        artefact: Option<Hash>,
    ) -> Vec<Action> {
        let (worker, attempt) = (WorkerId(worker), Attempt(attempt));
        self.feed(Event::Finished { worker, task, attempt, ok, unfit: false, artefact, elapsed_us: 10_000 })
    }

    /// Its node could not run it.
    fn unfit(&mut self, worker: u32, task: TaskId, attempt: u32) -> Vec<Action> {
        let (worker, attempt) = (WorkerId(worker), Attempt(attempt));
        self.feed(Event::Finished {
            worker,
            task,
            attempt,
            ok: false,
            unfit: true,
            artefact: None,
            elapsed_us: 10_000,
        })
    }

    fn lose(&mut self, worker: u32) -> Vec<Action> {
        self.feed(Event::WorkerLost { worker: WorkerId(worker) })
    }
}

fn start(task: TaskId, attempt: u32, worker: u32) -> Action {
    Action::Start { task, attempt: Attempt(attempt), gang: Gang::one(WorkerId(worker)), gpus: Box::default() }
}

fn resolve(task: TaskId, end: End) -> Action {
    Action::Resolve { task, end }
}

fn lost_with(task: TaskId, workers: &[u32]) -> Action {
    resolve(task, End::LostWorker { workers: workers.iter().copied().map(WorkerId).collect() })
}

fn finished(task: TaskId) -> Action {
    resolve(task, End::Finished)
}

fn quiet(worker: u32, on: bool) -> Action {
    Action::Quiet { worker: WorkerId(worker), on }
}

fn kill(task: TaskId, attempt: u32, worker: u32) -> Action {
    Action::Kill { worker: WorkerId(worker), task, attempt: Attempt(attempt) }
}

fn recall(task: TaskId, worker: u32) -> Action {
    Action::Recall { worker: WorkerId(worker), task, attempt: Attempt(1) }
}

fn offer(artefact: Hash, worker: u32) -> Action {
    Action::Offer { worker: WorkerId(worker), artefact }
}

fn pending(task: TaskId) -> Dep {
    Dep { task, state: DepState::Pending }
}

/// Why the only action refuses a task.
fn refusal(actions: &[Action]) -> &str {
    match actions {
        [Action::Resolve { end: End::Refused { reason }, .. }] => reason,
        other => panic!("no refusal: {other:?}"),
    }
}
