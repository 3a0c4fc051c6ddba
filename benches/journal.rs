//! How long a campaign takes to go on: journals of 100 000 finished tasks, opened and indexed, and then every one of
//! them answered, beside what only reading the bytes takes. `tools/with-mpi none cargo bench --no-default-features --bench journal`
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use harness::journal::{Journal, Mode, Opened};
use harness::model::{
    Asked, Detail, Hash, Header, JOURNAL_SCHEMA, Kind, MeasureResult, MeasureSpec, Outcome, Phase, Placement,
    Record, RunResult, Sample, Status, StopReason, TaskFacts, Usage,
};

const RECORDS: u64 = 100_000;
/// Runs of each measurement, warm-up included.
const RUNS: usize = 16;

fn main() {
    for (name, kind) in [("exec with a key", Kind::Exec), ("measure, 16 runs", Kind::Measure)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut writer = open(&path).writer;
        for number in 0..RECORDS {
            writer.append(number, record(number, kind));
        }
        assert_eq!(writer.close().into_iter().filter(Result::is_ok).count() as u64, RECORDS);
        let began = Instant::now();
        let bytes = std::fs::read(&path).unwrap().len();
        let read = began.elapsed();
        let began = Instant::now();
        let opened = open(&path);
        let resumed = began.elapsed();
        let began = Instant::now();
        let answers = opened.index.into_finished().filter_map(|(_, record)| record.into_task()).count();
        assert_eq!(answers as u64, RECORDS);
        println!(
            "{name}: {answers} records, {} MiB: read in {:.0} ms, opened in {:.0} ms, answers in {:.0} ms",
            bytes >> 20,
            read.as_secs_f64() * 1e3,
            resumed.as_secs_f64() * 1e3,
            began.elapsed().as_secs_f64() * 1e3
        );
    }
}

fn open(path: &std::path::Path) -> Opened {
    let header = Header {
        schema: JOURNAL_SCHEMA.into(),
        version: "0.1.0".into(),
        protocol: 1,
        campaign: "01ARYZ6S400000000000000000".into(),
        script: "tiles.lua".into(),
        script_hash: None,
        seed: 7,
        started_unix_s: 1.7e9,
    };
    Journal::create_or_open(path, header, None, Mode::Resume).unwrap()
}

fn record(number: u64, kind: Kind) -> Record {
    let facts = TaskFacts {
        id: format!("{number:026}"),
        campaign: "01ARYZ6S400000000000000000".into(),
        trial: number,
        parent: None,
        kind,
        key: Hash::of(&number.to_le_bytes()),
        parts: Some(Default::default()),
        content_key: None,
        name: Some("gemm".into()),
        params: Some(serde_json::json!({ "tile": number, "flags": "-O3 -march=native" })),
        limit_s: None,
        worker: None,
        slot: None,
        env: None,
        artefact: None,
        placement: None,
        queue_s: Some(0.001),
        started_unix_s: Some(1.7e9),
        ended_unix_s: Some(1.7e9),
        asked: Some(Asked::to_measure(&MeasureSpec::default(), &Placement::default()))
            .filter(|_| kind == Kind::Measure)
            .and_then(|asked| asked.written()),
    };
    let detail = match kind {
        Kind::Measure => Detail::Measure(Box::new(measured(number))),
        _ => Detail::Exec(Box::new(RunResult { stdout: b"GFLOPS: 12.5\n".to_vec(), ..Default::default() })),
    };
    let outcome = Outcome {
        status: Status::Ok,
        reason: None,
        host: "node1".into(),
        detail,
        elapsed_s: 1.25,
        conditions: None,
    };
    Record::of_task(facts, Some(&MeasureSpec::default()), &outcome)
}

fn measured(number: u64) -> MeasureResult {
    let sample = |run: usize| Sample {
        phase: if run == 0 { Phase::Warmup } else { Phase::Sample },
        t_start_s: run as f64 * 0.1,
        usage: Usage {
            wall_s: 0.1 + (number as f64 + run as f64).sin() * 1e-3,
            user_s: 0.09,
            maxrss_bytes: 1 << 24,
            minflt: 1234,
            ..Usage::default()
        },
        metrics: [("gflops".to_owned(), 12.5 + run as f64 * 0.01)].into(),
        output_hash: None,
        energy: Default::default(),
    };
    MeasureResult {
        samples: (0..RUNS).map(sample).collect(),
        stats: Some(Default::default()),
        metrics: Default::default(),
        objective: "wall_s".into(),
        better: Default::default(),
        stop_reason: StopReason::Precise,
        flags: Vec::new(),
        counters: None,
        verify: Default::default(),
        floor_s: Some(0.001),
        maxrss_floor_bytes: Some(1 << 20),
        exit_code: Some(0),
        signal: None,
        stderr_tail: String::new(),
        argv: vec!["./gemm".into(), "1024".into()],
        launched: None,
        same_as: None,
        hooks: None,
    }
}
