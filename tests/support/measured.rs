//! Records of measurements and journals of them, made without measuring: for tests of what reads journals, those inside
//! of the crate (which goes by its own name there) and those of the real binary.
#![allow(dead_code)]

use std::collections::BTreeMap;

use harness::model::{
    Detail, Hash, Header, JOURNAL_SCHEMA, Kind, MeasureResult, MeasureSpec, Measurement, Outcome, Phase,
    Record, Sample, Status, StopReason, TaskFacts, Usage, ulid,
};
use harness::stats::summary;
use serde_json::Value;

/// A measurement that began then.
pub fn record(name: &str, params: Option<Value>, unix_s: f64, outcome: &Outcome) -> Measurement {
    let what = format!("{name} {params:?}");
    let Hash(random) = Hash::of(what.as_bytes());
    let facts = TaskFacts {
        id: ulid((unix_s * 1e3) as u64, std::array::from_fn(|at| random[at])),
        kind: Kind::Measure,
        key: Hash::of(what.as_bytes()),
        name: Some(name.into()),
        params,
        started_unix_s: Some(unix_s),
        ..TaskFacts::default()
    };
    Measurement::from(facts, &MeasureSpec::default(), outcome)
}

/// It ended well, on `node1`.
pub fn well(result: MeasureResult) -> Outcome {
    let detail = Detail::Measure(Box::new(result));
    Outcome { reason: None, detail, ..ill(Status::Ok, "") }
}

/// It did not.
pub fn ill(status: Status, reason: &str) -> Outcome {
    Outcome { host: "node1".into(), ..Outcome::failed(status, reason) }
}

/// What took so long in each run.
pub fn timed(wall_s: &[f64]) -> MeasureResult {
    let sample = |wall_s: &f64| Sample {
        phase: Phase::Sample,
        t_start_s: 0.0,
        usage: Usage { wall_s: *wall_s, ..Usage::default() },
        metrics: BTreeMap::new(),
        output_hash: None,
        energy: Default::default(),
    };
    MeasureResult {
        samples: wall_s.iter().map(sample).collect(),
        stats: Some(summary(wall_s)),
        objective: "wall_s".into(),
        stop_reason: StopReason::Fixed,
        argv: vec!["gemm".into()],
        ..MeasureResult::default()
    }
}

/// Ten runs about this median.
pub fn about(median: f64) -> MeasureResult {
    let runs: Vec<f64> = (0..10).map(|at| median * (1.0 + 0.001 * (f64::from(at) - 4.5))).collect();
    timed(&runs)
}

/// The journal of a run of this script that began then.
pub fn journal(script: &str, unix_s: f64, records: Vec<Measurement>) -> String {
    let records = records.into_iter().map(|record| Record::Measurement(Box::new(record)));
    let lines = [Record::Header(header(script, unix_s))].into_iter().chain(records);
    lines.map(|record| serde_json::to_string(&record).unwrap_or_default() + "\n").collect()
}

/// Its first line.
pub fn header(script: &str, unix_s: f64) -> Header {
    Header {
        schema: JOURNAL_SCHEMA.into(),
        version: "0.1.0".into(),
        protocol: 1,
        campaign: ulid(unix_s as u64 * 1000, [0; 10]),
        script: script.into(),
        script_hash: None,
        seed: 1,
        started_unix_s: unix_s,
    }
}
