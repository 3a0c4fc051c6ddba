//! What the journal says of a run itself: how it began, what it answered against all appearances, how it ended.
//!
//! Plain data. Which run recorded what, its readers find by where the lines stand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Hash, Retry, Status};

/// One run of the script, or of `harness rerun`; while it lasts it holds the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Version of harness.
    pub version: String,
    /// `model::PROTOCOL` of that harness.
    pub protocol: u32,
    /// Content of the script in this run.
    pub script_hash: Option<Hash>,
    /// When it began, s since 1970.
    pub started_unix_s: f64,
    /// Process of the root.
    pub pid: u32,
    /// Host of the root.
    pub host: String,
    /// The batch job it ran in; none in records of earlier versions.
    #[serde(default)]
    pub job: Option<BatchJob>,
    /// The path of the script in this run; none of a repetition, and in records of earlier versions.
    #[serde(default)]
    pub script: Option<String>,
    /// The arguments of the script; none in records of earlier versions.
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// Which recorded ends it tries again; none in records of earlier versions.
    #[serde(default)]
    pub retry: Retry,
    /// No script ran: something recorded was repeated (`harness rerun`). Records of earlier versions do not say, but for a
    /// [`HowEnded::Repeated`].
    #[serde(default)]
    pub repeats: bool,
}

/// How a run of the script ended: its last line. It is absent where the root was killed, and in journals of earlier versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// When, s since 1970.
    pub ended_unix_s: f64,
    /// In one word.
    pub how: HowEnded,
    /// The exit code.
    pub exit_code: u8,
    /// By what it was stopped, or what is wrong.
    pub why: Option<String>,
    /// Ends of tasks it recorded.
    pub recorded: usize,
    /// Changes of states it recorded; 0 in records of earlier versions.
    #[serde(default)]
    pub states: usize,
    /// Does the next run come further for this one: it need not repeat a task, a state has changed, or it begins with what
    /// this one did not come to? None in records of earlier versions.
    #[serde(default)]
    pub gained: Option<bool>,
    /// Tasks the script saw end, by how.
    pub ended: BTreeMap<Status, usize>,
    /// Of those, how many the journal answered.
    pub replayed: usize,
    /// Tasks it asked for that had not ended.
    pub unfinished: usize,
    /// It wanted for time: the deadline came, or TERM in a job whose end was not known, or nothing that was left would have ended
    /// before it, or the script asked to be run again. Not known of runs of earlier versions.
    #[serde(default)]
    pub is_out_of_time: bool,
    /// If so, and no end was recorded that answers: the keys of what ran then. The next run begins with others.
    #[serde(default)]
    pub in_vain: Vec<Hash>,
}

impl SessionEnd {
    /// Did the script ask for nothing and keep nothing?
    pub fn is_empty(&self) -> bool {
        self.recorded + self.states + self.unfinished + self.replayed == 0 && self.ended.is_empty()
    }
}

/// How a run of the script ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HowEnded {
    /// The script came to its end, or to `os.exit`.
    Finished,
    /// It raised an error, or there were no workers.
    Failed,
    /// It was stopped in an orderly way, to be run again.
    Stopped,
    /// It was stopped at once.
    Interrupted,
    /// No script ran: something recorded was repeated (`harness rerun`).
    Repeated,
}

/// A job of a batch system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchJob {
    /// The batch system, for people.
    pub scheduler: String,
    /// The job's id there.
    pub id: String,
}

/// Tasks that a run answered from the journal although, as its readers would have it, a later version had taken their place:
/// they were asked for last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// By their keys.
    pub keys: Vec<Hash>,
    /// When, s since 1970.
    pub answered_unix_s: f64,
}
