//! How far a campaign is, as it answers `harness status`: one line of JSON on a socket of its host.
//!
//! Plain data; who asks and who answers need not be of one version, so fields may be missing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BatchJob, Kind, Status};

/// Version of the answer.
pub const STATUS_SCHEMA: &str = "harness.status/1";

/// A campaign at work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CampaignStatus {
    /// [`STATUS_SCHEMA`].
    pub schema: String,
    /// `running` or `stopping`.
    pub state: String,
    /// The script as named on the command line.
    pub script: String,
    /// Its journal.
    pub journal: String,
    /// Host of the root.
    pub host: String,
    /// Process of the root.
    pub pid: u32,
    /// The batch job it is in.
    pub job: Option<BatchJob>,
    /// Why it is stopping, if it is.
    pub stopping: Option<String>,
    /// How long it has been running, s.
    pub running_s: f64,
    /// How long the rest will take, as far as that can be said, s.
    pub left_s: Option<f64>,
    /// So many tasks are on their way, as many as may be (`--most-queued`), and the script waits for one to end.
    pub full: Option<u64>,
    /// Tasks that ran to their end in a minute, over the last minutes; none before the first was sent off.
    pub per_minute: Option<f64>,
    /// Tasks, by kind.
    pub kinds: BTreeMap<Kind, KindStatus>,
    /// Ended tasks, by how.
    pub ended: BTreeMap<Status, usize>,
    /// Of those, how many the journal answered.
    pub replayed: usize,
    /// Why tasks failed; the first so many ways to fail.
    pub failures: Vec<FailureStatus>,
    /// Workers, and what runs on them.
    pub workers: Vec<WorkerStatus>,
    /// Tasks that wait, by reason.
    pub waiting: Vec<WaitingStatus>,
}

/// Tasks of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KindStatus {
    /// All.
    pub submitted: usize,
    /// On a worker, and not in a queue there.
    pub running: usize,
    /// Ended, in whatever way.
    pub done: usize,
    /// Of those, the ones that did not end well.
    pub failed: usize,
}

/// Tasks that failed alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailureStatus {
    /// How many.
    pub count: usize,
    /// Which, where and why, in a line.
    pub text: String,
}

impl FailureStatus {
    /// Of lines of [`failures`](super::failures()).
    pub fn of_lines(lines: Vec<(String, usize)>) -> Vec<Self> {
        lines.into_iter().map(|(text, count)| Self { count, text }).collect()
    }
}

/// One worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerStatus {
    /// Its number.
    pub id: u32,
    /// Where it is.
    pub host: String,
    /// Its pool.
    pub pool: Option<u32>,
    /// `starting`, `ready`, `quarantined`, `parked`, `retiring` or `gone`.
    pub stage: String,
    /// Tasks at a time.
    pub slots: u32,
    /// GPUs of its node.
    pub gpus: u32,
    /// A measurement has its node.
    pub measured: bool,
    /// Why it is in quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What runs there.
    pub tasks: Vec<RunningStatus>,
    /// Calls and short programs that were sent ahead.
    pub ahead: usize,
}

/// A task that runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunningStatus {
    /// Its number.
    pub task: u64,
    /// What people know it by.
    pub name: String,
    /// Since it was sent off, s.
    pub since_s: f64,
}

/// Tasks that wait for the like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WaitingStatus {
    /// In one word.
    pub reason: String,
    /// How many.
    pub count: usize,
    /// What the first of them waits for, in a sentence.
    pub why: String,
    /// What people know them by; the first that go.
    pub first: Vec<String>,
}
