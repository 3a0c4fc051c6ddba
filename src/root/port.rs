//! The only door between the script thread and the driver.
//!
//! Two mailboxes, each a mutex around a batch: the script queues requests and never waits for them, the
//! driver queues completions and never waits for the script. The script's end also decides what need not
//! run: a task that the journal already holds is answered from it, in the order it was recorded and before
//! any live completion, so that a script that searches takes the same decisions again.
//! Knows nothing of Lua, of scheduling or of how a journal is read.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHasher};

use super::programs::Programs;
use super::recipe;
use super::settle::{Unmet, settle};
use crate::model::{Arg, DepLabel, Detail, Hash, Kind, Outcome, PoolId, Status, TaskId, TaskOptions};

pub use super::order::{
    CallJob, Campaign, Index, Job, Order, PoolError, PoolInfo, PoolSpec, Replay, Request, Start, Submission,
    WorkerInfo,
};

/// How long [`Port::take`] waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// Not at all, and nothing is answered from the journal: the script is busy.
    No,
    /// As long as something is on its way.
    Forever,
    /// Until then, at the latest.
    Until(Instant),
}

/// What [`Port::take`] found.
#[derive(Debug)]
pub enum Taken {
    /// A task ended.
    Completion(Completion),
    /// Nothing ended in time, or (with `Forever`) nothing is on its way.
    Nothing,
    /// The campaign is being stopped: nothing will end any more.
    Draining,
}

/// The end of a task.
#[derive(Debug)]
pub struct Completion {
    /// Which.
    pub task: TaskId,
    /// How.
    pub outcome: Arc<Outcome>,
    /// Answered from the journal?
    pub replayed: bool,
}

/// What [`port`] needs.
pub struct Setup {
    /// What the script is told about its own run.
    pub campaign: Campaign,
    /// What the journal holds.
    pub index: Index,
    /// Is this artefact still in the store? A build whose artefact is gone is done again.
    pub artefact_present: Box<dyn Fn(Hash) -> bool + Send>,
    /// Wakes the driver; called only when it may be asleep.
    pub wake: Box<dyn Fn() + Send>,
}

/// Makes the door: one end for the script's thread, one for the driver's.
pub fn port(setup: Setup) -> (Port, DriverEnd) {
    let shared = Arc::new(Shared::default());
    let port = Port {
        shared: shared.clone(),
        setup,
        arrived: VecDeque::new(),
        own: VecDeque::new(),
        replays: BTreeMap::new(),
        replaying: FxHashMap::default(),
        held: FxHashMap::default(),
        notes: FxHashMap::default(),
        prints: Vec::new(),
        ordinals: FxHashMap::default(),
        programs: Programs::default(),
        in_flight: 0,
    };
    (port, DriverEnd { shared, outgoing: VecDeque::new() })
}

#[derive(Default)]
struct Shared {
    to_driver: Mutex<ToDriver>,
    to_script: Mutex<ToScript>,
    arrived: Condvar,
    /// Completions of the driver that the script has taken.
    taken: AtomicU64,
    draining: AtomicBool,
}

#[derive(Default)]
struct ToDriver {
    requests: Vec<Request>,
    /// The driver was woken since it last looked.
    told: bool,
}

#[derive(Default)]
struct ToScript {
    completions: VecDeque<Completion>,
    spawned: Option<Result<PoolInfo, PoolError>>,
    waiting: bool,
}

/// A panic elsewhere leaves a batch, never half a batch: the content is good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What later tasks may ask about an exec, a compile or a measure.
struct Note {
    recipe: Hash,
    kind: Kind,
    /// `name` and `params` where it has any.
    named: Option<Box<(Option<String>, Option<String>)>>,
    /// Set once the script has seen its end.
    ended: Option<Ended>,
}

impl Note {
    fn new(recipe: Hash, order: &Order) -> Self {
        let params = || order.options.params.as_ref().map(ToString::to_string);
        let is_named = order.options.name.is_some() || order.options.params.is_some();
        let named = is_named.then(|| Box::new((order.options.name.clone(), params())));
        Self { recipe, kind: order.job.kind(), named, ended: None }
    }

    fn label(&self) -> DepLabel {
        let (name, params) = self.named.as_deref().cloned().unwrap_or_default();
        DepLabel { kind: self.kind, name, params }
    }
}

#[derive(Clone, Copy)]
struct Ended {
    status: Status,
    artefact: Option<Hash>,
}

/// The script's end.
pub struct Port {
    shared: Arc<Shared>,
    setup: Setup,
    arrived: VecDeque<Completion>,
    /// Ends of tasks the driver never had.
    own: VecDeque<Completion>,
    /// Answers from the journal not yet delivered, in recorded order.
    replays: BTreeMap<(u64, TaskId), Arc<Outcome>>,
    replaying: FxHashMap<TaskId, u64>,
    held: FxHashMap<TaskId, Submission>,
    notes: FxHashMap<TaskId, Note>,
    /// Fingerprint of the payload of every call, by task number: all that a dependent's recipe needs.
    prints: Vec<u64>,
    ordinals: FxHashMap<Hash, u32>,
    programs: Programs,
    /// Tasks the driver has and whose end was not taken.
    in_flight: u64,
}

impl Port {
    /// Numbers a task and sends it on its way. Never blocks.
    pub fn submit(&mut self, order: Order) -> TaskId {
        let task = TaskId(self.prints.len() as u64);
        let (key, replay) = self.identify(task, &order);
        let Order { pool, options, job, deps, known, deferred } = order;
        if let Some(Replay { seq, outcome }) = replay {
            self.request(Request::Replayed(job.kind(), options, outcome.clone()));
            self.replaying.insert(task, seq);
            self.replays.insert((seq, task), outcome);
            return task;
        }
        let mut submission = Submission { task, pool, options, job, key, deps };
        for (dep, value) in known {
            super::settle::put(&mut submission, dep, &value);
        }
        if submission.deps.is_empty() {
            self.dispatch(submission, deferred);
            return task;
        }
        if let Job::Call(call) = &mut submission.job {
            let label = |dep: &TaskId| Some((*dep, self.notes.get(dep)?.label()));
            call.labels = submission.deps.iter().filter_map(label).collect();
        }
        match self.settle_known(&mut submission) {
            Ok(()) => self.dispatch(submission, deferred),
            Err((unmet, after)) => {
                let outcome = Arc::new(unmet.outcome());
                self.unrun(submission.job.kind(), submission.options, outcome.clone());
                self.end_early(task, outcome, after);
            }
        }
        task
    }

    /// Tells the driver, which keeps the count of all tasks, of one that it will never see.
    pub fn unrun(&self, kind: Kind, options: TaskOptions, outcome: Arc<Outcome>) {
        self.request(Request::Unrun(kind, options, outcome));
    }

    /// The next end of a task.
    pub fn take(&mut self, wait: Wait) -> Taken {
        if self.shared.draining.load(Ordering::Acquire) {
            return Taken::Draining;
        }
        if !self.replays.is_empty() {
            return if wait == Wait::No { Taken::Nothing } else { self.take_replay() };
        }
        if self.own.is_empty() && self.arrived.is_empty() && !self.receive(wait) {
            let draining = self.shared.draining.load(Ordering::Acquire);
            return if draining { Taken::Draining } else { Taken::Nothing };
        }
        let completion = match self.own.pop_front() {
            Some(completion) => completion,
            None => {
                let Some(completion) = self.arrived.pop_front() else { return Taken::Nothing };
                self.in_flight -= 1;
                self.shared.taken.fetch_add(1, Ordering::Release);
                completion
            }
        };
        self.note_end(completion.task, &completion.outcome);
        Taken::Completion(completion)
    }

    /// Asks for the end of a task; its outcome follows.
    pub fn cancel(&mut self, task: TaskId) {
        if self.held.remove(&task).is_some() {
            let outcome = Outcome::failed(Status::Cancelled, "cancelled before it was needed");
            self.deliver_own(task, Arc::new(outcome));
        } else if !self.replaying.contains_key(&task) {
            self.request(Request::Cancel(task));
        }
    }

    /// Starts workers and waits until they are ready.
    pub fn spawn(&mut self, spec: PoolSpec) -> Result<PoolInfo, PoolError> {
        self.request(Request::Spawn(spec));
        let mut inbox = lock(&self.shared.to_script);
        loop {
            if let Some(answer) = inbox.spawned.take() {
                return answer;
            }
            if self.shared.draining.load(Ordering::Acquire) {
                return Err(PoolError("spawn: the campaign is being stopped".into()));
            }
            inbox.waiting = true;
            inbox = self.shared.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Retires a pool's workers once its tasks are done.
    pub fn close(&mut self, pool: PoolId) {
        self.request(Request::Close(pool));
    }

    /// No handle is left of this shared value: slots need not keep it.
    pub fn forget(&mut self, share: Hash) {
        self.request(Request::Forget(share));
    }

    /// What the script may know about its own run.
    pub fn campaign(&self) -> &Campaign {
        &self.setup.campaign
    }

    /// Is the campaign being stopped?
    pub fn draining(&self) -> bool {
        self.shared.draining.load(Ordering::Acquire)
    }

    /// The recipe key of a keyed task, and the journal's answer to it.
    fn identify(&mut self, task: TaskId, order: &Order) -> (Option<Hash>, Option<Replay>) {
        if let Job::Call(call) = &order.job {
            let mut print = FxHasher::default();
            match &call.identity {
                Some(identity) => print.write(&identity.0),
                None => print.write(&call.payload),
            }
            self.prints.push(print.finish());
            if order.options.key.is_none() {
                return (None, None);
            }
        } else {
            self.prints.push(0);
        }
        let recipe_of = |dep: TaskId| match self.notes.get(&dep) {
            Some(note) => note.recipe,
            None => Hash::of(&self.prints.get(dep.0 as usize).copied().unwrap_or_default().to_le_bytes()),
        };
        let durable = match order.job {
            Job::Compile(_) | Job::Measure(_) => true,
            Job::Call(_) | Job::Exec(_) => order.options.key.is_some(),
        };
        if !durable {
            let recipe = recipe::fingerprint(order).unwrap_or_else(|| recipe::key(order, 0, None, recipe_of));
            self.notes.insert(task, Note::new(recipe, order));
            return (None, None);
        }
        let program = self.programs.of(&order.job, &self.setup.campaign.dir);
        let base = recipe::key(order, 0, program, recipe_of);
        let ordinal = self.ordinals.entry(base).or_default();
        let key = if *ordinal == 0 { base } else { recipe::key(order, *ordinal, program, recipe_of) };
        *ordinal += 1;
        self.notes.insert(task, Note::new(key, order));
        let answers = |replay: &Replay| {
            answers(&replay.outcome, &order.options)
                && artefact_of(&replay.outcome).is_none_or(|hash| (self.setup.artefact_present)(hash))
        };
        let replay = if self.setup.index.get(&key).is_some_and(answers) {
            self.setup.index.remove(&key)
        } else {
            None
        };
        (Some(key), replay)
    }

    /// Puts in what is known of its dependencies; `Err` names why it cannot run, and after which answer
    /// from the journal to say so.
    fn settle_known(&mut self, submission: &mut Submission) -> Result<(), (Unmet, Option<u64>)> {
        for dep in submission.deps.clone() {
            if let Some(seq) = self.replaying.get(&dep) {
                if let Some(outcome) = self.replays.get(&(*seq, dep)) {
                    settle(submission, dep, outcome).map_err(|unmet| (unmet, Some(*seq)))?;
                }
                continue;
            }
            match self.notes.get(&dep).and_then(|note| note.ended) {
                Some(Ended { artefact: Some(hash), .. }) => {
                    super::settle::put(submission, dep, &Arg::Artefact(hash));
                }
                Some(Ended { status, .. }) if status != Status::Ok && !submission.options.accept_failed => {
                    return Err((Unmet::failed(submission, dep, status, None), None));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, submission: Submission, deferred: bool) {
        if deferred {
            self.held.insert(submission.task, submission);
            return;
        }
        for dep in &submission.deps {
            if let Some(needed) = self.held.remove(dep) {
                self.dispatch(needed, false);
            }
        }
        self.in_flight += 1;
        self.request(Request::Submit(submission));
    }

    fn end_early(&mut self, task: TaskId, outcome: Arc<Outcome>, after: Option<u64>) {
        match after {
            Some(seq) => {
                self.replaying.insert(task, seq);
                self.replays.insert((seq, task), outcome);
            }
            None => self.deliver_own(task, outcome),
        }
    }

    fn deliver_own(&mut self, task: TaskId, outcome: Arc<Outcome>) {
        self.own.push_back(Completion { task, outcome, replayed: false });
    }

    fn take_replay(&mut self) -> Taken {
        let Some(((_, task), outcome)) = self.replays.pop_first() else { return Taken::Nothing };
        self.replaying.remove(&task);
        self.note_end(task, &outcome);
        Taken::Completion(Completion { task, outcome, replayed: true })
    }

    fn note_end(&mut self, task: TaskId, outcome: &Outcome) {
        if matches!(outcome.detail, Detail::Call(_)) {
            return;
        }
        if let Some(note) = self.notes.get_mut(&task) {
            note.ended = Some(Ended { status: outcome.status, artefact: artefact_of(outcome) });
        }
    }

    /// Fetches what the driver queued; false if there is nothing (in time).
    fn receive(&mut self, wait: Wait) -> bool {
        let mut inbox = lock(&self.shared.to_script);
        loop {
            if !inbox.completions.is_empty() {
                std::mem::swap(&mut inbox.completions, &mut self.arrived);
                return true;
            }
            if self.in_flight == 0 && wait == Wait::Forever || self.shared.draining.load(Ordering::Acquire) {
                return false;
            }
            match wait {
                Wait::No => return false,
                Wait::Forever => {
                    inbox.waiting = true;
                    inbox = self.shared.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
                }
                Wait::Until(end) => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    inbox.waiting = true;
                    let woken = self.shared.arrived.wait_timeout(inbox, left);
                    inbox = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn request(&self, request: Request) {
        let asleep = {
            let mut outbox = lock(&self.shared.to_driver);
            outbox.requests.push(request);
            !std::mem::replace(&mut outbox.told, true)
        };
        if asleep {
            (self.setup.wake)();
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.request(Request::End);
    }
}

/// The driver's end.
pub struct DriverEnd {
    shared: Arc<Shared>,
    outgoing: VecDeque<Completion>,
}

impl DriverEnd {
    /// Everything asked since the last time. Also hands over what `complete` gathered, so that a driver
    /// that looks here in every round never forgets an answer.
    pub fn requests(&mut self) -> Vec<Request> {
        self.flush();
        let mut outbox = lock(&self.shared.to_driver);
        outbox.told = false;
        std::mem::take(&mut outbox.requests)
    }

    /// A task ended; the script learns of it at the next `flush` or `requests`.
    pub fn complete(&mut self, task: TaskId, outcome: Arc<Outcome>) {
        self.outgoing.push_back(Completion { task, outcome, replayed: false });
    }

    /// How many of the completions handed over the script has taken. Later submissions know their outcomes;
    /// one made before may still name their tasks.
    pub fn taken(&self) -> u64 {
        self.shared.taken.load(Ordering::Acquire)
    }

    /// Hands over what `complete` gathered.
    pub fn flush(&mut self) {
        if self.outgoing.is_empty() {
            return;
        }
        let mut inbox = lock(&self.shared.to_script);
        inbox.completions.append(&mut self.outgoing);
        self.wake(inbox);
    }

    /// The answer to [`Request::Spawn`].
    pub fn spawned(&mut self, answer: Result<PoolInfo, PoolError>) {
        let mut inbox = lock(&self.shared.to_script);
        inbox.spawned = Some(answer);
        self.wake(inbox);
    }

    /// Stops the script: from now on nothing ends.
    pub fn drain(&mut self) {
        let inbox = lock(&self.shared.to_script);
        self.shared.draining.store(true, Ordering::Release);
        self.wake(inbox);
    }

    fn wake(&self, mut inbox: MutexGuard<'_, ToScript>) {
        let waiting = std::mem::replace(&mut inbox.waiting, false);
        drop(inbox);
        if waiting {
            self.shared.arrived.notify_one();
        }
    }
}

impl Drop for DriverEnd {
    /// A script never waits for a driver that is gone.
    fn drop(&mut self) {
        self.flush();
        self.drain();
    }
}

fn artefact_of(outcome: &Outcome) -> Option<Hash> {
    match &outcome.detail {
        Detail::Compile(result) => result.artefact,
        _ => None,
    }
}

/// Does this record answer the request? What failed for reasons outside the program is asked again, and so
/// is what ran into a tighter limit than the one it has now.
fn answers(outcome: &Outcome, options: &TaskOptions) -> bool {
    match outcome.status {
        Status::Timeout => options.timeout.is_some_and(|limit| limit <= outcome.elapsed_s),
        status => status.lasting(),
    }
}

#[cfg(test)]
#[path = "port_tests.rs"]
mod tests;
