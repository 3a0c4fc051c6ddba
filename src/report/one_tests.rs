//! Tasks told whole, from records made here.

use super::*;
use crate::model::{
    CompileResult, CounterValues, Counters, Energy, Hash, Header, Interval, Kind, MeasureResult, MeasureSpec,
    Phase, RunResult, Sample, Session, StopReason, Summary, Usage,
};
use serde_json::json;

fn sample(phase: Phase, wall_s: f64) -> Sample {
    Sample {
        phase,
        t_start_s: 0.0,
        usage: Usage { wall_s, user_s: wall_s / 2.0, maxrss_bytes: 64 << 20, ..Usage::default() },
        metrics: [("gflops".to_string(), 1.0 / wall_s)].into(),
        output_hash: None,
        energy: Energy::default(),
    }
}

fn result() -> MeasureResult {
    let walls = [0.110, 0.101, 0.102, 0.103, 0.104, 0.105, 0.106, 0.107, 0.108];
    let ci = Some(Interval { lo: 0.101, hi: 0.108, level: 0.95, exact_level: 0.992 });
    let stats = Summary {
        n: 8,
        min: 0.101,
        p05: 0.1013,
        q1: 0.1027,
        median: 0.1045,
        q3: 0.1062,
        p95: 0.1076,
        max: 0.108,
        mean: 0.1045,
        sd: 0.0024,
        mad: 0.002,
        ci,
        rel_half_width: None,
    };
    let mut result = MeasureResult::sample(stats, StopReason::Fixed);
    result.samples = std::iter::once(sample(Phase::Warmup, walls[0]))
        .chain(walls[1..].iter().map(|wall| sample(Phase::Sample, *wall)))
        .collect();
    result.argv = ["/cache/objects/3f", "--size", "two words"].map(str::to_string).into();
    result.flags = vec!["drift".into(), "outliers_mild:3".into(), "new".into()];
    result.floor_s = Some(0.001);
    let event = |value: [f64; 3]| CounterValues { value: value.map(Some).into(), ..CounterValues::default() };
    let events = [("task-clock", event([2e6, 1e6, 3e6])), ("instructions", event([7.0, 9.0, 8.0]))];
    let events = events.map(|(name, event)| (name.to_string(), event)).into();
    result.counters = Some(Counters { pass: "separate".into(), events });
    result
}

fn header() -> Header {
    serde_json::from_value(json!({
        "schema": "", "version": "", "protocol": 1, "campaign": "", "script": "c.lua", "script_hash": null, "seed": 1,
        "started_unix_s": 0.0
    }))
    .unwrap()
}

fn session() -> Record {
    let session = json!({
        "version": "", "protocol": 1, "script_hash": null, "started_unix_s": 1.0, "pid": 7, "host": "node1"
    });
    Record::Session(serde_json::from_value::<Session>(session).unwrap())
}

fn facts(kind: Kind, id: &str) -> TaskFacts {
    TaskFacts {
        id: id.into(),
        kind,
        trial: 4,
        name: Some("gemm".into()),
        params: Some(json!({ "tile": 8 })),
        started_unix_s: Some(1_798_761_599.0),
        queue_s: Some(0.25),
        limit_s: Some(60.0),
        artefact: (kind == Kind::Measure).then(|| Hash::of(b"program")),
        ..TaskFacts::default()
    }
}

fn ended(status: Status, detail: Detail) -> Outcome {
    let reason = (status != Status::Ok).then(|| "exit code 1\nand more".to_string());
    Outcome { status, reason, host: "node1".into(), detail, elapsed_s: 3.0, conditions: None }
}

fn measurement(id: &str) -> Measurement {
    let mut spec = MeasureSpec::default();
    spec.command.env.insert("OMP_NUM_THREADS".into(), "1".into());
    let outcome = ended(Status::Ok, Detail::Measure(Box::new(result())));
    let mut one = Measurement::from(facts(Kind::Measure, id), &spec, &outcome);
    one.moving.load1 = Some([0.1, 1.25]);
    one
}

fn build() -> Record {
    let build = CompileResult {
        artefact: Some(Hash::of(b"program")),
        artefact_bytes: 2048,
        argv: ["gcc", "-O3", "gemm.c"].map(str::to_string).into(),
        compiler: "/usr/bin/gcc (gcc 12)".into(),
        diagnostics: "gemm.c:3: warning: unused".into(),
        ..CompileResult::default()
    };
    let outcome = ended(Status::Ok, Detail::Compile(Box::new(build)));
    Record::of_task(facts(Kind::Compile, "B"), None, &outcome)
}

#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|shown| shown == *line), "no line `{line}` in\n{text}");
    }
}

#[test]
fn a_measurement_is_told_whole() {
    let mut again = measurement("AGAIN");
    again.facts.parent = Some("A".into());
    let again = Record::Measurement(Box::new(again));
    let records = [
        Record::Header(header()),
        session(),
        build(),
        session(),
        Record::Measurement(Box::new(measurement("A"))),
        again,
    ];
    let text = whole(&records[4], &records);
    let artefact = format!("  program       artefact {}", Hash::of(b"program"));
    has(
        &text,
        &[
            "measure gemm tile=8",
            "  median 104.5 ms, 95 % CI [101.0, 108.0], n = 8, fixed; drift, outliers_mild:3, new",
            "  command       /cache/objects/3f --size 'two words'",
            "  environment   OMP_NUM_THREADS=1",
            "  folder        the campaign's",
            &artefact,
            "  built by      gcc -O3 gemm.c",
            "  compiler      /usr/bin/gcc (gcc 12)",
            "  ran           2026-12-31 23:59:59 UTC, for 3 s, after 250 ms in the queue",
            "  limit         60 s",
            "  task          4 of run 2",
            "  of            wall_s in ms; less is better",
            "  median        104.5, 95 % CI [101.0, 108.0] (of its ranks: 99.2 %)",
            "  quartiles     102.7, 106.2",
            "  mean          104.5, sd 2.4, mad 2.0",
            "  warm-up       █",
            "  samples       ▁▂▃▄▅▆▇█  101.0 … 108.0, a character each",
            "  user_s        52.25 ms",
            "  memory        64.00 MiB",
            "  instructions  8 in 3 runs",
            "  task-clock    2 ms in 3 runs",
            "  load          0.10 before, 1.25 after",
            "  drift: the figures move in one direction by more than precision",
            "    → a longer warmup; something heats up, fills or leaks. Compare nothing with it",
            "  new",
        ],
    );
    assert!(
        text.contains(
            "\nmeasured again by `harness rerun`\n  2026-12-31 23:59:59 UTC on node1: median 104.5 ms"
        ),
        "{text}"
    );
    let bars = text.lines().filter(|line| line.contains(" … ") && line.contains('█')).count();
    assert!(bars >= 2, "{text}");
    assert!(!text.contains("how it ended"), "{text}");
}

/// A program that several builds made is shown with the flags of the build that this measurement was of.
#[test]
fn of_builds_of_the_same_program_its_own_is_shown() {
    let with = |params: Value, argv: &str| {
        let Record::Task(mut build) = build() else { panic!("a build is a task") };
        build.facts.params = Some(params);
        let Detail::Compile(result) = &mut build.outcome.detail else { panic!("and has what was built") };
        result.argv = vec!["gcc".into(), argv.into()];
        Record::Task(build)
    };
    let shown = |builds: [Record; 2]| {
        let mut records = vec![Record::Header(header()), session()];
        records.extend(builds);
        records.push(Record::Measurement(Box::new(measurement("A"))));
        whole(&records[4], &records)
    };
    let others = [with(json!({ "tile": 8 }), "-DTILE=8"), with(json!({ "tile": 16 }), "-DTILE=16")];
    has(&shown(others), &["  built by      gcc '-DTILE=8'"]);
    let unknown = [with(json!({}), "-DTILE=8"), with(json!({ "tile": 16 }), "-DTILE=16")];
    has(&shown(unknown), &["  built by      gcc '-DTILE=16' (others made the same program)"]);
}

#[test]
fn what_failed_says_why_and_what_it_said() {
    let mut failed = result();
    failed.stats = None;
    failed.stop_reason = StopReason::Failed;
    failed.exit_code = Some(3);
    failed.stderr_tail = (0..30).map(|line| format!("line {line}\x1b\n")).collect();
    let outcome = ended(Status::NonzeroExit, Detail::Measure(Box::new(failed)));
    let one = Measurement::from(facts(Kind::Measure, "A"), &MeasureSpec::default(), &outcome);
    let records = [Record::Measurement(Box::new(one))];
    let text = whole(&records[0], &records);
    has(
        &text,
        &[
            "  nonzero_exit: exit code 1",
            "  status        nonzero_exit",
            "  reason        exit code 1",
            "                and more",
            "  exit code     3",
            "  stderr        … (10 lines before)",
            "                line 29\\x1b",
        ],
    );
    assert!(
        !text.contains("\nstatistics\n") && text.contains("\nhistogram"),
        "the runs before it stay: {text}"
    );
}

#[test]
fn other_tasks_tell_what_is_known() {
    let records = [build()];
    has(
        &whole(&records[0], &records),
        &[
            "compile gemm tile=8",
            "  ok",
            "  command       gcc -O3 gemm.c",
            &format!("  made          artefact {}, 2 KiB", Hash::of(b"program")),
            "  diagnostics   gemm.c:3: warning: unused",
        ],
    );
    let run = RunResult {
        exit_code: Some(1),
        stdout: b"hello\nworld\n".to_vec(),
        stdout_bytes: 4096,
        argv: vec!["./p".into()],
        ..RunResult::default()
    };
    let outcome = ended(Status::NonzeroExit, Detail::Exec(Box::new(run)));
    let records = [Record::of_task(facts(Kind::Exec, "E"), None, &outcome)];
    has(
        &whole(&records[0], &records),
        &[
            "exec gemm tile=8",
            "  exit code     1",
            "  stdout        hello",
            "                world",
            "                (12 B of 4 KiB were kept)",
        ],
    );
}
