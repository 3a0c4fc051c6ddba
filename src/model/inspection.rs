//! Functions of the script that look at a run: as they were asked for, what they are shown, and what they say.
//!
//! Plain data on its way from the script to the node that measures, there to a process of its own, and back. What
//! follows from what a function says is the keeper's to know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Hash, MeasureSpec, MetricSource, Phase, Usage, encoding};

/// A function of the script. It brings its own bytecode: whoever runs it may know none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Function {
    /// The function, in the encoding of `script::raw`.
    #[serde(with = "encoding::bytes")]
    pub payload: Vec<u8>,
    /// The bytecode it needs: hash and content.
    #[serde(with = "encoding::codes")]
    pub codes: Vec<(Hash, serde_bytes::ByteBuf)>,
    /// What must be in the store of the node that runs it.
    pub artefacts: Vec<Hash>,
    /// Content of the modules that `payload` only names, and of those that these require, by name.
    pub modules: BTreeMap<String, Hash>,
    /// Where it was written, for people: `campaign.lua:3`.
    pub place: String,
    /// `params` of its task, as JSON text: messages cannot carry JSON itself.
    pub params: Option<String>,
}

impl Function {
    /// All that tells it from others and is the same in every run.
    pub fn identity(&self) -> Self {
        let payload = Hash::of(&self.payload).to_string().into_bytes();
        Self { payload, modules: self.modules.clone(), ..Self::default() }
    }
}

impl MeasureSpec {
    /// The functions that look at its runs.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        let of_metrics = self.metrics.values().filter_map(|metric| match &metric.source {
            MetricSource::Function(function) => Some(function),
            _ => None,
        });
        self.verify.function.iter().chain(of_metrics)
    }

    /// The same, to be changed.
    pub fn functions_mut(&mut self) -> impl Iterator<Item = &mut Function> {
        let of_metrics = self.metrics.values_mut().filter_map(|metric| match &mut metric.source {
            MetricSource::Function(function) => Some(function),
            _ => None,
        });
        self.verify.function.iter_mut().chain(of_metrics)
    }
}

/// What a function is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sought {
    /// A number.
    Figure,
    /// Is the run as it should be? If not, why.
    Verdict,
}

/// A run as functions see it. What it wrote travels beside it, for it may be much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Is it counted?
    pub phase: Phase,
    /// Where it ran.
    pub dir: String,
    /// Exit code, if it exited.
    pub exit_code: Option<i32>,
    /// Times and memory; of what a launcher started only the wall time says something.
    pub usage: Usage,
    /// Did a launcher start it?
    pub launched: bool,
    /// Bytes it wrote to standard output, kept or not.
    pub stdout_bytes: u64,
    /// Bytes it wrote to standard error, kept or not.
    pub stderr_bytes: u64,
    /// Figures that were found in its output.
    pub metrics: BTreeMap<String, f64>,
}

/// One run, and what is asked about it: each function in turn, until one does not say what is needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The run.
    pub seen: Seen,
    /// The functions.
    pub functions: Vec<(Sought, Function)>,
    /// Seconds that each may take.
    pub limit_s: f64,
}

/// What a function said, or what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Found {
    /// A number; not yet looked at.
    Figure(f64),
    /// True.
    Passed,
    /// False, and why if it said so.
    Refused(Option<String>),
    /// Something else, as people are shown it.
    Other(String),
    /// It raised this error.
    Raised(String),
    /// It came to no end, and this is why: a sentence without its subject.
    Lost(String),
}

impl Found {
    /// Is it what was needed, so that the next function is asked?
    pub fn goes_on(&self) -> bool {
        matches!(self, Found::Figure(_) | Found::Passed)
    }
}
