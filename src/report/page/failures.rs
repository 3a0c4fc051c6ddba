//! What failed alike stands together: how many, which, where, and one of them in full.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::human::{bounded, shortened, status_in_short, subject};
use crate::model::{Kind, Outcome, Record, Status, alike};

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
    let mut ways: Vec<Failures> = Vec::new();
    let mut known: BTreeMap<(Kind, Status, String), usize> = BTreeMap::new();
    for record in records {
        let Some((facts, outcome)) = record.facts().zip(failed(record)) else { continue };
        let alike = alike(&outcome);
        let way = *known.entry((facts.kind, outcome.status, alike.clone())).or_insert(ways.len());
        if way == ways.len() {
            ways.push(Failures {
                kind: facts.kind,
                status: outcome.status,
                text: status_in_short(&outcome),
                count: 0,
                named: Vec::new(),
                hosts: Vec::new(),
                reason: bounded(outcome.reason.clone().unwrap_or_default()),
                followed: matches!(outcome.status, Status::Skipped | Status::Cancelled),
            });
        }
        let way = &mut ways[way];
        way.count += 1;
        if way.text != status_in_short(&outcome) {
            way.text = alike;
        }
        let name = shortened(&subject(facts.name.as_deref(), facts.params.as_ref()), NAME_CHARS);
        add(&mut way.named, name);
        add(&mut way.hosts, outcome.host);
    }
    ways.sort_by_key(|way| (way.followed, std::cmp::Reverse(way.count)));
    ways
}

fn add(words: &mut Vec<String>, word: String) {
    if words.len() < NAMED && !word.is_empty() && !words.contains(&word) {
        words.push(word);
    }
}

/// What a record says of its failure, without what it has beside.
fn failed(record: &Record) -> Option<Outcome> {
    let (status, reason, host) = match record {
        Record::Measurement(measurement) => (measurement.status, &measurement.reason, &measurement.host),
        Record::Task(task) => (task.outcome.status, &task.outcome.reason, &task.outcome.host),
        _ => return None,
    };
    let outcome = Outcome::failed(status, reason.clone().unwrap_or_default());
    (status != Status::Ok).then(|| Outcome { host: host.clone(), ..outcome })
}
