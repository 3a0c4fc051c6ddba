//! What the page is told of each measurement.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::figures::{Figures, failure};
use crate::model::human::subject;
use crate::model::units::at_most;
use crate::model::{Better, Hash, Measurement, Record, Status};
use crate::report::Campaign;
use crate::report::baselines::trial_of;

/// One measurement.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    id: &'a str,
    journal: usize,
    /// Which version of the script: those of one number have a base in common.
    pub(super) script: usize,
    key: Hash,
    name: String,
    params: &'a Option<Value>,
    /// The search point in words.
    variant: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ranks: Option<u32>,
    /// Of an MPI application.
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<u32>,
    trial: u64,
    started: Option<f64>,
    ended: Option<f64>,
    env: Option<Hash>,
    metric: &'a str,
    unit: &'a str,
    better: Better,
    stats: Option<Figures>,
    /// What is no more than this may be anything below.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    samples: Vec<f64>,
    stop: &'static str,
    flags: &'a [String],
    argv: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env_delta: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stderr: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as: Option<&'a str>,
    /// Further figures of it.
    facts: Vec<(&'static str, String)>,
    metrics: Vec<Other<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) repeats: Vec<Repeat<'a>>,
    /// The search whose trial it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<&'a str>,
    /// Of such a trial: number of the comparison whose base is the baseline of that search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline: Option<usize>,
    /// Where the same command was compared: number of the comparison, number of the variant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) compared: Vec<(usize, usize)>,
}

/// A metric beside the objective.
#[derive(Debug, Serialize)]
pub(super) struct Other<'a> {
    name: &'a str,
    unit: &'a str,
    better: Better,
    stats: Figures,
}

/// `harness rerun` measured it once more.
#[derive(Debug, Serialize)]
pub(super) struct Repeat<'a> {
    host: &'a str,
    started: Option<f64>,
    status: Status,
    stats: Option<Figures>,
}

/// Without its script and repetitions, and where it was compared.
pub(super) fn row(journal: usize, measurement: &Measurement, most_samples: usize) -> Row<'_> {
    let facts = &measurement.facts;
    let metric = measurement.objective.metric.as_str();
    Row {
        id: &facts.id,
        journal,
        script: 0,
        key: facts.key,
        name: subject(facts.name.as_deref().or(Some("(no name)")), None),
        params: &facts.params,
        variant: subject(None, facts.params.as_ref()),
        status: measurement.status,
        failure: failure(measurement.status, measurement.reason.as_deref()),
        host: &measurement.host,
        nodes: measurement.nodes,
        ranks: measurement.ranks,
        hosts: measurement.hosts.as_deref(),
        worker: facts.worker.map(|worker| worker.0),
        trial: facts.trial,
        started: facts.started_unix_s,
        ended: facts.ended_unix_s,
        env: facts.env,
        metric,
        unit: measurement.unit().unwrap_or_default(),
        better: measurement.objective.better,
        stats: measurement.stats.as_ref().filter(|_| measurement.status == Status::Ok).map(Figures::of),
        at_most: measurement.maxrss_floor_bytes.filter(|_| metric == "maxrss_bytes").map(at_most),
        samples: thinned(measurement.figures(), most_samples),
        stop: measurement.stop_reason.map_or("", |reason| reason.word()),
        flags: &measurement.flags,
        argv: &measurement.argv,
        env_delta: &measurement.env_delta,
        stderr: &measurement.stderr_tail,
        same_as: measurement.same_as.as_ref().map(|same_as| same_as.what.as_str()),
        facts: further(measurement),
        metrics: others(measurement),
        repeats: Vec::new(),
        search: trial_of(facts),
        baseline: None,
        compared: Vec::new(),
    }
}

/// By the id of a record those that repeat it.
pub(super) fn repeats(campaigns: &[Campaign]) -> HashMap<&str, Vec<&Measurement>> {
    let mut repeats: HashMap<&str, Vec<&Measurement>> = HashMap::new();
    for record in campaigns.iter().flat_map(|campaign| &campaign.repeats) {
        if let Record::Measurement(again) = record
            && let Some(parent) = &again.facts.parent
        {
            repeats.entry(parent).or_default().push(again);
        }
    }
    repeats
}

pub(super) fn repeat(again: &Measurement) -> Repeat<'_> {
    Repeat {
        host: &again.host,
        started: again.facts.started_unix_s,
        status: again.status,
        stats: again.stats.as_ref().map(Figures::of),
    }
}

/// At most so many of them, spread evenly, to seven digits: nobody sees more in a picture.
fn thinned(samples: Vec<f64>, most: usize) -> Vec<f64> {
    let step = samples.len().div_ceil(most).max(1);
    let short = |figure: f64| format!("{figure:.6e}").parse().unwrap_or(figure);
    samples.into_iter().step_by(step).map(short).collect()
}

/// What else was measured in the same runs.
fn others(measurement: &Measurement) -> Vec<Other<'_>> {
    let mut others = Vec::new();
    for (name, column) in
        measurement.metrics.iter().filter(|(name, _)| **name != measurement.objective.metric)
    {
        let unit = column.unit.as_deref().unwrap_or_default();
        others.extend(column.stats.as_ref().map(|stats| Other {
            name,
            unit,
            better: column.better,
            stats: Figures::of(stats),
        }));
    }
    others
}

/// What a reader may want to know of one measurement, as label and text.
fn further(measurement: &Measurement) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut tell = |label, text: Option<String>| facts.extend(text.map(|text| (label, text)));
    let moving = &measurement.moving;
    let pair = |unit: &str, scale: f64, figures: Option<[f64; 2]>| {
        figures.map(|[before, after]| {
            format!("{:.3} {unit} before, {:.3} {unit} after", before * scale, after * scale)
        })
    };
    let seconds = |figure: Option<f64>| figure.map(|s| format!("{s:.3} s"));
    tell("frequency", pair("GHz", 1e-9, moving.freq_hz));
    tell("temperature", pair("°C", 1.0, moving.temp_c));
    tell("load average", pair("", 1.0, moving.load1));
    tell("throttled", moving.throttle_count.map(|times| format!("{times} times")));
    tell("CPU time of others", seconds(moving.others_cpu_s));
    tell("CPU time stolen", seconds(moving.steal_s));
    tell("floor of a start", seconds(measurement.floor_s));
    let placed = measurement.facts.placement.as_ref().and_then(|granted| granted.placed.as_ref());
    tell("CPUs", placed.map(|placed| placed.cpus.clone()));
    tell("hosts", measurement.hosts.as_ref().map(|hosts| hosts.join(" ")));
    tell("limit", seconds(measurement.facts.limit_s));
    let verified = &measurement.verify;
    tell(
        "verified",
        (verified.status != "none").then(|| format!("{} ({})", verified.status, verified.method)),
    );
    tell("git", measurement.reserved.code.as_ref().and_then(commit));
    facts
}

fn commit(code: &Value) -> Option<String> {
    let dirty = if code["dirty"] == true { ", and changes that are in no commit" } else { "" };
    Some(format!("{}{dirty}", code["git_commit"].as_str()?))
}
