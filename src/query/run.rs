//! One run of a measurement, or of one side of a comparison: what the journal keeps in columns, as a row.

use crate::model::{Energy, Hash, MeasureResult, Measurement, Phase, Usage};

/// A run.
pub(super) struct Run<'a> {
    /// The row of `tasks`.
    pub(super) task: i64,
    /// Of a comparison: which side.
    pub(super) variant: Option<&'a str>,
    /// From 1, warm-up included.
    pub(super) number: usize,
    /// The same among those that count.
    pub(super) sample: Option<usize>,
    pub(super) phase: Phase,
    pub(super) t_start_s: f64,
    pub(super) usage: Usage,
    /// It was started by a launcher, of whose usage only the wall time says something.
    launched: bool,
    pub(super) energy: Energy,
    /// Figures the program printed.
    pub(super) metrics: Vec<(&'a str, f64)>,
    pub(super) output_hash: Option<Hash>,
}

impl Run<'_> {
    /// What the program itself used.
    pub(super) fn own(&self) -> Option<&Usage> {
        (!self.launched).then_some(&self.usage)
    }

    /// A figure by its name.
    pub(super) fn figure(&self, name: &str) -> Option<f64> {
        if let Some((_, value)) = self.metrics.iter().find(|(metric, _)| *metric == name) {
            return Some(*value);
        }
        match name {
            "t_start_s" => Some(self.t_start_s),
            "wall_s" => Some(self.usage.wall_s),
            _ => self.own().and_then(|usage| usage.figure(name)).or_else(|| self.energy.figure(name)),
        }
    }
}

/// The figures every run may have, by name.
pub(super) const FIGURES: [&str; 13] = [
    "energy_dram_j",
    "energy_pkg_j",
    "inblock",
    "majflt",
    "maxrss_bytes",
    "minflt",
    "nivcsw",
    "nvcsw",
    "oublock",
    "sys_s",
    "t_start_s",
    "user_s",
    "wall_s",
];

/// The runs of a measurement; none of one for which nothing was run.
pub(super) fn runs_of(measurement: &Measurement, task: i64) -> Vec<Run<'_>> {
    let columns = &measurement.runs;
    let energy = |column: &Option<Vec<Option<f64>>>, at: usize| column.as_ref()?.get(at).copied().flatten();
    let mut counted = 0;
    let mut runs = Vec::new();
    for (at, phase) in columns.phase.iter().enumerate().filter(|_| measurement.same_as.is_none()) {
        let Some(usage) = measurement.usage(at) else { break };
        let metrics = measurement.metrics.iter();
        counted += usize::from(*phase == Phase::Sample);
        runs.push(Run {
            task,
            variant: None,
            number: at + 1,
            sample: (*phase == Phase::Sample).then_some(counted),
            phase: *phase,
            t_start_s: columns.t_start_s.get(at).copied().unwrap_or_default(),
            usage,
            launched: measurement.hosts.is_some(),
            energy: Energy {
                pkg_j: energy(&measurement.energy_pkg_j, at),
                dram_j: energy(&measurement.energy_dram_j, at),
            },
            metrics: metrics
                .filter_map(|(name, metric)| Some((name.as_str(), metric.value.get(at).copied()??)))
                .collect(),
            output_hash: measurement.verify.output_hash.get(at).copied().flatten(),
        });
    }
    runs
}

/// The runs of one side of a comparison.
pub(super) fn runs_of_side<'a>(result: &'a MeasureResult, variant: &'a str, task: i64) -> Vec<Run<'a>> {
    let mut counted = 0;
    let run = |(at, sample): (usize, &'a crate::model::Sample)| {
        let is_sample = sample.phase == Phase::Sample;
        counted += usize::from(is_sample);
        Run {
            task,
            variant: Some(variant),
            number: at + 1,
            sample: is_sample.then_some(counted),
            phase: sample.phase,
            t_start_s: sample.t_start_s,
            usage: sample.usage,
            launched: result.launched.is_some(),
            energy: sample.energy,
            metrics: sample.metrics.iter().map(|(name, value)| (name.as_str(), *value)).collect(),
            output_hash: sample.output_hash,
        }
    };
    result.samples.iter().enumerate().map(run).collect()
}
