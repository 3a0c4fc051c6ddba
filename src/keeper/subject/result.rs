//! What became of a program that was timed: its samples summarised, or those before it failed.
//!
//! Knows runs that are over, and not how they came to be.

use std::collections::BTreeMap;

use super::{STDERR_LIMIT, Subject};
use crate::keeper::capture::last_lines;
use crate::keeper::run::Ended;
use crate::machine::counters::Count;
use crate::model::{CounterValues, Counters, MeasureResult, Metric, StopReason};
use crate::stats;

impl Subject {
    /// All its samples, summarised, with what is to be known before believing them.
    pub fn summarised(&self, reason: StopReason) -> MeasureResult {
        let mut result = self.result(reason);
        let objective = self.objective();
        let wall_s: Vec<f64> = self.counting_samples().iter().map(|sample| sample.usage.wall_s).collect();
        let cpu_s = match self.launched {
            Some(_) => Vec::new(),
            None => self.counting_samples().iter().map(|s| s.usage.user_s + s.usage.sys_s).collect(),
        };
        let summary = |values: &[f64]| (!values.is_empty()).then(|| stats::summary(values));
        result.stats = summary(&objective);
        for metric in result.metrics.values_mut() {
            metric.stats = summary(&metric.value);
        }
        let found = stats::flags(&stats::Series {
            objective: &objective,
            wall_s: &wall_s,
            cpu_s: &cpu_s,
            // What a program times itself does not contain its start.
            floor_s: self.floor.map(|floor| floor.wall_s).filter(|_| self.spec.objective == "wall_s"),
            epsilon: self.spec.precision,
        });
        result.flags.splice(0..0, found);
        result.counters = (!self.spec.counters.is_empty()).then(|| columns(&self.counts));
        result
    }

    /// The samples before it failed, and how the run ended that did.
    pub fn failed(&self, ended: Option<&Ended>) -> MeasureResult {
        let mut result = self.result(StopReason::Failed);
        if let Some(ended) = ended {
            result.exit_code = ended.exit.code();
            result.signal = ended.exit.signal();
            result.stderr_tail = last_lines(&ended.stderr.bytes, usize::MAX, STDERR_LIMIT);
        }
        result
    }

    fn result(&self, stop_reason: StopReason) -> MeasureResult {
        let metrics = self.spec.metrics.iter().map(|(name, spec)| {
            let value: Vec<f64> =
                self.counting_samples().iter().filter_map(|s| s.metrics.get(name).copied()).collect();
            (name.clone(), Metric { unit: spec.unit.clone(), better: spec.better, value, stats: None })
        });
        let hooks = self.hooks.times();
        let unclean = hooks.as_ref().is_some_and(|hooks| hooks.cleanup_failure.is_some());
        MeasureResult {
            metrics: metrics.collect(),
            samples: self.samples.clone(),
            stats: None,
            objective: self.spec.objective.clone(),
            better: self.spec.better,
            stop_reason,
            flags: if unclean { vec!["cleanup_failed".into()] } else { Vec::new() },
            counters: None,
            verify: self.verified.clone(),
            floor_s: self.floor.map(|floor| floor.wall_s),
            maxrss_floor_bytes: self
                .floor
                .filter(|_| self.launched.is_none())
                .map(|floor| floor.maxrss_bytes.max(self.footprint_bytes)),
            exit_code: None,
            signal: None,
            stderr_tail: String::new(),
            argv: self.command.argv_text(),
            launched: self.launched.clone(),
            same_as: None,
            hooks,
        }
    }
}

/// From a list of runs to a column for each event.
fn columns(runs: &[Vec<(String, Count)>]) -> Counters {
    let mut events: BTreeMap<String, CounterValues> = BTreeMap::new();
    for (name, count) in runs.iter().flatten() {
        let column = events.entry(name.clone()).or_default();
        column.value.push(count.value);
        column.pcnt_running.push(count.pcnt_running);
        if column.note.is_none() {
            column.note.clone_from(&count.note);
        }
    }
    Counters { pass: "separate".into(), events }
}
