//! Which measurements of journals are of one thing, and their figures. Knows records, and nothing of verdicts.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::model::human::{measurement_line, subject, visible};
use crate::model::units::Unit;
use crate::model::{Better, Detail, Measurement, Record, Status, TaskFacts, ulid_unix_ms};
use crate::report::Campaign;

/// Units of time.
const TIMES: [&str; 7] = ["s", "ms", "us", "µs", "ns", "min", "h"];

/// What a row is known by in all journals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::report) struct Which {
    name: String,
    /// As JSON, whose objects have their fields in order.
    params: String,
    /// The objective.
    pub(in crate::report) metric: String,
}

impl Which {
    pub(in crate::report) fn of(record: &Measurement) -> Self {
        Self {
            name: record.facts.name.clone().unwrap_or_default(),
            params: record.facts.params.as_ref().map(ToString::to_string).unwrap_or_default(),
            metric: record.objective.metric.clone(),
        }
    }
}

/// What the figures of a measurement are of; figures of different ones are not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::report) struct Quantity {
    /// Of the objective, if it has one by name.
    unit: Option<String>,
    pub(in crate::report) better: Better,
}

impl Quantity {
    pub(in crate::report) fn of(record: &Measurement) -> Self {
        let metric = record.metrics.get(&record.objective.metric);
        Self { unit: metric.and_then(|metric| metric.unit.clone()), better: record.objective.better }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.better == Better::Less { "less" } else { "more" };
        write!(f, "{} ({word} is better)", visible(self.unit.as_deref().unwrap_or("none")))
    }
}

/// When it was measured, s since 1970; of what never began when it was recorded.
pub(in crate::report) fn when(record: &Measurement) -> f64 {
    let TaskFacts { id, started_unix_s, ended_unix_s, .. } = &record.facts;
    let recorded = || ulid_unix_ms(id).map(|ms| ms as f64 / 1e3);
    started_unix_s.or(*ended_unix_s).or_else(recorded).unwrap_or(0.0)
}

/// Name and search point, for people.
pub(in crate::report) fn title(record: &Measurement) -> String {
    subject(Some(record.facts.name.as_deref().unwrap_or("measure")), record.facts.params.as_ref())
}

/// A figure of its objective, in its unit.
pub(in crate::report) fn said(record: &Measurement, figure: f64) -> String {
    let metric = &record.objective.metric;
    let printed = record.metrics.get(metric).map(|printed| printed.unit.as_deref());
    Unit::of_objective(metric, printed, record.maxrss_floor_bytes, figure).with_name(figure)
}

pub(in crate::report) fn measurement(record: &Record) -> Option<&Measurement> {
    match record {
        Record::Measurement(record) => Some(record),
        _ => None,
    }
}

/// The rows of a journal: of what was asked for in several ways under one name the way that was recorded last, and nothing
/// that is outdated.
pub(super) fn of_campaign(campaign: &Campaign) -> BTreeMap<Which, &Measurement> {
    let current =
        campaign.ended.iter().filter_map(measurement).filter(|record| campaign.is_current(&record.facts));
    current.map(|record| (Which::of(record), record)).collect()
}

/// The figures of a measurement's objective; none unless it ended well.
#[derive(Default)]
pub(in crate::report) struct Figures {
    /// Of the runs that count.
    pub(in crate::report) list: Vec<f64>,
    pub(in crate::report) median: Option<f64>,
    /// The median in its unit.
    pub(in crate::report) shown: String,
    /// All that is said of it.
    pub(in crate::report) line: String,
    pub(in crate::report) interval: Option<(f64, f64)>,
    pub(in crate::report) is_time: bool,
}

impl Figures {
    pub(in crate::report) fn of(record: &Measurement) -> Self {
        let mut figures = Self::default();
        let Some(outcome) = record.outcome() else { return figures };
        figures.line = measurement_line("", &Value::Null, &outcome).trim_start_matches(": ").into();
        let Detail::Measure(result) = outcome.detail else { return figures };
        let unit = result.metrics.get(&result.objective).map(|metric| metric.unit.as_deref().unwrap_or(""));
        figures.is_time = unit.map_or(result.objective.ends_with("_s"), |unit| TIMES.contains(&unit));
        if let Some(stats) = result.stats.as_ref().filter(|_| record.status == Status::Ok) {
            figures.list = result.figures().into_iter().filter(|figure| figure.is_finite()).collect();
            figures.median = Some(stats.median).filter(|median| median.is_finite());
            figures.shown = said(record, stats.median);
            figures.interval = stats.ci.as_ref().map(|ci| (ci.lo, ci.hi));
        }
        figures
    }

    /// The logarithms, turned so that more is better; none if one has no logarithm.
    pub(super) fn gains(&self, better: Better) -> Option<Vec<f64>> {
        let gain = |figure: &f64| {
            let log = Some(figure.ln()).filter(|log| log.is_finite())?;
            Some(if better == Better::Less { -log } else { log })
        };
        self.list.iter().map(gain).collect()
    }
}
