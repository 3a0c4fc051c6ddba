//! Tests of the record of a measurement.

use super::*;
use crate::model::{Kind, Record};

fn facts() -> TaskFacts {
    TaskFacts {
        id: "01ARYZ6S410000000000000000".into(),
        campaign: "01ARYZ6S400000000000000000".into(),
        trial: 3,
        parent: None,
        kind: Kind::Measure,
        key: Hash::of(b"gemm"),
        parts: None,
        program_at_end: None,
        content_key: None,
        name: Some("gemm".into()),
        params: Some(serde_json::json!({"tile": 32})),
        search: None,
        limit_s: Some(60.0),
        worker: None,
        slot: None,
        env: None,
        artefact: None,
        placement: None,
        cost: None,
        queue_s: None,
        started_unix_s: None,
        ended_unix_s: None,
        asked: None,
    }
}

fn measured() -> Outcome {
    let sample = |phase, wall_s, gflops: Option<f64>| Sample {
        phase,
        t_start_s: 0.1 + wall_s,
        usage: Usage { wall_s, user_s: wall_s / 3.0, maxrss_bytes: 1 << 40, ..Usage::default() },
        metrics: gflops.map(|value| ("gflops".to_owned(), value)).into_iter().collect(),
        output_hash: (phase == Phase::Warmup).then(|| Hash::of(b"out")),
        energy: Energy { pkg_j: gflops.map(|_| 0.1 + wall_s), dram_j: None },
    };
    let metric = Metric {
        unit: Some("GFLOP/s".into()),
        better: Better::More,
        value: vec![0.1 + 0.2, 7.0],
        stats: Some(Summary { n: 2, mean: 3.65, ..Summary::default() }),
    };
    Outcome {
        status: Status::Ok,
        reason: None,
        host: "node1".into(),
        detail: Detail::Measure(Box::new(MeasureResult {
            samples: vec![
                sample(Phase::Warmup, 1.0 / 3.0, None),
                sample(Phase::Sample, 0.1, Some(0.1 + 0.2)),
                sample(Phase::Sample, 5e-324, Some(7.0)),
            ],
            stats: Some(Summary { n: 2, median: 0.05, ..Summary::default() }),
            metrics: [("gflops".to_owned(), metric)].into(),
            objective: "wall_s".into(),
            better: Better::Less,
            stop_reason: StopReason::Fixed,
            flags: vec!["unstable".into()],
            counters: Some(Counters {
                pass: "separate".into(),
                events: [("cycles".to_owned(), Default::default())].into(),
            }),
            verify: VerifyResult { status: "ok".into(), method: "stdout".into(), max_abs_err: None },
            floor_s: Some(0.001),
            maxrss_floor_bytes: None,
            exit_code: None,
            signal: None,
            stderr_tail: String::new(),
            argv: vec!["./gemm".into(), "512".into()],
            launched: None,
            same_as: None,
            hooks: Some(HookTimes { setup_s: Some(0.25), prepare_s: vec![0.1; 3], ..HookTimes::default() }),
        })),
        elapsed_s: 1.25,
        conditions: Conditions {
            moving: Moving { freq_hz: Some([1e9, 2e9]), throttle_count: Some(3), ..Moving::default() },
            placed: None,
        }
        .told(),
    }
}

/// The same as an MPI application.
fn launched() -> Outcome {
    let mut outcome = measured();
    let Detail::Measure(result) = &mut outcome.detail else { unreachable!() };
    for sample in &mut result.samples {
        sample.usage = Usage { wall_s: sample.usage.wall_s, ..Usage::default() };
    }
    let hosts = vec!["node1".to_owned(), "node2".to_owned()];
    result.launched = Some(Launched { hosts, ranks: 4, argv: vec!["mpiexec".into()] });
    outcome
}

#[test]
fn of_an_mpi_application_only_the_wall_time_is_recorded() {
    let record = Record::of_task(facts(), Some(&MeasureSpec::default()), &launched());
    let line = serde_json::to_value(&record).unwrap();
    assert_eq!((&line["nodes"], &line["ranks"]), (&2.into(), &4.into()));
    assert_eq!(line["hosts"], serde_json::json!(["node1", "node2"]));
    assert_eq!(line["launcher_argv"], serde_json::json!(["mpiexec"]));
    assert_eq!((line["wall_s"].as_array().map(Vec::len), &line["user_s"]), (Some(3), &serde_json::json!([])));
}

#[test]
fn a_replayed_outcome_is_the_recorded_one() {
    let failed = Outcome::failed(Status::SetupFailed, "no such folder");
    for outcome in [measured(), launched(), failed] {
        let record = Record::of_task(facts(), Some(&MeasureSpec::default()), &outcome);
        let line = serde_json::to_string(&record).unwrap();
        let back = Record::parse(line.as_bytes()).unwrap();
        assert_eq!(back, record);
        assert!(back.is_sound(), "a journal with it can be read");
        assert_eq!(back.into_task().map(|(_, outcome)| outcome), Some(outcome));
    }
}

#[test]
fn the_line_has_every_name_of_the_schema_and_null_for_what_is_not_known() {
    let record = Record::of_task(facts(), Some(&MeasureSpec::default()), &measured());
    let line = serde_json::to_value(&record).unwrap();
    assert_eq!((&line["type"], &line["schema"]), (&"measurement".into(), &MEASUREMENT_SCHEMA.into()));
    assert_eq!(line["phase"], serde_json::json!(["warmup", "sample", "sample"]));
    assert_eq!(line["wall_s"].as_array().map(Vec::len), Some(3));
    assert_eq!(line["metrics"]["gflops"]["value"], serde_json::json!([null, 0.1 + 0.2, 7.0]));
    let names = "id campaign trial parent key content_key params name argv cwd env_delta stdin_hash artefact \
        compile inputs status exit_code signal reason stderr_tail censored limit_s limit_source phase \
        t_start_s wall_s user_s sys_s maxrss_bytes maxrss_floor_bytes mem_peak_cgroup_bytes minflt majflt \
        nvcsw nivcsw inblock oublock freq_hz temp_c throttle_count psi_cpu_some_s psi_mem_some_s \
        psi_io_some_s load1 others_cpu_s steal_s energy_pkg_j energy_dram_j counters metrics verify objective stats stop_reason rounds \
        order_seed block flags floor_s nodes ranks hosts launcher_argv placement env code harness cost \
        started_unix_s ended_unix_s clock_offset_s";
    for name in names.split_whitespace() {
        assert!(line.get(name).is_some(), "{name} is missing");
    }
    for name in ["parent", "energy_dram_j", "nodes", "maxrss_floor_bytes", "temp_c"] {
        assert!(line[name].is_null(), "{name} is {}", line[name]);
    }
}

#[test]
fn a_timeout_is_a_lower_bound_and_not_a_time() {
    let record = Measurement::from(
        facts(),
        &MeasureSpec::default(),
        &Outcome::failed(Status::Timeout, "ran into its limit of 60 s"),
    );
    assert!(record.censored && record.stats.is_none() && record.runs.wall_s.is_empty());
    assert_eq!(record.limit_source.as_deref(), Some("user"));
}

#[test]
fn columns_that_do_not_fit_are_not_replayed() {
    let mut record = Measurement::from(facts(), &MeasureSpec::default(), &measured());
    assert!(record.outcome().is_some());
    record.runs.user_s.pop();
    assert_eq!((record.outcome(), record.is_sound()), (None, false));
    let mut record = Measurement::from(facts(), &MeasureSpec::default(), &launched());
    record.runs.wall_s.pop();
    assert_eq!((record.outcome(), record.is_sound()), (None, false));
}
