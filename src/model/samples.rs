//! What is measured: timed runs, what they come to in one figure and how sure of it one may be, and the whole result of a
//! measurement.
//!
//! A summary exists only where the status is `ok`; the samples taken before a measurement failed stay. Statistics are
//! `stats`'; how the journal keeps all this is `measurement`'s.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::units::si_unit;
use super::{Better, Counters, Hash, HookTimes, Launched, Usage, encoding};

/// Is a run counted?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Recorded, not counted.
    Warmup,
    /// Counted.
    Sample,
}

/// One timed run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Is it counted?
    pub phase: Phase,
    /// Seconds since the measurement began.
    pub t_start_s: f64,
    /// Times and memory.
    pub usage: Usage,
    /// The figures the program printed.
    pub metrics: BTreeMap<String, f64>,
    /// The content of its standard output, where it was verified.
    pub output_hash: Option<Hash>,
    /// What it consumed, if that was asked for.
    pub energy: Energy,
}

impl Sample {
    /// A figure by its name: what the program printed, else what it cost.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.metrics.get(name).copied().or_else(|| self.cost(name))
    }

    /// The same of what it cost alone.
    pub fn cost(&self, name: &str) -> Option<f64> {
        self.usage.figure(name).or_else(|| self.energy.figure(name))
    }
}

/// What the packages of a node consumed in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// Processors, J.
    pub pkg_j: Option<f64>,
    /// Memory, J.
    pub dram_j: Option<f64>,
}

impl Energy {
    /// A figure by its name; none if it is not known.
    pub fn figure(&self, name: &str) -> Option<f64> {
        match name {
            "energy_pkg_j" => self.pkg_j,
            "energy_dram_j" => self.dram_j,
            _ => None,
        }
    }
}

/// Why sampling ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The interval is as narrow as asked.
    Precise,
    /// `max_runs` reached.
    MaxRuns,
    /// `max_time` reached.
    MaxTime,
    /// `runs` was given.
    Fixed,
    /// Of a comparison: every verdict is out, or more rounds would say nothing that matters.
    Settled,
    /// Of a comparison: `max_rounds` reached.
    MaxRounds,
    /// A run failed.
    #[default]
    Failed,
}

impl StopReason {
    /// The word the script and the journal use.
    pub fn word(self) -> &'static str {
        match self {
            StopReason::Precise => "precise",
            StopReason::MaxRuns => "max_runs",
            StopReason::MaxTime => "max_time",
            StopReason::Fixed => "fixed",
            StopReason::Settled => "settled",
            StopReason::MaxRounds => "max_rounds",
            StopReason::Failed => "failed",
        }
    }
}

/// An interval of the median, between two order statistics.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end, in the unit of the samples.
    #[serde(deserialize_with = "encoding::number")]
    pub lo: f64,
    /// Upper end.
    #[serde(deserialize_with = "encoding::number")]
    pub hi: f64,
    /// Level it is reported at (0.95).
    pub level: f64,
    /// Exact level of the ranks used, for a fixed n.
    pub exact_level: f64,
}

/// A summary of the counted samples of one metric, in the metric's unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Samples.
    pub n: u32,
    /// Smallest.
    #[serde(deserialize_with = "encoding::number")]
    pub min: f64,
    /// 5th percentile.
    #[serde(deserialize_with = "encoding::number")]
    pub p05: f64,
    /// First quartile.
    #[serde(deserialize_with = "encoding::number")]
    pub q1: f64,
    /// Median.
    #[serde(deserialize_with = "encoding::number")]
    pub median: f64,
    /// Third quartile.
    #[serde(deserialize_with = "encoding::number")]
    pub q3: f64,
    /// 95th percentile.
    #[serde(deserialize_with = "encoding::number")]
    pub p95: f64,
    /// Largest.
    #[serde(deserialize_with = "encoding::number")]
    pub max: f64,
    /// Arithmetic mean.
    #[serde(deserialize_with = "encoding::number")]
    pub mean: f64,
    /// Standard deviation of the sample (n − 1).
    #[serde(deserialize_with = "encoding::number")]
    pub sd: f64,
    /// Median absolute deviation from the median, unscaled.
    #[serde(deserialize_with = "encoding::number")]
    pub mad: f64,
    /// Interval of the median; none below 7 samples.
    pub ci: Option<Interval>,
    /// Largest distance of the interval's ends from the median, relative to it.
    pub rel_half_width: Option<f64>,
}

/// A figure the program printed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Unit, for people.
    pub unit: Option<String>,
    /// Which direction is an improvement.
    pub better: Better,
    /// One value a counted sample.
    pub value: Vec<f64>,
    /// Their summary; none unless the status is `ok`.
    pub stats: Option<Summary>,
}

/// What `verify` found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VerifyResult {
    /// `ok`, `failed` or `none` (nothing was asked).
    pub status: String,
    /// What was compared.
    pub method: String,
    /// Largest absolute difference of two numbers, for a reference.
    pub max_abs_err: Option<f64>,
}

/// A measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MeasureResult {
    /// All runs, in order.
    pub samples: Vec<Sample>,
    /// Summary of the objective over the counted samples; none unless the status is `ok`.
    pub stats: Option<Summary>,
    /// The figures the program printed.
    pub metrics: BTreeMap<String, Metric>,
    /// The metric that `stats` summarises.
    pub objective: String,
    /// Which direction of it is an improvement.
    pub better: Better,
    /// Why sampling ended.
    pub stop_reason: StopReason,
    /// What to know before believing the figure.
    pub flags: Vec<String>,
    /// What was counted in runs of their own, if that was asked for.
    pub counters: Option<Counters>,
    /// What `verify` found.
    pub verify: VerifyResult,
    /// Median wall time of a null command on this node, s.
    pub floor_s: Option<f64>,
    /// What a program is shown with that needs less, B: the kernel counts who started it too. A `maxrss_bytes` at the
    /// floor says `≤`.
    pub maxrss_floor_bytes: Option<u64>,
    /// Exit code of the failing run, if it exited.
    pub exit_code: Option<i32>,
    /// Signal that ended the failing run, if one did.
    pub signal: Option<i32>,
    /// The end of the failing run's standard error, at most 4 KiB.
    pub stderr_tail: String,
    /// What was run.
    pub argv: Vec<String>,
    /// It was started by a launcher: of the samples' usage only the wall time says something.
    pub launched: Option<Launched>,
    /// Nothing was run for it: these are the figures of another measurement, of the same program.
    pub same_as: Option<SameAs>,
    /// What ran around the runs took; none if nothing did.
    pub hooks: Option<HookTimes>,
}

impl MeasureResult {
    /// The objective's figures, of the samples that count.
    pub fn figures(&self) -> Vec<f64> {
        let counted = self.samples.iter().filter(|sample| sample.phase == Phase::Sample);
        counted.filter_map(|sample| sample.figure(&self.objective)).collect()
    }

    /// The unit of the objective, if it has one.
    pub fn unit(&self) -> Option<&str> {
        match self.metrics.get(&self.objective) {
            Some(metric) => metric.unit.as_deref(),
            None => si_unit(&self.objective),
        }
    }
}

/// The measurement whose figures another one shares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SameAs {
    /// Its record.
    pub id: String,
    /// Its name and search point, for people.
    pub what: String,
}

#[cfg(test)]
impl MeasureResult {
    /// What a test needs of a measurement: a summary, and nothing that went wrong.
    pub(crate) fn sample(stats: Summary, stop_reason: StopReason) -> Self {
        Self { stats: Some(stats), objective: "wall_s".into(), stop_reason, ..Self::default() }
    }
}
