//! What the processes say to each other. Frames hold batches of these; see `wire`. A message is moved many times on its way: what is large
//! in one that is said once is boxed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{
    Attempt, CommandSpec, CompactBytes, CompareSpec, CompileSpec, Env, ExecSpec, Found, Gpus, Hash,
    Inspection, Kind, Limits, MeasureSpec, Outcome, Pin, PoolId, SlotId, TaskId, WorkerId, encoding,
};

/// Raised with every change of a message: root and workers must agree.
pub const PROTOCOL: u32 = 18;

/// Artefacts travel in pieces of at most this many bytes.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Plain data that travels between processes. One part of it may be large, and is then not copied on its way.
pub trait Message: Serialize + DeserializeOwned + Clone {
    /// The part that may be large, where it has one.
    fn bulk(&self) -> Option<&Bytes> {
        None
    }

    /// The same, to be put in or taken out.
    fn bulk_mut(&mut self) -> Option<&mut CompactBytes> {
        None
    }
}

/// What a worker tells of itself first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Must equal [`PROTOCOL`].
    pub protocol: u32,
    /// Identifies the executable: root and workers must run the same.
    pub build: String,
    /// `gethostname`.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// What of the node moves figures.
    pub env: Box<Env>,
    /// Cores it may use (its affinity mask).
    pub cores: u32,
    /// Physical ones, by socket.
    pub sockets: Vec<u16>,
    /// Memory of the node, B.
    pub memory_bytes: u64,
    /// GPUs of the node it may use; none if there is nothing that tells of GPUs.
    pub gpus: Option<Gpus>,
}

/// What the root answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The worker's number.
    pub worker: WorkerId,
    /// Slots it offers.
    pub slots: u16,
    /// Is its node of a job that is not the root's, and may end before?
    pub joined: bool,
    /// Folder of the campaign script.
    pub campaign_dir: String,
    /// How long waits may take.
    pub limits: Box<Limits>,
    /// Seed of the campaign.
    pub seed: u64,
    /// Set for every task, on top of the scrubbed environment, in this order.
    pub env: Vec<(String, String)>,
    /// How its slots begin.
    pub setup: SlotSetup,
}

/// How the slots of a pool begin, and what they may take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlotSetup {
    /// The script's `init`: runs in each slot before its first call.
    pub init: Option<InitCall>,
    /// Where calls run, instead of the campaign's folder (relative to it).
    pub cwd: Option<String>,
    /// Most that a slot's Lua values may take, B. C code gets a bound derived from it.
    pub memory: Option<u64>,
}

/// A function of the script that makes a slot ready. It brings its own bytecode: slots start at any time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InitCall {
    /// The function, in the encoding of `script::raw`.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// The bytecode it needs: hash and content.
    pub codes: Vec<(Hash, serde_bytes::ByteBuf)>,
    /// Seconds to its forced end.
    pub timeout: f64,
}

/// Work for the keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// Run once.
    Exec(ExecSpec),
    /// Build.
    Compile(CompileSpec),
    /// Time repeatedly.
    Measure(Box<MeasureSpec>),
    /// Time in turns.
    Compare(CompareSpec),
}

impl Work {
    /// The commands it is made of.
    pub fn commands(&self) -> Vec<&CommandSpec> {
        match self {
            Work::Exec(spec) => vec![&spec.command],
            Work::Compile(spec) => vec![&spec.command],
            Work::Measure(spec) => vec![&spec.command],
            Work::Compare(spec) => spec.variants.iter().map(|variant| &variant.spec.command).collect(),
        }
    }

    /// The same, to be changed.
    pub fn commands_mut(&mut self) -> Vec<&mut CommandSpec> {
        match self {
            Work::Exec(spec) => vec![&mut spec.command],
            Work::Compile(spec) => vec![&mut spec.command],
            Work::Measure(spec) => vec![&mut spec.command],
            Work::Compare(spec) => {
                spec.variants.iter_mut().map(|variant| &mut variant.spec.command).collect()
            }
        }
    }
}

/// The nodes an attempt has together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gang {
    /// The names the batch system knows them by, that of the leader first.
    pub hosts: Vec<String>,
    /// Their pool.
    pub pool: PoolId,
    /// In the environment of every process of the attempt, on every node, and of no other in the world.
    pub mark: String,
    /// Nothing else of ours runs on them.
    pub whole: bool,
    /// Names of the variables their pool sets: ranks on other nodes are to see them.
    pub variables: Vec<String>,
}

/// An attempt at a task of the keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The task.
    pub task: TaskId,
    /// Which try.
    pub attempt: Attempt,
    /// Seconds to its forced end.
    pub timeout: Option<f64>,
    /// Cores it was given.
    pub cores: u32,
    /// Which of them it is to be kept on.
    pub pin: Option<Pin>,
    /// Nothing else of ours runs on the node meanwhile, but what has cores or a socket of its own.
    pub alone: bool,
    /// The nodes of an MPI application.
    pub gang: Option<Gang>,
    /// What to do.
    pub work: Work,
}

/// What a future inside a call's arguments became.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DepValue {
    /// A call's values, in the encoding of `script::raw`.
    Values(CompactBytes),
    /// A build's artefact: becomes its path on the node.
    Artefact(Hash),
    /// Any other record (or any, with `accept_failed`).
    Record(Box<DepRecord>),
}

/// How a task ended, with what its record says besides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DepRecord {
    /// What was asked for.
    pub label: DepLabel,
    /// What came of it.
    pub outcome: Outcome,
}

/// What kind of task it is and what the author called it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DepLabel {
    /// Kind of task.
    pub kind: Kind,
    /// `name` of the task.
    pub name: Option<String>,
    /// `params` of the task, as JSON text: messages cannot carry JSON itself.
    pub params: Option<String>,
}

/// A call that runs longer than this is announced by its worker, and those behind it in its slot go back to the root, which
/// sends nothing to wait behind calls that usually do.
pub const LONG_CALL: Duration = Duration::from_millis(20);

/// A program that runs longer than this is announced by its keeper, with all that waits to be told; those sent ahead that wait behind such
/// ones alone go back to the root, which sends nothing ahead of programs that usually do.
pub const LONG_PROGRAM: Duration = Duration::from_millis(8);

/// A call for a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallTask {
    /// The task.
    pub task: TaskId,
    /// Which try.
    pub attempt: Attempt,
    /// What its random numbers follow from beside the campaign's seed: the same in every run.
    pub seed: u64,
    /// Seconds to its forced end.
    pub timeout: Option<f64>,
    /// In a slot process that has run nothing before it.
    pub fresh: bool,
    /// GPUs it was given, if it asked for some.
    pub gpus: Option<Gpus>,
    /// Its nodes, if it asked for any.
    pub gang: Option<Box<Gang>>,
    /// It is several calls that travel together, one after the other, each as if it were alone.
    pub many: bool,
    /// Function and arguments, in the encoding of `script::raw`; of several [their batch](super::batch::calls).
    pub payload: CompactBytes,
    /// The results its arguments refer to.
    pub deps: Vec<(TaskId, DepValue)>,
}

/// What the root has of a module that a slot requires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Module {
    /// Lua: its chunk name and text.
    Lua(String, serde_bytes::ByteBuf),
    /// Written in C: its path on the root, to be tried on the node.
    C(String),
    /// Nothing: what was tried.
    Missing(String),
}

/// Root to worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Answer to hello.
    Welcome(Box<Welcome>),
    /// Hand this to the keeper.
    Run(Box<Run>),
    /// Hand this to a slot.
    Call(CallTask),
    /// Bytecode, before the first call that needs it.
    Code(Hash, #[serde(with = "serde_bytes")] Vec<u8>),
    /// Give this call back if it has not begun.
    Recall(TaskId, Attempt),
    /// End this attempt now.
    Kill(TaskId, Attempt),
    /// An attempt with this [`Gang::mark`] is over: end what it left on this node, and answer `Swept`.
    Sweep(TaskId, Attempt, String),
    /// A task will need this artefact: answer `Have` or `Want`.
    Offer(Hash),
    /// Send me this artefact.
    Want(Hash),
    /// Send no more of this artefact.
    Unwanted(Hash),
    /// A piece of an artefact: content, offset, bytes, is it the last?
    Chunk(Hash, u64, #[serde(with = "serde_bytes")] Vec<u8>, bool),
    /// What there is of the module of this name.
    Module(String, Module),
    /// Slots need not keep this shared value.
    Forget(Hash),
    /// Poll rarely (true) while a measurement has the node.
    Quiet(bool),
    /// No pool wants you yet: wait.
    Parked,
    /// The pool is closed: end what was started for it.
    Retire,
    /// End.
    Exit,
    /// End without MPI_Finalize: a rank was lost, and would be waited for.
    Quit,
    /// You cannot join, and why.
    Refused(String),
}

/// Worker to root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// First message.
    Hello(Box<Hello>),
    /// The keeper is up: work may come.
    Ready,
    /// The attempt has begun.
    Started(TaskId, Attempt),
    /// The attempt has ended.
    Done(TaskId, Attempt, #[serde(with = "encoding::shared")] Arc<Outcome>),
    /// The call or program had not begun and will not, or nobody knows how it ended in a slot that was killed.
    Recalled(TaskId, Attempt),
    /// Nothing of the attempt is left on this node.
    Swept(TaskId, Attempt),
    /// The artefact is in my store.
    Have(Hash),
    /// Send me this artefact.
    Want(Hash),
    /// I cannot send the artefact that you want, and why.
    Gone(Hash, String),
    /// I cannot keep the artefact that you offered, and why.
    Unkept(Hash, String),
    /// What you sent of the artefact that you offered is something else, and how that was seen.
    Damaged(Hash, String),
    /// A piece of an artefact.
    Chunk(Hash, u64, #[serde(with = "serde_bytes")] Vec<u8>, bool),
    /// A slot requires this module.
    NeedModule(String),
    /// A sign of life.
    Alive,
    /// I cannot go on, and why.
    Dying(String),
    /// Nothing of mine is left here; I disconnect now.
    Bye,
}

/// Worker to keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToKeeper {
    /// Once, first.
    Setup(Box<Welcome>),
    /// Begin this attempt.
    Run(Box<Run>),
    /// End this attempt now.
    Kill(TaskId, Attempt),
    /// An attempt of a gang is over: end what carries this mark, and answer `Swept`.
    Sweep(TaskId, Attempt, String),
    /// Start a slot process; its socket and its gate come with this message, in this order.
    StartSlot(SlotId),
    /// Tell a slot process to look at its gate: what it runs is to stop.
    StopSlot(SlotId),
    /// Kill a slot process and all it started.
    KillSlot(SlotId),
    /// What there is of the module of this name.
    Module(String, Module),
    /// Do you live? Answer `Alive`.
    Ping,
}

/// How a slot process ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SlotEnd {
    /// It could not be started, and why.
    NotStarted(String),
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// By SIGKILL, and this counter of the kernel's says that it was for memory.
    KilledForMemory(String),
}

/// Keeper to worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromKeeper {
    /// Work may come.
    Ready,
    /// The attempt has begun.
    Started(TaskId, Attempt),
    /// The attempt has ended.
    Done(TaskId, Attempt, #[serde(with = "encoding::shared")] Arc<Outcome>),
    /// The attempt has not begun and will not: it is cancelled, or what is before it is long.
    Recalled(TaskId, Attempt),
    /// Nothing of the attempt is left on this node.
    Swept(TaskId, Attempt),
    /// A slot process ended.
    SlotEnded(SlotId, SlotEnd),
    /// A function that looks at a run requires this module.
    NeedModule(String),
    /// Answer to a ping.
    Alive,
}

/// What a slot must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotInit {
    /// Number of its worker.
    pub worker: WorkerId,
    /// Its own number.
    pub slot: SlotId,
    /// `gethostname`.
    pub host: String,
    /// Folder of the campaign script.
    pub campaign_dir: String,
    /// Folder of the node's artefacts.
    pub store_dir: String,
    /// Seed of the campaign.
    pub seed: u64,
    /// How it begins.
    pub setup: SlotSetup,
    /// Memory of the node, B: more is not asked of the system.
    pub node_memory: u64,
}

/// Worker to slot, or the keeper to one that looks at a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToSlot {
    /// Once, first.
    Init(Box<SlotInit>),
    /// Run this.
    Call(CallTask),
    /// Bytecode, before the first call that needs it.
    Code(Hash, #[serde(with = "serde_bytes")] Vec<u8>),
    /// Answer to `NeedModule`.
    Module(String, Module),
    /// This shared value need not be kept.
    Forget(Hash),
    /// Look at this run; what it wrote comes with this message as two files, standard output first.
    Inspect(Box<Inspection>),
}

/// Slot to worker, or to the keeper where it looks at a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromSlot {
    /// The script's `init`, if there is one, has run: calls can begin.
    Ready,
    /// It has failed; the process ends.
    InitFailed(Box<Outcome>),
    /// The call ended.
    Done(TaskId, Attempt, #[serde(with = "encoding::shared")] Arc<Outcome>),
    /// `require` of a module that is not here yet.
    NeedModule(String),
    /// What the next function found in the run.
    Found(Found),
}

macro_rules! shortened {
    ($($message:ident),+) => {$(
        impl $message {
            /// What is said instead where it has so many bytes, more than a message may have: of an end only that.
            pub fn shortened(self, bytes: usize, limit: usize) -> Self {
                match self {
                    Self::Done(task, attempt, outcome) => {
                        Self::Done(task, attempt, Arc::new(outcome.too_large(bytes, limit)))
                    }
                    other => other,
                }
            }
        }
    )+};
}

shortened!(FromWorker, FromKeeper, FromSlot);

macro_rules! bulk_is {
    ($($message:ident { $variant:ident($($of:ident),+) => $part:expr, $part_mut:expr })+) => {$(
        impl Message for $message {
            fn bulk(&self) -> Option<&Bytes> {
                match self {
                    Self::$variant($($of),+) => $part,
                    _ => None,
                }
            }

            fn bulk_mut(&mut self) -> Option<&mut CompactBytes> {
                match self {
                    Self::$variant($($of),+) => $part_mut,
                    _ => None,
                }
            }
        }
    )+};
}

bulk_is! {
    ToWorker { Call(call) => call.payload.shared(), Some(&mut call.payload) }
    ToSlot { Call(call) => call.payload.shared(), Some(&mut call.payload) }
    FromSlot { Done(_task, _attempt, outcome) => outcome.values().and_then(CompactBytes::shared), Arc::make_mut(outcome).values_mut() }
    FromWorker { Done(_task, _attempt, outcome) => outcome.values().and_then(CompactBytes::shared), Arc::make_mut(outcome).values_mut() }
}

impl Message for ToKeeper {}
impl Message for FromKeeper {}
/// How a root is called.
impl Message for String {}
