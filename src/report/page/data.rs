//! What the page's scripts are told, as plain data: figures as they were recorded, nothing summarised anew.
//!
//! What is absent is left out. Units are SI, the names those of the journal where it has one. Of long series every k-th
//! sample stands for all, and how many there were is said.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::super::blocks::slow_nodes;
use super::super::flags::{Flag, explained};
use super::failures::{Failures, failures};
use super::{Campaign, Told};
use crate::model::human::{status_in_short, subject};
use crate::model::{
    Better, Compared, Detail, Env, Hash, Interval, Kind, MeasureResult, Measurement, Metric, Outcome, Phase,
    Record, Session, Status, Summary, TaskFacts,
};

/// Samples in a page altogether, and of one measurement.
const MOST_SAMPLES: usize = 1_000_000;
const SAMPLES_OF_ONE: std::ops::RangeInclusive<usize> = 20..=500;
/// A resident set so little above what every program is shown with says no more than *at most* (docs/journal.md), B.
const ROUGHLY_BYTES: u64 = 1 << 20;

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
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    id: &'a str,
    journal: usize,
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
    repeats: Vec<Repeat<'a>>,
    /// Where the same command was compared: number of the comparison, number of the variant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    compared: Vec<(usize, usize)>,
}

/// A summary, without what nobody shows.
#[derive(Clone, Copy, Debug, Serialize)]
struct Figures {
    n: u32,
    min: f64,
    q1: f64,
    median: f64,
    q3: f64,
    max: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lo: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hi: Option<f64>,
}

/// A metric beside the objective.
#[derive(Debug, Serialize)]
struct Other<'a> {
    name: &'a str,
    unit: &'a str,
    better: Better,
    stats: Figures,
}

/// `harness rerun` measured it once more.
#[derive(Debug, Serialize)]
struct Repeat<'a> {
    host: &'a str,
    started: Option<f64>,
    status: Status,
    stats: Option<Figures>,
}

#[derive(Debug, Serialize)]
struct Comparison<'a> {
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

#[derive(Debug, Serialize)]
struct Variant<'a> {
    name: &'a str,
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
        let compared: Vec<(usize, &TaskFacts, &Outcome)> = all().filter_map(comparison_record).collect();
        let comparisons: Vec<Comparison<'_>> =
            compared.iter().filter_map(|(at, facts, outcome)| comparison(*at, facts, outcome)).collect();
        let measured: Vec<(usize, &Measurement)> = all().filter_map(measurement).collect();
        let most =
            (MOST_SAMPLES / measured.len().max(1)).clamp(*SAMPLES_OF_ONE.start(), *SAMPLES_OF_ONE.end());
        let repeats = repeats(campaigns);
        let in_turns = in_turns(&comparisons);
        let row = |(at, measurement): (usize, &'a Measurement)| Row {
            repeats: repeats
                .get(measurement.facts.id.as_str())
                .map(|again| again.iter().map(|m| repeat(m)).collect())
                .unwrap_or_default(),
            compared: in_turns.get(measurement.argv.as_slice()).cloned().unwrap_or_default(),
            ..row(at, measurement, most)
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
            let facts = &task.facts;
            let (name, params) = (facts.name.as_deref(), facts.params.as_ref());
            rows.push(crate::model::Row {
                kind: facts.kind,
                name,
                params,
                what: None,
                outcome: &task.outcome,
            });
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
    }
}

/// Each once, however many journals name it.
fn envs(campaigns: &[Campaign]) -> Vec<&Env> {
    let named: BTreeMap<&Hash, &Env> = campaigns.iter().flat_map(|campaign| &campaign.envs).collect();
    named.into_values().collect()
}

fn measurement((at, record): (usize, &Record)) -> Option<(usize, &Measurement)> {
    match record {
        Record::Measurement(measurement) => Some((at, measurement)),
        _ => None,
    }
}

fn comparison_record((at, record): (usize, &Record)) -> Option<(usize, &TaskFacts, &Outcome)> {
    match record {
        Record::Task(task) => Some((at, &task.facts, &task.outcome)),
        _ => None,
    }
}

fn repeats(campaigns: &[Campaign]) -> HashMap<&str, Vec<&Measurement>> {
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

fn repeat(again: &Measurement) -> Repeat<'_> {
    Repeat {
        host: &again.host,
        started: again.facts.started_unix_s,
        status: again.status,
        stats: again.stats.as_ref().map(figures),
    }
}

/// Which commands were compared, and where. A program that was built is named by its content.
fn in_turns<'a>(comparisons: &[Comparison<'a>]) -> HashMap<&'a [String], Vec<(usize, usize)>> {
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

fn row(journal: usize, measurement: &Measurement, most_samples: usize) -> Row<'_> {
    let facts = &measurement.facts;
    let metric = measurement.objective.metric.as_str();
    Row {
        id: &facts.id,
        journal,
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
        unit: unit(measurement),
        better: measurement.objective.better,
        stats: measurement.stats.as_ref().filter(|_| measurement.status == Status::Ok).map(figures),
        at_most: measurement
            .maxrss_floor_bytes
            .filter(|_| metric == "maxrss_bytes")
            .map(|floor| (floor + ROUGHLY_BYTES) as f64),
        samples: thinned(samples(measurement), most_samples),
        stop: measurement.stop_reason.map_or("", |reason| reason.word()),
        flags: &measurement.flags,
        argv: &measurement.argv,
        env_delta: &measurement.env_delta,
        stderr: &measurement.stderr_tail,
        same_as: measurement.same_as.as_ref().map(|same_as| same_as.what.as_str()),
        facts: further(measurement),
        metrics: others(measurement),
        repeats: Vec::new(),
        compared: Vec::new(),
    }
}

fn failure(status: Status, reason: Option<&str>) -> Option<String> {
    (status != Status::Ok).then(|| status_in_short(&Outcome::failed(status, reason.unwrap_or_default())))
}

fn figures(stats: &Summary) -> Figures {
    let Summary { n, min, q1, median, q3, max, ci, .. } = *stats;
    Figures { n, min, q1, median, q3, max, lo: ci.map(|ci| ci.lo), hi: ci.map(|ci| ci.hi) }
}

/// The unit of the objective: that of the metric, or the one in the name.
fn unit(measurement: &Measurement) -> &str {
    let metric = &measurement.objective.metric;
    match measurement.metrics.get(metric) {
        Some(column) => column.unit.as_deref().unwrap_or_default(),
        None => unit_in(metric),
    }
}

fn unit_in(name: &str) -> &'static str {
    let units = [("_s", "s"), ("_bytes", "B"), ("_j", "J")];
    units.iter().find(|(end, _)| name.ends_with(end)).map_or("", |(_, unit)| unit)
}

/// The objective of each counted run, in order.
fn samples(measurement: &Measurement) -> Vec<f64> {
    let runs = &measurement.runs;
    let whole = |column: &[u64]| column.iter().map(|figure| Some(*figure as f64)).collect::<Vec<_>>();
    let real = |column: &[f64]| column.iter().map(|figure| Some(*figure)).collect::<Vec<_>>();
    let metric = measurement.objective.metric.as_str();
    let column = match (measurement.metrics.get(metric), metric) {
        (Some(column), _) => column.value.clone(),
        (None, "user_s") => real(&runs.user_s),
        (None, "sys_s") => real(&runs.sys_s),
        (None, "maxrss_bytes") => whole(&runs.maxrss_bytes),
        (None, "minflt") => whole(&runs.minflt),
        (None, "majflt") => whole(&runs.majflt),
        (None, "nvcsw") => whole(&runs.nvcsw),
        (None, "nivcsw") => whole(&runs.nivcsw),
        (None, "inblock") => whole(&runs.inblock),
        (None, "oublock") => whole(&runs.oublock),
        (None, "energy_pkg_j") => measurement.energy_pkg_j.clone().unwrap_or_default(),
        (None, "energy_dram_j") => measurement.energy_dram_j.clone().unwrap_or_default(),
        (None, "wall_s") => real(&runs.wall_s),
        (None, _) => Vec::new(),
    };
    let counted = column.into_iter().zip(&runs.phase).filter(|(_, phase)| **phase == Phase::Sample);
    counted.filter_map(|(figure, _)| figure).collect()
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
            stats: figures(stats),
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

fn comparison<'a>(journal: usize, facts: &'a TaskFacts, outcome: &'a Outcome) -> Option<Comparison<'a>> {
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
    let MeasureResult { objective, better, stats, flags, argv, metrics, .. } = &compared.result;
    let found = compared.comparison;
    let metric: Option<&Metric> = metrics.get(objective);
    Variant {
        name: &compared.name,
        status: compared.status,
        reason: &compared.reason,
        metric: objective,
        unit: metric.map_or(unit_in(objective), |metric| metric.unit.as_deref().unwrap_or_default()),
        better: *better,
        stats: stats.as_ref().map(figures),
        flags,
        argv,
        verdict: found.map(|found| found.verdict.word()),
        ratio: found.map(|found| found.ratio),
        ci: found.and_then(|found| found.ci),
        rounds: found.map(|found| found.rounds),
    }
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
