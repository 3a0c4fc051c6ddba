//! `harness check`: runs a script whose tasks all end at once and well, with figures that are made up. No driver, worker or
//! program, and nothing is written: what is left is the plan, what the script asks for.
//!
//! What a journal has is answered from it. Where a script goes by its figures there are many plans: a second run with other
//! figures, which stops where it asks for something else, says from where on. Knows nothing of the script's language.

mod made_up;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde_bytes::ByteBuf;

use super::order::{Campaign, Index, Job, Order, PoolError, PoolInfo, Replay, WorkerInfo};
use super::port::{Completion, Port, Taken};
use super::setup::start_script;
use super::trace::{Crew, Prints};
use super::witness::Player;
use super::{ScriptEnd, ScriptMain};
use crate::machine;
use crate::model::{CallReturn, Hash, Kind, Outcome, PoolId, Status, TaskId};

/// A look at the clock takes so long (s): who waits by looking comes to an end.
const TICK: f64 = 1e-3;
/// What a task of which nothing is known takes, for clocks and budgets (s).
const SOME_TIME: f64 = 1.0;
/// More than these are not made up: there is no machine of so many nodes.
const MOST_WORKERS: u32 = 1 << 20;

/// What a dry run needs.
pub struct Terms {
    /// What the script is told about its run.
    pub campaign: Campaign,
    /// What a journal has.
    pub index: Index,
    /// So many tasks are enough.
    pub most: usize,
    /// So long it may take.
    pub time: Duration,
    /// What a call gives that returns as many values as its place says; the last one stands for more.
    pub calls: Vec<CallReturn>,
    /// How many values a function returns, of which that is the code.
    pub returned: fn(&[u8]) -> usize,
    /// Figures other than those of another run.
    pub other: bool,
    /// What that one asked for.
    pub first: Vec<Hash>,
}

/// What a script asked for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The tasks that would run, in order.
    pub tasks: Vec<Planned>,
    /// What makes each of all that were asked for this one and no other.
    pub prints: Vec<Hash>,
    /// Those that cannot run whatever the others come to, and why.
    pub failures: Vec<(Kind, String)>,
    /// Functions that would travel, as bytecode.
    pub functions: Vec<Vec<u8>>,
    /// Ends that the script was given and nobody measured.
    pub made_up: usize,
    /// It asks for more than enough.
    pub is_endless: bool,
    /// Where it asked for something else than the first run: the number of the task, and what it is called.
    pub parts: Option<(usize, String)>,
}

/// One of the tasks.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What it is.
    pub kind: Kind,
    /// Builds with the same are one build.
    pub build: Option<Hash>,
    /// What it would take.
    pub cost: Cost,
    /// Nodes that it has together.
    pub nodes: u32,
}

/// What a task would take (s).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cost {
    /// Nothing: the journal has it.
    Nothing,
    /// What tasks of its kind and name took.
    Took(f64),
    /// Its `timeout`.
    AtMost(f64),
    /// Its `max_time`, which is passed where the least number of runs takes longer.
    Sampling(f64),
    /// Nobody knows.
    Unknown,
}

impl Cost {
    fn seconds(self) -> f64 {
        match self {
            Cost::Nothing => 0.0,
            Cost::Took(seconds) | Cost::AtMost(seconds) | Cost::Sampling(seconds) => seconds,
            Cost::Unknown => SOME_TIME,
        }
    }
}

/// Runs the script; the plan, and how the script ended: none if its time was over first. It goes on then, and whoever asked
/// has to end the process.
pub fn run(terms: Terms, script: ScriptMain) -> io::Result<(Plan, Option<ScriptEnd>)> {
    let plan = Arc::new(Mutex::new(Plan::default()));
    let Terms { campaign, index, most, time, calls, returned, other, first } = terms;
    let kept = index.states().clone();
    let planner = Planner {
        plan: plan.clone(),
        took: took(&index),
        most,
        calls,
        returned,
        values: FxHashMap::default(),
        other,
        first,
        prints: Prints::default(),
        known: BTreeMap::new(),
        ends: VecDeque::new(),
        held: FxHashMap::default(),
        pools: Vec::new(),
        clock: 0.0,
    };
    let port = Port::played(campaign, index, kept, Box::new(planner));
    let ended = match start_script(script, port)?.recv_timeout(time) {
        Ok(end) => Some(end),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => {
            return Err(io::Error::other("the script's thread ended in a panic: a defect of harness"));
        }
    };
    let plan = lock(&plan).clone();
    Ok((plan, ended))
}

fn lock(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What tasks of a kind and name took; those without a name are alike, too.
type Took = BTreeMap<(Kind, Option<String>), f64>;

/// The mean of what ended well.
fn took(index: &Index) -> Took {
    let mut sums = BTreeMap::<_, (f64, f64)>::new();
    for number in (0..index.len()).filter(|number| index.status(*number) == Status::Ok) {
        let (kind, elapsed_s) = index.took(number);
        let (sum, count) = sums.entry((kind, index.name(number).map(str::to_owned))).or_default();
        (*sum, *count) = (*sum + elapsed_s, *count + 1.0);
    }
    sums.into_iter().map(|(like, (sum, count))| (like, sum / count)).collect()
}

/// Answers with what he made up.
struct Planner {
    plan: Arc<Mutex<Plan>>,
    took: Took,
    most: usize,
    calls: Vec<CallReturn>,
    returned: fn(&[u8]) -> usize,
    /// How many values the functions of a class return.
    values: FxHashMap<u64, usize>,
    other: bool,
    first: Vec<Hash>,
    prints: Prints,
    /// Ends that the journal has, in recorded order: they come first.
    known: BTreeMap<(u64, TaskId), Arc<Outcome>>,
    /// Ends that are made up, in order.
    ends: VecDeque<(TaskId, Outcome)>,
    /// Tasks that do not run until another one needs them.
    held: FxHashMap<TaskId, (Planned, Outcome)>,
    pools: Vec<PoolInfo>,
    /// What the script's clock shows (s).
    clock: f64,
}

impl Player for Planner {
    fn place(&mut self, class: u64, place: &str) {
        self.prints.place(class, place);
    }

    fn submitted(&mut self, task: TaskId, order: &Order, known: Option<&Replay>) {
        let asked = self.prints.add(task, order);
        let shared = self.plan.clone();
        let mut plan = lock(&shared);
        let number = plan.prints.len();
        if self.other && plan.parts.is_none() && self.first.get(number) != Some(&asked.print) {
            plan.parts = Some((number, asked.title()));
        }
        plan.prints.push(asked.print);
        functions(order, &mut plan.functions);
        plan.is_endless = plan.is_endless || plan.tasks.len() >= self.most;
        if plan.is_endless || plan.parts.is_some() {
            return;
        }
        let build = match &order.job {
            Job::Compile(spec) => Some(Hash::of(&serde_json::to_vec(spec).unwrap_or_default())),
            _ => None,
        };
        let cost = if known.is_some() { Cost::Nothing } else { self.cost(order) };
        let nodes = order.options.placement.nodes.unwrap_or(1);
        let planned = Planned { kind: order.job.kind(), build, cost, nodes };
        if let Some(Replay { seq, outcome, .. }) = known {
            plan.tasks.push(planned);
            self.known.insert((*seq, task), outcome.clone());
            return;
        }
        let values = self.values(order);
        let call = self.calls.get(values.min(self.calls.len().saturating_sub(1)));
        let outcome = made_up::outcome(order, task, cost.seconds(), call, self.other);
        for dep in &order.deps {
            if let Some((needed, outcome)) = self.held.remove(dep) {
                plan.tasks.push(needed);
                self.ends.push_back((*dep, outcome));
            }
        }
        if order.deferred {
            self.held.insert(task, (planned, outcome));
            return;
        }
        plan.tasks.push(planned);
        self.ends.push_back((task, outcome));
    }

    fn unrun(&mut self, kind: Kind, outcome: &Outcome) {
        if outcome.status != Status::Skipped {
            let why = outcome.reason.clone().unwrap_or_default();
            lock(&self.plan).failures.push((kind, why));
        }
    }

    fn objection(&self) -> Option<String> {
        let plan = lock(&self.plan);
        let most = self.most;
        match plan.parts {
            _ if plan.is_endless => Some(format!("the dry run ends here: {most} tasks are enough")),
            Some(_) => Some("the dry run ends here: it asks for other tasks than before".into()),
            None => None,
        }
    }

    fn cancel(&mut self, task: TaskId) {
        let cancelled = || Outcome::failed(Status::Cancelled, "cancelled before it was needed");
        if let Some((_, outcome)) = self.ends.iter_mut().find(|(of, _)| *of == task) {
            *outcome = cancelled();
        } else if self.held.remove(&task).is_some() {
            self.ends.push_back((task, cancelled()));
        }
    }

    fn begins(&mut self, codes: &[(Hash, ByteBuf)]) {
        lock(&self.plan).functions.extend(codes.iter().map(|(_, code)| code.to_vec()));
    }

    fn workers(&mut self, of: Option<PoolId>, crew: &Crew) -> Result<PoolInfo, PoolError> {
        let number = of.map_or(self.pools.len(), |pool| pool.0 as usize);
        if number >= self.pools.len() {
            self.pools.push(PoolInfo { id: PoolId(number as u32), workers: Vec::new() });
        }
        let number = number.min(self.pools.len() - 1);
        let pool = &mut self.pools[number];
        let nodes = crew.hosts.len().max(1) as u32;
        let workers = crew.workers.unwrap_or(nodes.saturating_mul(crew.per_node.unwrap_or(1)));
        if workers > MOST_WORKERS {
            let text = format!("{workers} workers are more than any job has nodes for: ask for fewer");
            return Err(PoolError(text));
        }
        for _ in 0..workers {
            let id = pool.workers.len() as u32;
            let host = crew.hosts.get(id as usize % nodes as usize).cloned();
            let cores = machine::cores();
            pool.workers.push(WorkerInfo {
                id,
                host: host.unwrap_or_else(|| format!("made-up-{}", id + 1)),
                slots: crew.slots.unwrap_or(cores),
                cores,
                gpus: crew.gpus.unwrap_or(0),
                start: "local".into(),
                measures: true,
            });
        }
        Ok(pool.clone())
    }

    fn close(&mut self, _: PoolId) {}

    fn explain(&self, _: TaskId) -> String {
        "this is a dry run: nothing runs".into()
    }

    fn now(&mut self) -> f64 {
        self.clock += TICK;
        self.clock
    }

    fn left(&mut self) -> Option<f64> {
        None
    }

    fn take(&mut self, until: Option<f64>) -> Taken {
        if self.objection().is_some() {
            return Taken::Draining;
        }
        if let Some(((_, task), outcome)) = self.known.pop_first() {
            return Taken::Completion(Completion { task, outcome });
        }
        if let Some((task, outcome)) = self.ends.pop_front() {
            self.clock += outcome.elapsed_s;
            lock(&self.plan).made_up += 1;
            return Taken::Completion(Completion { task, outcome: Arc::new(outcome) });
        }
        self.clock = self.clock.max(until.unwrap_or_default());
        Taken::Nothing
    }
}

impl Planner {
    /// How many values a call gives, by its function: that comes with the first one of its class.
    fn values(&mut self, order: &Order) -> usize {
        let Job::Call(call) = &order.job else { return 0 };
        for (hash, code) in &call.baggage.codes {
            self.values.insert(hash.first_half(), (self.returned)(code));
        }
        self.values.get(&call.class).copied().unwrap_or(1)
    }

    fn cost(&self, order: &Order) -> Cost {
        let like = (order.job.kind(), order.options.name.clone());
        if let Some(seconds) = self.took.get(&like) {
            return Cost::Took(*seconds);
        }
        let sampling = match &order.job {
            Job::Measure(spec) if spec.runs.is_none() => Some(spec.max_time),
            Job::Compare(spec) => spec.max_time,
            _ => None,
        };
        match (sampling, order.options.timeout) {
            (Some(sampling), limit) if limit.is_none_or(|limit| sampling < limit) => Cost::Sampling(sampling),
            (_, Some(limit)) => Cost::AtMost(limit),
            (_, None) => Cost::Unknown,
        }
    }
}

/// The bytecode of an order's functions.
fn functions(order: &Order, all: &mut Vec<Vec<u8>>) {
    if let Job::Call(call) = &order.job {
        all.extend(call.baggage.codes.iter().map(|(_, code)| code.to_vec()));
    }
    let mut job = order.job.clone();
    for function in job.functions_mut() {
        all.extend(function.codes.iter().map(|(_, code)| code.to_vec()));
    }
}

#[cfg(test)]
mod tests;
