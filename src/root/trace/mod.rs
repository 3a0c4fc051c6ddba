//! The trace of a campaign (`--trace`): all that the script asked of the port and all that it was answered, in order, and what
//! the scheduler heard and did meanwhile. JSON Lines, so that people and tools read it; `replay` reads it back.
//!
//! A line is `{"t": seconds, "script": {…}}`, `{"t": …, "event": {…}}` or `{"t": …, "action": {…}}`; the first one is the header.
//! Outcomes stand there exactly, as in a journal. Nothing here decides anything, and nobody waits for it.

mod scribe;
mod sink;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) use self::scribe::Scribe;
pub use self::sink::TraceError;
pub(super) use self::sink::{Sink, Trace};
use super::order::{Growth, Job, MostQueued, Order, PoolInfo, PoolSpec, command_line};
use super::recipe;
use crate::model::human::{shortened, subject, visible};
use crate::model::{Hash, Kind, Outcome, PoolId, RecipeParts, TaskId, recipe_key};

/// Version of the trace's format; a reader refuses any other.
pub const TRACE_SCHEMA: &str = "harness.trace/1";

/// First line of a trace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`TRACE_SCHEMA`]. First, so that a file is known by its beginning.
    pub schema: String,
    /// Of the harness that wrote it.
    pub version: String,
    /// The same; what calls were given and returned is encoded so.
    pub protocol: u32,
    /// The script, absolute.
    pub script: String,
    /// Its content.
    pub script_hash: Hash,
    /// What followed it on the command line.
    pub args: Vec<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// How many tasks the script could have on their way.
    #[serde(flatten)]
    pub most_queued: MostQueued,
    /// Cores of the root's node that it could use.
    #[serde(default)]
    pub cores: u32,
    /// When the campaign began (s).
    pub started_unix_s: f64,
    /// What earlier runs kept, by name.
    pub kept: BTreeMap<String, Value>,
}

/// What passed through the port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// The script asked for a task.
    Submit(Asked),
    /// It gave one up.
    Cancel { task: TaskId },
    /// It asked for a pool, and got this.
    Spawn { asked: Crew, answer: Answer },
    /// It asked for further workers.
    Grow { pool: PoolId, asked: Crew, answer: Answer },
    /// It closed a pool.
    Close { pool: PoolId },
    /// It kept a state.
    Keep { name: String, value: Value },
    /// It asked why a task is not running.
    Explain { task: TaskId, answer: String },
    /// It looked at its clock (s).
    Now(f64),
    /// It asked how much time is left (s).
    Left(Option<f64>),
    /// It was given the end of a task.
    Took { task: TaskId, outcome: Arc<Outcome> },
    /// It looked or waited so many times in a row, and nothing came.
    Nothing(u64),
    /// It heard that the campaign is being stopped.
    Draining,
    /// It is over.
    End,
}

/// A task as it was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) task: TaskId,
    pub(super) kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) params: Option<Value>,
    /// Its command, or where its function was written.
    pub(super) what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pool: Option<PoolId>,
    /// All that makes it this task and no other, wherever it is asked for.
    pub(super) print: Hash,
    pub(super) parts: RecipeParts,
}

impl Asked {
    /// For people.
    pub(super) fn title(&self) -> String {
        let title = subject(self.name.as_deref(), self.params.as_ref());
        let what = shortened(&visible(&self.what), 60);
        match (title.is_empty(), what.is_empty()) {
            (false, _) => format!("{} {title}", self.kind.word()),
            (true, false) => format!("{} `{what}`", self.kind.word()),
            (true, true) => self.kind.word().into(),
        }
    }
}

/// How many workers were asked for, and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Crew {
    pub(super) workers: Option<u32>,
    pub(super) per_node: Option<u32>,
    pub(super) slots: Option<u32>,
    pub(super) gpus: Option<u32>,
    pub(super) hosts: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<String>,
}

impl From<&PoolSpec> for Crew {
    fn from(spec: &PoolSpec) -> Self {
        let PoolSpec { workers, per_node, slots, gpus, hosts, .. } = spec.clone();
        Self { workers, per_node, slots, gpus, hosts, job: None }
    }
}

impl From<&Growth> for Crew {
    fn from(growth: &Growth) -> Self {
        let Growth { workers, per_node, hosts, job } = growth.clone();
        Self { workers, per_node, hosts, job, ..Self::default() }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Pool(PoolInfo),
    Failed(String),
}

/// Tells tasks apart by what they are, in the order they are asked for: in another run, on a machine that has none of the
/// programs, they are the same.
#[derive(Default)]
pub(super) struct Prints {
    prints: Vec<Hash>,
    places: FxHashMap<u64, String>,
}

impl Prints {
    /// The functions of this class were written there.
    pub(super) fn place(&mut self, class: u64, place: &str) {
        self.places.insert(class, place.into());
    }

    /// Of the next task.
    pub(super) fn add(&mut self, task: TaskId, order: &Order) -> Asked {
        let print_of = |dep: TaskId| self.prints.get(dep.0 as usize).copied().unwrap_or_default();
        let (recipe, parts) = recipe::of(order, None, print_of, print_of);
        let print = recipe_key(&recipe);
        self.prints.push(print);
        let what = match &order.job {
            Job::Call(call) => self.places.get(&call.class).cloned().unwrap_or_default(),
            job => job.commands().first().map(|command| command_line(command)).unwrap_or_default(),
        };
        let (name, params, pool) = (recipe.name, recipe.params, order.pool);
        Asked { task, kind: recipe.kind, name, params, what, pool, print, parts }
    }
}
