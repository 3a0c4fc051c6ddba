//! What failed alike stands together: how many, which, where, and one of them in full.

use serde::Serialize;

use crate::model::human::{bounded, shortened, subject};
use crate::model::{Kind, Outcome, Record, Row, Status, TaskFacts, Way, ways};

/// So many of those that failed alike are named.
const NAMED: usize = 5;
/// A longer name is cut (characters).
const NAME_CHARS: usize = 120;

/// One way to fail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failures {
    kind: Kind,
    status: Status,
    /// In one line.
    text: String,
    count: usize,
    /// The first of them, and where they ran.
    named: Vec<String>,
    hosts: Vec<String>,
    /// What the first of them says in full.
    reason: String,
    /// It followed from another failure.
    followed: bool,
}

/// The ways in which records failed: what failed by itself first, and what more failed so before what fewer did.
pub fn failures<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<Failures> {
    let failed: Vec<(&TaskFacts, Outcome)> = records.filter_map(failed).collect();
    let rows: Vec<Row<'_>> = failed.iter().map(|(facts, outcome)| Row::of(facts, outcome)).collect();
    let mut failures: Vec<Failures> = ways(&rows).into_iter().filter_map(told).collect();
    failures.sort_by_key(|way| (way.followed, std::cmp::Reverse(way.count)));
    failures
}

fn told(way: Way<Vec<&Row<'_>>>) -> Option<Failures> {
    let first = way.tasks.first()?;
    let name = |row: &&Row<'_>| shortened(&subject(row.name, row.params), NAME_CHARS);
    Some(Failures {
        kind: way.kind,
        status: first.outcome.status,
        text: way.text,
        count: way.tasks.len(),
        named: first_few(way.tasks.iter().map(name)),
        hosts: first_few(way.tasks.iter().map(|row| row.outcome.host.to_string())),
        reason: bounded(first.outcome.reason.clone().unwrap_or_default()),
        followed: way.followed,
    })
}

/// Each once.
fn first_few(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut few: Vec<String> = Vec::new();
    for word in words {
        if few.len() < NAMED && !word.is_empty() && !few.contains(&word) {
            few.push(word);
        }
    }
    few
}

/// What a record says of its failure, without what it has beside.
fn failed(record: &Record) -> Option<(&TaskFacts, Outcome)> {
    let (status, reason, host) = match record {
        Record::Measurement(measurement) => {
            (measurement.status, &measurement.reason, measurement.host.as_str())
        }
        Record::Task(task) => (task.outcome.status, &task.outcome.reason, task.outcome.host.as_str()),
        _ => return None,
    };
    let outcome = Outcome::failed(status, reason.clone().unwrap_or_default());
    let failed = record.facts().filter(|_| status != Status::Ok);
    failed.map(|facts| (facts, Outcome { host: host.into(), ..outcome }))
}
