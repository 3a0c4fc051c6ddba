//! What the page's scripts are told, as plain data: figures as they were recorded, nothing summarised anew.
//!
//! What is absent is left out. Units are SI, the names those of the journal where it has one. Of long series every k-th
//! sample stands for all, and how many there were is said.

use std::collections::BTreeMap;

use serde::Serialize;

use super::comparisons::{Comparison, compared, comparison, in_turns};
use super::failures::{Failures, failures};
use super::rows::{Row, repeat, repeats, row};
use super::{Campaign, Told};
use crate::model::human::subject;
use crate::model::{self, Detail, Env, Hash, Kind, Measurement, Record, Session, Status, TaskRecord};
use crate::report::baselines::{baseline, trial_of};
use crate::report::blocks::slow_nodes;
use crate::report::flags::{Flag, explained};
use crate::report::gate::measurement;

/// Samples in a page altogether, and of one measurement.
const MOST_SAMPLES: usize = 1_000_000;
const SAMPLES_OF_ONE: std::ops::RangeInclusive<usize> = 20..=500;
/// Everything.
#[derive(Debug, Serialize)]
pub struct Data<'a> {
    schema: &'static str,
    version: &'static str,
    written_unix_s: f64,
    running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    journals: Vec<Journal<'a>>,
    envs: Vec<&'a Env>,
    measurements: Vec<Row<'a>>,
    comparisons: Vec<Comparison<'a>>,
    /// A line for each comparison on several nodes some of which are slow.
    slow_nodes: Vec<String>,
    failures: Vec<Failures>,
    /// For the timeline, what is no measurement.
    tasks: Vec<Task<'a>>,
    flags: Vec<Flag>,
}

#[derive(Debug, Serialize)]
struct Journal<'a> {
    path: String,
    script: String,
    seed: Option<u64>,
    sessions: &'a [Session],
    /// Tasks by how they ended.
    ended: BTreeMap<&'static str, usize>,
    /// Tasks that nothing is told of.
    outdated: usize,
}

/// Who ran what where, when.
#[derive(Debug, Serialize)]
struct Task<'a> {
    journal: usize,
    kind: Kind,
    what: String,
    status: Status,
    hosts: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<u32>,
    from: f64,
    to: f64,
}

impl<'a> Data<'a> {
    /// Of these campaigns.
    pub fn of(told: &Told<'a>) -> Self {
        let campaigns = told.campaigns;
        let all = || {
            campaigns
                .iter()
                .enumerate()
                .flat_map(|(at, campaign)| campaign.ended.iter().map(move |r| (at, r)))
        };
        let compared: Vec<(usize, &TaskRecord)> =
            all().filter_map(|(at, record)| Some((at, compared(record)?))).collect();
        let comparisons: Vec<Comparison<'_>> =
            compared.iter().filter_map(|(at, task)| comparison(*at, task)).collect();
        let of_search = |(number, (at, task)): (usize, &(usize, &'a TaskRecord))| {
            Some(((*at, baseline(&task.facts, &task.outcome)?.0), number))
        };
        let baselines: BTreeMap<(usize, &str), usize> =
            compared.iter().enumerate().filter_map(of_search).collect();
        let measured: Vec<(usize, &Measurement)> =
            all().filter_map(|(at, record)| Some((at, measurement(record)?))).collect();
        let most =
            (MOST_SAMPLES / measured.len().max(1)).clamp(*SAMPLES_OF_ONE.start(), *SAMPLES_OF_ONE.end());
        let repeats = repeats(campaigns);
        let in_turns = in_turns(&comparisons);
        let mut scripts: BTreeMap<Option<Hash>, usize> = BTreeMap::new();
        let row = |(at, measurement): (usize, &'a Measurement)| {
            let again = repeats.get(measurement.facts.id.as_str()).into_iter().flatten();
            let mut row = row(at, measurement, most);
            let number = scripts.len();
            row.script = *scripts.entry(campaigns[at].script_of(&measurement.facts)).or_insert(number);
            row.repeats = again.map(|again| repeat(again)).collect();
            row.baseline =
                trial_of(&measurement.facts).and_then(|search| baselines.get(&(at, search)).copied());
            row.compared = in_turns.get(measurement.argv.as_slice()).cloned().unwrap_or_default();
            row
        };
        Self {
            schema: "harness.report/1",
            version: env!("CARGO_PKG_VERSION"),
            written_unix_s: told.written_unix_s,
            running: told.running,
            state: told.state,
            journals: campaigns.iter().map(journal).collect(),
            envs: envs(campaigns),
            measurements: measured.into_iter().map(row).collect(),
            slow_nodes: campaigns.iter().flat_map(slow).collect(),
            failures: failures(all().map(|(_, record)| record)),
            tasks: all().filter_map(|(at, record)| task(at, record)).collect(),
            flags: explained(),
            comparisons,
        }
    }
}

fn slow(campaign: &Campaign) -> Vec<String> {
    let mut rows = Vec::new();
    for record in &campaign.ended {
        if let Record::Task(task) = record {
            rows.push(model::Row::of(&task.facts, &task.outcome));
        }
    }
    slow_nodes(&rows)
}

/// How the script is called, without its folder.
pub fn script_name(campaign: &Campaign) -> String {
    let script = campaign.header.as_ref().map(|header| header.script.clone());
    let script = script.unwrap_or_else(|| campaign.path.display().to_string());
    script.rsplit('/').next().unwrap_or_default().to_string()
}

fn journal(campaign: &Campaign) -> Journal<'_> {
    let mut ended = BTreeMap::new();
    for status in campaign.ended.iter().filter_map(Record::status) {
        *ended.entry(status.word()).or_default() += 1;
    }
    Journal {
        path: campaign.path.display().to_string(),
        script: script_name(campaign),
        seed: campaign.header.as_ref().map(|header| header.seed),
        sessions: &campaign.sessions,
        ended,
        outdated: campaign.outdated.len(),
    }
}

/// Each once, however many journals name it.
fn envs(campaigns: &[Campaign]) -> Vec<&Env> {
    let named: BTreeMap<&Hash, &Env> = campaigns.iter().flat_map(|campaign| &campaign.envs).collect();
    named.into_values().collect()
}

/// None of what never ran.
fn task(journal: usize, record: &Record) -> Option<Task<'_>> {
    let Record::Task(task) = record else { return None };
    let (facts, outcome) = (&task.facts, &task.outcome);
    let launched = match &outcome.detail {
        Detail::Exec(run) => run.launched.as_ref(),
        _ => None,
    };
    let hosts: Vec<&str> = match launched {
        Some(launched) => launched.hosts.iter().map(String::as_str).collect(),
        None if outcome.host.is_empty() => return None,
        None => vec![&outcome.host],
    };
    Some(Task {
        journal,
        kind: facts.kind,
        what: subject(facts.name.as_deref(), facts.params.as_ref()),
        status: outcome.status,
        hosts,
        worker: facts.worker.map(|worker| worker.0),
        from: facts.started_unix_s?,
        to: facts.ended_unix_s?,
    })
}
