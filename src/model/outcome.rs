//! How tasks end. A crash is never a number: figures exist only beside `Status::Ok`, or as the samples
//! taken before a measurement failed.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::machine_fault::blames_node;
use super::{CompactBytes, CompareResult, Conditions, Hash, MeasureResult, batch, encoding, human};

/// How a task ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It did what was asked.
    Ok,
    /// A called function raised an error.
    Error,
    /// The program ended with a code that is not among the accepted ones.
    NonzeroExit,
    /// A signal ended the program.
    Signal,
    /// It ran into its time limit and was killed.
    Timeout,
    /// Memory ran out: the kernel killed it for that (with the kernel's evidence), or Lua met its slot's limit.
    Oom,
    /// The output was not what `verify` demands.
    VerifyFailed,
    /// A metric was not in the output.
    MetricMissing,
    /// The program could not be started.
    SpawnFailed,
    /// The compiler refused.
    CompileFailed,
    /// What it needs could not be prepared.
    SetupFailed,
    /// The request cannot be met here.
    Refused,
    /// A search gave it up.
    Pruned,
    /// Its worker was lost.
    LostWorker,
    /// The script or the user cancelled it.
    Cancelled,
    /// A task it depends on failed.
    Skipped,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 16] = [
        Status::Ok,
        Status::Error,
        Status::NonzeroExit,
        Status::Signal,
        Status::Timeout,
        Status::Oom,
        Status::VerifyFailed,
        Status::MetricMissing,
        Status::SpawnFailed,
        Status::CompileFailed,
        Status::SetupFailed,
        Status::Refused,
        Status::Pruned,
        Status::LostWorker,
        Status::Cancelled,
        Status::Skipped,
    ];

    /// The word the script and the journal use.
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Error => "error",
            Status::NonzeroExit => "nonzero_exit",
            Status::Signal => "signal",
            Status::Timeout => "timeout",
            Status::Oom => "oom",
            Status::VerifyFailed => "verify_failed",
            Status::MetricMissing => "metric_missing",
            Status::SpawnFailed => "spawn_failed",
            Status::CompileFailed => "compile_failed",
            Status::SetupFailed => "setup_failed",
            Status::Refused => "refused",
            Status::Pruned => "pruned",
            Status::LostWorker => "lost_worker",
            Status::Cancelled => "cancelled",
            Status::Skipped => "skipped",
        }
    }
}

impl Status {
    /// Would it end like this again? What the program did, it would do again; what the cluster, the user or the
    /// surroundings did, deserves another try.
    pub fn lasting(self) -> bool {
        match self {
            Status::Ok
            | Status::Error
            | Status::NonzeroExit
            | Status::Signal
            | Status::Timeout
            | Status::Oom
            | Status::VerifyFailed
            | Status::MetricMissing
            | Status::CompileFailed
            | Status::Pruned => true,
            Status::SpawnFailed
            | Status::SetupFailed
            | Status::Refused
            | Status::LostWorker
            | Status::Cancelled
            | Status::Skipped => false,
        }
    }
}

impl Status {
    /// How that ended which a task owes its own end to: of a skipped one what it waited for, or what that waited for
    /// (`task 3, which it depends on, ended compile_failed: …`); of all others their own status.
    pub fn cause(self, reason: &str) -> Status {
        let (mut status, mut rest) = (self, reason);
        while status == Status::Skipped {
            let Some((_, ended)) = rest.split_once(", ended ") else { break };
            let (word, why) = ended.split_once(": ").unwrap_or((ended, ""));
            let Some(cause) = Status::ALL.into_iter().find(|status| status.word() == word) else { break };
            (status, rest) = (cause, why);
        }
        status
    }
}

/// How one task ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// In one word.
    pub status: Status,
    /// Why, for people; always there unless the status is `ok`.
    pub reason: Option<String>,
    /// The node it ran on; empty if it never ran. No worker says it: the root knows where it is.
    pub host: CompactString,
    /// What it produced.
    pub detail: Detail,
    /// Seconds it occupied its slot.
    pub elapsed_s: f64,
    /// Under which conditions its programs ran, where that was looked at.
    #[serde(default)]
    pub conditions: Option<Box<Conditions>>,
}

impl Outcome {
    /// What it built, if it is a build that gave something.
    pub fn artefact(&self) -> Option<Hash> {
        if let Detail::Compile(result) = &self.detail { result.artefact } else { None }
    }

    /// An outcome without a result.
    pub fn failed(status: Status, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: Some(reason.into()),
            host: CompactString::default(),
            detail: Detail::None,
            elapsed_s: 0.0,
            conditions: None,
        }
    }

    /// What is told of it where its result makes a message of so many bytes, which is more than one may have.
    pub fn too_large(&self, bytes: usize, limit: usize) -> Self {
        let most = human::bytes(limit as u64);
        let reason = format!(
            "its result is too large to be sent: the message has {bytes} B, and the limit is {limit} B ({most}): let it write \
             to files, and return or print less"
        );
        Self { elapsed_s: self.elapsed_s, ..Self::failed(Status::Refused, reason) }
    }

    /// Is a function in it that was made on a worker?
    pub fn holds_bytecode(&self) -> bool {
        match &self.detail {
            Detail::Call(values) => !values.codes.is_empty(),
            Detail::Calls(values) => !values.codes.is_empty(),
            Detail::CallError(error) => error.value.as_ref().is_some_and(|value| !value.codes.is_empty()),
            _ => false,
        }
    }

    /// How many tasks it is the end of: of calls that travelled together, those that returned.
    pub fn count(&self) -> usize {
        match &self.detail {
            Detail::Calls(returned) => batch::messages(&returned.values).count(),
            _ => 1,
        }
    }

    /// What calls returned, encoded.
    pub fn values(&self) -> Option<&CompactBytes> {
        match &self.detail {
            Detail::Call(returned) => Some(&returned.values),
            Detail::Calls(returned) => Some(&returned.values),
            _ => None,
        }
    }

    /// The same, to be put in or taken out.
    pub fn values_mut(&mut self) -> Option<&mut CompactBytes> {
        match &mut self.detail {
            Detail::Call(returned) => Some(&mut returned.values),
            Detail::Calls(returned) => Some(&mut returned.values),
            _ => None,
        }
    }

    /// Is it the node that could not run this, as far as its end tells? On another one it may.
    pub fn blames_node(&self) -> bool {
        match self.status {
            Status::SpawnFailed => true,
            Status::SetupFailed => self.reason.as_deref().is_some_and(blames_node),
            _ => false,
        }
    }

    /// Did it do what was asked?
    pub fn ok(&self) -> bool {
        self.status == Status::Ok
    }
}

/// What a task produced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Nothing: it never ran, or was lost.
    None,
    /// A call's values.
    Call(CallReturn),
    /// What the first ones of several calls returned that travelled together.
    Calls(CallReturns),
    /// A call's error.
    CallError(Box<CallError>),
    /// A run of a program.
    Exec(Box<RunResult>),
    /// A build.
    Compile(Box<CompileResult>),
    /// A measurement.
    Measure(Box<MeasureResult>),
    /// A comparison.
    Compare(Box<CompareResult>),
}

/// What a called function returned, encoded by the slot for the root.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallReturn {
    /// The values, in the encoding of `script::raw`.
    pub values: CompactBytes,
    /// Code the values contain that the root did not issue: hash and bytecode.
    #[serde(with = "encoding::codes")]
    pub codes: Vec<(Hash, serde_bytes::ByteBuf)>,
    /// The first value as text, when it is a number, or a string that does not lie in `values` as it is.
    #[serde(with = "encoding::optional_bytes")]
    pub text: Option<serde_bytes::ByteBuf>,
    /// Where in `values` it begins, and its length (B), when it is a string that does.
    #[serde(default)]
    pub text_at: Option<(usize, usize)>,
}

impl CallReturn {
    /// The first value as text, when it is a string or a number (for use as a command's argument).
    pub fn first_as_text(&self) -> Option<&[u8]> {
        let there = self.text_at.and_then(|(begin, length)| self.values.get(begin..)?.get(..length));
        there.or(self.text.as_deref().map(Vec::as_slice))
    }
}

/// What calls that travelled together returned. If they took long, not all of them have run: the others are to be sent anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallReturns {
    /// The [`batch`] of the values of each.
    pub values: CompactBytes,
    /// Code the values contain that the root did not issue: hash and bytecode.
    #[serde(with = "encoding::codes")]
    pub codes: Vec<(Hash, serde_bytes::ByteBuf)>,
}

/// How a call failed: by an error that the function raised, by its limit, or with its process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallError {
    /// What `tostring` makes of it.
    pub message: String,
    /// Frames of the campaign's own files on the slot.
    pub traceback: String,
    /// The error value itself, encoded like a return value, if it can be shipped.
    pub value: Option<CallReturn>,
    /// Which of calls that travelled together it was, from 0.
    #[serde(default)]
    pub place: Option<u32>,
}

/// One run of a program, as `wait4` tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunResult {
    /// Exit code, if it exited.
    pub exit_code: Option<i32>,
    /// Number of the signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Standard output, cut in the middle when longer than the limit.
    #[serde(with = "encoding::bytes")]
    pub stdout: Vec<u8>,
    /// Standard error, likewise.
    #[serde(with = "encoding::bytes")]
    pub stderr: Vec<u8>,
    /// Bytes it wrote to standard output, kept or not.
    pub stdout_bytes: u64,
    /// Bytes it wrote to standard error, kept or not.
    pub stderr_bytes: u64,
    /// Times and memory.
    pub usage: Usage,
    /// Files brought back: path and content.
    pub outputs: BTreeMap<String, Hash>,
    /// What it was started as.
    pub argv: Vec<String>,
    /// Processes it left behind and that were killed.
    pub leftovers: u32,
    /// It was started by a launcher: `usage` is the launcher's, and only its wall time says something.
    pub launched: Option<Launched>,
}

/// How the ranks of an MPI application were started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Launched {
    /// The nodes, the launcher's own first.
    pub hosts: Vec<String>,
    /// All ranks.
    pub ranks: u32,
    /// The launcher and its arguments, which stand before the command; empty if the command launched itself.
    pub argv: Vec<String>,
}

/// What the kernel accounts to one run (`wait4` of that child alone).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// CLOCK_MONOTONIC from just before the start to the end, s.
    pub wall_s: f64,
    /// CPU in user mode, s.
    pub user_s: f64,
    /// CPU in the kernel, s.
    pub sys_s: f64,
    /// Largest resident set, B.
    pub maxrss_bytes: u64,
    /// Page faults without I/O.
    pub minflt: u64,
    /// Page faults with I/O.
    pub majflt: u64,
    /// Voluntary context switches.
    pub nvcsw: u64,
    /// Involuntary context switches.
    pub nivcsw: u64,
    /// Blocks of 512 B read.
    pub inblock: u64,
    /// Blocks of 512 B written.
    pub oublock: u64,
}

impl Usage {
    /// Those of its figures that can be an objective.
    pub const OBJECTIVES: [&str; 4] = ["wall_s", "user_s", "sys_s", "maxrss_bytes"];

    /// A figure by its name.
    pub fn figure(&self, name: &str) -> Option<f64> {
        Some(match name {
            "wall_s" => self.wall_s,
            "user_s" => self.user_s,
            "sys_s" => self.sys_s,
            "maxrss_bytes" => self.maxrss_bytes as f64,
            "minflt" => self.minflt as f64,
            "majflt" => self.majflt as f64,
            "nvcsw" => self.nvcsw as f64,
            "nivcsw" => self.nivcsw as f64,
            "inblock" => self.inblock as f64,
            "oublock" => self.oublock as f64,
            _ => return None,
        })
    }
}

/// Where a build came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheUse {
    /// The cache was not asked.
    #[default]
    Off,
    /// Built now.
    Miss,
    /// An earlier build's artefact.
    Hit,
    /// An earlier build's failure.
    Negative,
}

/// A build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompileResult {
    /// The artefact's content, if there is one.
    pub artefact: Option<Hash>,
    /// Its size, B.
    pub artefact_bytes: u64,
    /// Its code and data alone; none if it is no program.
    pub text_hash: Option<Hash>,
    /// What the compiler said.
    pub diagnostics: String,
    /// Where it came from.
    pub cache: CacheUse,
    /// Seconds the build took (when it was made, if it came from the cache).
    pub wall_s: f64,
    /// What was run.
    pub argv: Vec<String>,
    /// Path and version line of the compiler.
    pub compiler: String,
    /// Settled from compiler, headers, CPU model.
    pub content_key: Option<Hash>,
    /// Exit code of the compiler, if it exited.
    pub exit_code: Option<i32>,
    /// Signal that ended the compiler, if one did.
    pub signal: Option<i32>,
}
