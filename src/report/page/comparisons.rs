//! What the page is told of each comparison, and which measurements are of commands that were compared.

use std::collections::HashMap;

use serde::Serialize;

use super::figures::{Figures, failure};
use crate::model::human::subject;
use crate::model::{Better, Compared, Detail, Interval, MeasureResult, Record, Status, TaskRecord};

/// One comparison.
#[derive(Debug, Serialize)]
pub(super) struct Comparison<'a> {
    journal: usize,
    name: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    host: &'a str,
    started: Option<f64>,
    rounds: u32,
    min_effect: f64,
    stop: &'static str,
    variants: Vec<Variant<'a>>,
}

/// One of its sides.
#[derive(Debug, Serialize)]
pub(super) struct Variant<'a> {
    name: String,
    status: Status,
    reason: &'a Option<String>,
    metric: &'a str,
    unit: &'a str,
    better: Better,
    stats: Option<Figures>,
    flags: &'a [String],
    argv: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ci: Option<Interval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rounds: Option<u32>,
}

/// The record of a comparison; none of what is no comparison.
pub(super) fn compared(record: &Record) -> Option<&TaskRecord> {
    let Record::Task(task) = record else { return None };
    matches!(task.outcome.detail, Detail::Compare(_)).then_some(task)
}

/// None of what is no comparison.
pub(super) fn comparison(journal: usize, task: &TaskRecord) -> Option<Comparison<'_>> {
    let (facts, outcome) = (&task.facts, &task.outcome);
    let Detail::Compare(result) = &outcome.detail else { return None };
    let name = subject(facts.name.as_deref(), facts.params.as_ref());
    Some(Comparison {
        journal,
        name: if name.is_empty() { "(no name)".into() } else { name },
        status: outcome.status,
        failure: failure(outcome.status, outcome.reason.as_deref()),
        host: &outcome.host,
        started: facts.started_unix_s,
        rounds: result.rounds,
        min_effect: result.min_effect,
        stop: result.stop_reason.word(),
        variants: result.variants.iter().map(variant).collect(),
    })
}

fn variant(compared: &Compared) -> Variant<'_> {
    let MeasureResult { objective, better, stats, flags, argv, .. } = &compared.result;
    let found = compared.comparison;
    Variant {
        name: subject(Some(&compared.name), compared.params.as_ref()),
        status: compared.status,
        reason: &compared.reason,
        metric: objective,
        unit: compared.result.unit().unwrap_or_default(),
        better: *better,
        stats: stats.as_ref().map(Figures::of),
        flags,
        argv,
        verdict: found.map(|found| found.verdict.word()),
        ratio: found.map(|found| found.ratio),
        ci: found.and_then(|found| found.ci),
        rounds: found.map(|found| found.rounds),
    }
}

/// Which commands were compared, and where. A program that was built is named by its content.
pub(super) fn in_turns<'a>(comparisons: &[Comparison<'a>]) -> HashMap<&'a [String], Vec<(usize, usize)>> {
    let mut found: HashMap<&[String], Vec<(usize, usize)>> = HashMap::new();
    for (at, comparison) in comparisons.iter().enumerate() {
        for (number, variant) in
            comparison.variants.iter().enumerate().filter(|(_, variant)| !variant.argv.is_empty())
        {
            found.entry(variant.argv).or_default().push((at, number));
        }
    }
    found
}
