//! What passes through the port: tasks as the script asks for them, as the driver gets them, and pools.
//!
//! Plain data of this room; what crosses a process boundary is in `model`.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash as _, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use super::recipe::RecipeId;
use crate::allocation::other::OtherJob;
pub use crate::allocation::{RootNode, Start};

use crate::journal::Answers;
use crate::model::{
    Arg, Blank, CommandSpec, CompactBytes, CompareSpec, CompileSpec, DepLabel, DepValue, ExecSpec, Function,
    Hash, Kind, MeasureSpec, Outcome, PoolId, SlotSetup, Sparse, Status, TaskId, TaskOptions,
};

/// What the script is told about its own run.
#[derive(Clone, Debug, Default)]
pub struct Campaign {
    /// The script as named on the command line.
    pub script: PathBuf,
    /// Its content.
    pub script_hash: Option<Hash>,
    /// Its folder, absolute.
    pub dir: PathBuf,
    /// What followed the script on the command line.
    pub args: Vec<String>,
    /// Seed of `math.random`.
    pub seed: u64,
    /// 0 unless `-v` (positive) or `-q` (negative) was given.
    pub verbosity: i8,
    /// When the batch system, or `--deadline`, ends it; none if that is not known.
    pub ends: Option<Instant>,
    /// How many tasks it may have on their way.
    pub most_queued: MostQueued,
    /// Cores of the root's node that it may use.
    pub cores: u32,
}

/// So many tasks may be on their way, submitted and not ended for the script: who submits one more waits. All that a queued
/// task takes in this process is bounded by it. No wait for room is for ever: what a task depends on was submitted before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MostQueued {
    /// How many, if their arguments are small.
    #[serde(rename = "most_queued")]
    pub tasks: u64,
    /// What all their arguments may take (B): who brings a tenth of that counts for a tenth of the tasks.
    pub argument_bytes: u64,
}

impl Default for MostQueued {
    fn default() -> Self {
        Self { tasks: 1_000_000, argument_bytes: u64::MAX }
    }
}

impl MostQueued {
    /// For how many more tasks one counts whose arguments take so much (B); small ones for none.
    pub fn weight(self, bytes: usize) -> u64 {
        if bytes < SMALL {
            return 0;
        }
        let share = bytes as u128 * u128::from(self.tasks) / u128::from(self.argument_bytes.max(1));
        u64::try_from(share).map_or(MOST_WEIGHT, |share| share.min(MOST_WEIGHT))
    }
}

/// More than all that may be, and never too much for a sum.
const MOST_WEIGHT: u64 = 1 << 40;
/// A million of those take no more than the rest of a task (B).
const SMALL: usize = 512;

/// What the journal already holds.
pub type Index = Arc<Answers>;

/// An outcome of an earlier run.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Its place in the journal.
    pub seq: u64,
    /// The surroundings it was recorded in, if they were.
    pub env: Option<Hash>,
    /// How the task ended then.
    pub outcome: Arc<Outcome>,
}

/// What a task is to do.
#[derive(Clone, Debug)]
pub enum Job {
    /// Run a Lua function in a slot.
    Call(CallJob),
    /// Run a program once.
    Exec(Box<ExecSpec>),
    /// Build.
    Compile(Box<CompileSpec>),
    /// Time a program.
    Measure(Box<MeasureSpec>),
    /// Time programs in turns.
    Compare(Box<CompareSpec>),
}

impl Job {
    /// Which of the five kinds it is.
    pub fn kind(&self) -> Kind {
        match self {
            Job::Call(_) => Kind::Call,
            Job::Exec(_) => Kind::Exec,
            Job::Compile(_) => Kind::Compile,
            Job::Measure(_) => Kind::Measure,
            Job::Compare(_) => Kind::Compare,
        }
    }

    /// The commands it is made of; a call has none.
    pub fn commands(&self) -> Vec<&CommandSpec> {
        match self {
            Job::Call(_) => Vec::new(),
            Job::Exec(spec) => vec![&spec.command],
            Job::Compile(spec) => vec![&spec.command],
            Job::Measure(_) | Job::Compare(_) => self.timed().into_iter().map(|spec| &spec.command).collect(),
        }
    }

    /// Calls that travel together in it, if it is made of such.
    pub(super) fn many(&self) -> Option<Many> {
        let Job::Call(call) = self else { return None };
        call.baggage.many
    }

    /// As how many tasks people count it.
    pub(super) fn count(&self) -> usize {
        self.many().map_or(1, |many| many.calls as usize)
    }

    /// Of those, how many have ended so. Where one of several calls failed, what became of the others nobody knows: those behind it did
    /// not run, and what the ones before it returned is lost.
    pub(super) fn ended(&self, outcome: &Outcome) -> usize {
        match outcome.status {
            Status::Ok => outcome.count(),
            Status::Error | Status::NonzeroExit | Status::Signal | Status::Timeout | Status::Oom => 1,
            _ => self.count(),
        }
    }

    /// What it brings along that may be large (B): what a function is called with, the standard input of programs.
    pub fn argument_bytes(&self) -> usize {
        match self {
            Job::Call(call) => call.payload.len(),
            _ => self.commands().iter().map(|command| command.stdin.size()).sum(),
        }
    }

    /// The words of its commands, and of what runs around them.
    pub(super) fn words(&self) -> Vec<&Arg> {
        let around = self.timed().into_iter().flat_map(|spec| spec.hooks.args());
        self.commands().into_iter().flat_map(|command| &command.argv).chain(around).collect()
    }

    /// The same, to be filled in.
    pub(super) fn words_mut(&mut self) -> Vec<&mut Arg> {
        match self {
            Job::Call(_) => Vec::new(),
            Job::Exec(spec) => spec.command.argv.iter_mut().collect(),
            Job::Compile(spec) => spec.command.argv.iter_mut().collect(),
            Job::Measure(_) | Job::Compare(_) => {
                let timed = self.timed_mut().into_iter();
                timed.flat_map(|spec| spec.command.argv.iter_mut().chain(spec.hooks.args_mut())).collect()
            }
        }
    }

    /// What it times.
    pub(super) fn timed(&self) -> Vec<&MeasureSpec> {
        match self {
            Job::Measure(spec) => vec![spec],
            Job::Compare(spec) => spec.variants.iter().map(|variant| &variant.spec).collect(),
            Job::Call(_) | Job::Exec(_) | Job::Compile(_) => Vec::new(),
        }
    }

    /// The same, to be filled in.
    pub(super) fn timed_mut(&mut self) -> Vec<&mut MeasureSpec> {
        match self {
            Job::Measure(spec) => vec![spec],
            Job::Compare(spec) => spec.variants.iter_mut().map(|variant| &mut variant.spec).collect(),
            Job::Call(_) | Job::Exec(_) | Job::Compile(_) => Vec::new(),
        }
    }

    /// The functions that look at its runs.
    pub fn functions_mut(&mut self) -> impl Iterator<Item = &mut Function> {
        self.timed_mut().into_iter().flat_map(MeasureSpec::functions_mut)
    }

    /// What tells it from others if it has no name.
    pub(super) fn what(&self) -> What {
        match self {
            Job::Call(call) => What::Function(call.class),
            _ => What::Command(
                self.commands().first().map(|command| command_line(command)).unwrap_or_default(),
            ),
        }
    }
}

/// What a task does, for people.
#[derive(Clone, Debug)]
pub enum What {
    /// The function of this class.
    Function(u64),
    /// This command, as far as it is known.
    Command(String),
}

/// A command as its author wrote it, as far as it is known.
pub(super) fn command_line(command: &CommandSpec) -> String {
    let word = |arg: &Arg| match arg {
        Arg::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Arg::Task(_) => "(a result)".into(), // of a call or a build that has not ended well
        Arg::Artefact(_) => "(a build)".into(),
    };
    let words = command.argv.iter().map(word).chain(command.shell.clone());
    words.collect::<Vec<_>>().join(" ")
}

/// Runs of one program take similar time.
pub(super) fn program_class(command: &CommandSpec) -> u64 {
    let mut hasher = FxHasher::default();
    match command.argv.first() {
        Some(Arg::Text(program)) => program.hash(&mut hasher),
        Some(Arg::Artefact(artefact)) => artefact.hash(&mut hasher),
        Some(Arg::Task(build)) => build.hash(&mut hasher),
        None => command.shell.hash(&mut hasher),
    }
    hasher.finish()
}

/// A function and its arguments, encoded by `script::raw`.
#[derive(Clone, Debug, Default)]
pub struct CallJob {
    /// Function and arguments.
    pub payload: CompactBytes,
    /// Calls of one function have one class: they take similar time.
    pub class: u64,
    /// What few calls have.
    pub baggage: Sparse<Baggage>,
}

/// What a call may have beside function and arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Baggage {
    /// What stands for the payload in the recipe, if the payload holds task numbers.
    pub identity: Option<Hash>,
    /// Bytecode no earlier submission carried. Workers need all code issued before a call, in any order.
    pub codes: Vec<(Hash, Arc<[u8]>)>,
    /// Artefacts whose paths the payload holds: they must be on the node.
    pub artefacts: Vec<Hash>,
    /// Results its arguments refer to that are there already.
    pub known: Vec<(TaskId, DepValue)>,
    /// What the programs, builds and measurements among those are called.
    pub labels: Vec<(TaskId, DepLabel)>,
    /// The payload is a batch of several [`calls`](crate::model::batch::calls).
    pub many: Option<Many>,
}

/// Calls that travel together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Many {
    /// How many.
    pub calls: u32,
    /// The number of the first, if it has one already: as the rest of others that have run since. Those of the others come
    /// after it, so that each has the number, and so the random numbers, it would have alone.
    pub first: Option<TaskId>,
}

impl Blank for Baggage {
    const BLANK: &'static Self = &Self {
        identity: None,
        codes: Vec::new(),
        artefacts: Vec::new(),
        known: Vec::new(),
        labels: Vec::new(),
        many: None,
    };
}

impl CallJob {
    /// The bytecode it carries, which is issued apart from it.
    pub(super) fn take_codes(&mut self) -> Vec<(Hash, Arc<[u8]>)> {
        if self.baggage.codes.is_empty() { Vec::new() } else { std::mem::take(&mut self.baggage.codes) }
    }
}

/// A task as the script asks for it.
#[derive(Clone, Debug)]
pub struct Order {
    /// Where to run; the driver's newest open pool if none (it opens a default one if need be).
    pub pool: Option<PoolId>,
    /// Options every task takes.
    pub options: Sparse<TaskOptions>,
    /// What to do.
    pub job: Job,
    /// Tasks whose results it refers to (`Arg::Task`, or the encoder's list).
    pub deps: Vec<TaskId>,
    /// Results among those that the script has already, as the argument they become.
    pub known: Vec<(TaskId, Arg)>,
    /// Do not run before a task that must run depends on it.
    pub deferred: bool,
}

/// A task on its way to the driver.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its number.
    pub task: TaskId,
    /// Where to run.
    pub pool: Option<PoolId>,
    /// Options every task takes.
    pub options: Sparse<TaskOptions>,
    /// What to do. What earlier tasks resulted in is filled in as far as the script had seen it.
    pub job: Job,
    /// What a call has none of that goes to no journal and waits for nothing.
    pub extra: Sparse<Extra>,
}

/// See [`Submission::extra`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extra {
    /// What it is found by; there for what goes to the journal.
    pub recipe: Option<Box<RecipeId>>,
    /// Nobody asked for it as such: cancelled, it was never a task to the author.
    pub auxiliary: bool,
    /// Tasks it still waits for. One may have ended unseen by the script: the driver settles it at once.
    pub deps: VecDeque<TaskId>,
}

impl Blank for Extra {
    const BLANK: &'static Self = &Self { recipe: None, auxiliary: false, deps: VecDeque::new() };
}

/// What the driver is asked for, in order.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // nearly all requests are submissions: a box each would be the waste, and what is rare is no larger
pub enum Request {
    /// Run this.
    Submit(Submission),
    /// End this task.
    Cancel(TaskId),
    /// Start workers; answer with [`DriverEnd::spawned`](super::port::DriverEnd::spawned). The script waits for it.
    Spawn(Box<PoolSpec>),
    /// Say why this task is not running; answer with [`DriverEnd::explained`](super::port::DriverEnd::explained). The
    /// script waits for it.
    Explain(TaskId),
    /// Start further workers for this pool, in this other job if there is one; answered as `Spawn` is.
    Grow(PoolId, Box<(Growth, Option<OtherJob>)>),
    /// Retire the workers of this pool once its tasks are done.
    Close(PoolId),
    /// Slots need not keep this shared value.
    Forget(Hash),
    /// Bytecode that came with a call which needs no worker: a later one may need it there.
    Code(Vec<(Hash, Arc<[u8]>)>),
    /// Nothing to do: the journal had this task's outcome.
    Replayed(Kind, Sparse<TaskOptions>, Arc<Outcome>),
    /// Nothing to do: the script's end knew that this task cannot run.
    Unrun(Kind, Sparse<TaskOptions>, Option<Box<What>>, Arc<Outcome>),
    /// The functions of this class were written there: `campaign.lua:3`.
    Place(u64, String),
    /// The journal is to say that it answered tasks with these keys.
    Answered(Vec<Hash>),
    /// People should know this.
    Notice(String),
    /// The state of this name is now so.
    Keep(Box<(String, serde_json::Value)>),
    /// The script has ended and this runs: a `<close>` variable, a `__gc`.
    Leave(String),
    /// It only told how it is used: no run, if nothing else was asked for.
    OnlyUsage,
    /// The script is over: nothing will follow.
    End,
}

/// `spawn{…}`: what was asked; `None` leaves it to the command line and then to the driver.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolSpec {
    /// Workers; as many as the allocation has if none.
    pub workers: Option<u32>,
    /// Workers on each node.
    pub per_node: Option<u32>,
    /// Slots of each worker; one for each core if none.
    pub slots: Option<u32>,
    /// GPUs of each node, where they cannot be seen or not all are to be used; those that are seen if none.
    pub gpus: Option<u32>,
    /// What its tasks share out by name, and how much there is.
    pub resources: BTreeMap<String, u32>,
    /// Only these hosts; all if empty.
    pub hosts: Vec<String>,
    /// How workers come.
    pub start: Option<Start>,
    /// What becomes of the root's own node.
    pub root_node: RootNode,
    /// What becomes of a worker on another node than planned.
    pub misplaced: Misplaced,
    /// After how many faults of a node nothing more starts there.
    pub quarantine: Quarantine,
    /// Set for every task, on top of the scrubbed environment.
    pub env: BTreeMap<String, String>,
    /// How its slots begin.
    pub setup: SlotSetup,
    /// Artefacts whose paths `init` holds: they must be on a node before its first call.
    pub artefacts: Vec<Hash>,
    /// The library has it for itself: no task goes there that does not name it.
    pub aside: bool,
    /// The newest pool that is there will do, and one for tasks that name none is opened only where there is none.
    pub any: bool,
}

impl PoolSpec {
    /// With `defaults` where it leaves something open.
    pub fn or(self, defaults: &Self) -> Self {
        Self {
            workers: self.workers.or(defaults.workers),
            per_node: self.per_node.or(defaults.per_node),
            slots: self.slots.or(defaults.slots),
            gpus: self.gpus.or(defaults.gpus),
            resources: self.resources,
            hosts: if self.hosts.is_empty() { defaults.hosts.clone() } else { self.hosts },
            start: self.start.or(defaults.start),
            root_node: self.root_node,
            misplaced: self.misplaced,
            quarantine: self.quarantine,
            env: self.env,
            setup: self.setup,
            artefacts: self.artefacts,
            aside: self.aside,
            any: self.any,
        }
    }
}

/// What becomes of a worker on another node than planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Misplaced {
    /// The pool cannot be.
    #[default]
    Refused,
    /// It is told on stderr, and works where it is.
    Told,
}

/// After how many faults of a node a pool starts nothing there any more; never, if none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine(pub Option<u32>);

impl Default for Quarantine {
    fn default() -> Self {
        Self(Some(3))
    }
}

/// `pool:grow{…}`: what was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Growth {
    /// Workers more.
    pub workers: Option<u32>,
    /// Workers more on each node.
    pub per_node: Option<u32>,
    /// On these hosts; on those of the pool if empty.
    pub hosts: Vec<String>,
    /// On the nodes of this job of the user's, which is another than the one the root may be in.
    pub job: Option<String>,
}

/// A pool whose workers are ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolInfo {
    /// Its number.
    pub id: PoolId,
    /// Its workers.
    pub workers: Vec<WorkerInfo>,
}

/// One worker of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Its number.
    pub id: u32,
    /// Where it runs.
    pub host: String,
    /// Slots it offers.
    pub slots: u32,
    /// Cores it may use.
    pub cores: u32,
    /// GPUs of its node.
    pub gpus: u32,
    /// How it came: `local`, `spawn` or `static`.
    pub start: String,
    /// Does it take any measurement, or (it shares its node with the root) only what others cannot?
    pub measures: bool,
}

/// Why there is no pool: what, where and what to do instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct PoolError(pub String);

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
