//! Measurements: their figures, and that a failure has none.

use super::*;

fn measured(outcome: &Outcome) -> &MeasureResult {
    match &outcome.detail {
        Detail::Measure(result) => result,
        other => panic!("not a measurement: {other:?}"),
    }
}

fn rate() -> BTreeMap<String, MetricSpec> {
    let source = MetricSource::Pattern { regex: "rate: ([0-9.]+)".into(), pattern: "rate: ([%d.]+)".into() };
    let spec = MetricSpec { source, ..MetricSpec::default() };
    BTreeMap::from([("rate".into(), spec)])
}

#[test]
fn a_measurement_of_a_fixed_number_of_runs() {
    let mut keeper = Keeper::start();
    let spec = MeasureSpec {
        command: command(&["sh", "-c", "echo x >> count; echo rate: $(wc -l < count)"]),
        runs: Some(5),
        metrics: rate(),
        objective: "rate".into(),
        better: Better::More,
        ..MeasureSpec::default()
    };
    let outcome = keeper.run(Work::Measure(Box::new(spec)), None);
    assert!(outcome.ok(), "{outcome:?}");
    let result = measured(&outcome);
    assert_eq!(result.stop_reason, StopReason::Fixed);
    let phases: Vec<Phase> = result.samples.iter().map(|sample| sample.phase).collect();
    assert_eq!(phases[..2], [Phase::Warmup, Phase::Sample]);
    assert_eq!(result.metrics["rate"].value, [2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(result.stats.as_ref().map(|stats| (stats.n, stats.median)), Some((5, 4.0)));
    assert!(result.floor_s.unwrap() > 0.0 && result.maxrss_floor_bytes.unwrap() > 0);
    assert!(result.samples.windows(2).all(|pair| pair[0].t_start_s < pair[1].t_start_s));
}

/// Most of these arrive while a run has ended or none has begun; each must be heard all the same.
#[test]
fn a_measurement_of_short_runs_is_cancelled_whenever_it_is() {
    let mut keeper = Keeper::start();
    let endless = MeasureSpec {
        command: command(&["true"]),
        runs: Some(u32::MAX),
        max_runs: u32::MAX,
        ..MeasureSpec::default()
    };
    for _ in 0..20 {
        let task = keeper.begin(Work::Measure(Box::new(endless.clone())), None);
        keeper.kill(task);
        let outcome = keeper.outcome(task);
        assert_eq!(outcome.status, Status::Cancelled, "{outcome:?}");
    }
    for n in 1..=20 {
        let outcome = keeper.run(Work::Measure(Box::new(endless.clone())), Some(f64::from(n) * 0.003));
        assert_eq!(outcome.status, Status::Timeout, "{outcome:?}");
    }
}

#[test]
fn a_measurement_that_fails_keeps_its_samples_and_has_no_figure() {
    let mut keeper = Keeper::start();
    let mut spec = MeasureSpec {
        command: command(&[
            "sh",
            "-c",
            "echo x >> count; n=$(wc -l < count); echo rate: $n; echo dying >&2; test $n -lt 3",
        ]),
        runs: Some(5),
        ..MeasureSpec::default()
    };
    let outcome = keeper.run(Work::Measure(Box::new(spec.clone())), None);
    assert_eq!(outcome.status, Status::NonzeroExit);
    assert_eq!(reason(&outcome), "sample 2: exit code 1; the end of its standard error:\ndying");
    let result = measured(&outcome);
    assert_eq!((result.samples.len(), result.stop_reason, &result.stats), (2, StopReason::Failed, &None));
    assert_eq!((result.exit_code, result.stderr_tail.as_str()), (Some(1), "dying"));

    spec.command = command(&["echo", "speed: 7"]);
    spec.metrics = rate();
    let outcome = keeper.run(Work::Measure(Box::new(spec.clone())), None);
    assert_eq!(outcome.status, Status::MetricMissing);
    let expected = "warm-up run 1: metric `rate`: pattern 'rate: ([%d.]+)' is not in the output; its standard output ends with:\nspeed: 7";
    assert_eq!(reason(&outcome), expected);

    spec.metrics = BTreeMap::new();
    spec.verify.reference = Some(Arg::Text(b"speed: 8\n".to_vec()));
    let outcome = keeper.run(Work::Measure(Box::new(spec.clone())), None);
    assert_eq!(outcome.status, Status::VerifyFailed);
    assert_eq!(
        reason(&outcome),
        "warm-up run 1: output differs in line 1: expected `speed: 8`, got `speed: 7` (if it is a time or a rate, declare it in `metrics`); \
         the numbers are off by up to 1.2e-1 of those expected, and there is no `rtol`"
    );
    assert_eq!(measured(&outcome).verify.max_abs_err, Some(1.0));
    spec.verify.atol = 1.0;
    let outcome = keeper.run(Work::Measure(Box::new(spec.clone())), None);
    assert!(outcome.ok() && measured(&outcome).verify.status == "ok");

    spec.command = command(&["sleep", "600"]);
    let outcome = keeper.run(Work::Measure(Box::new(spec)), Some(0.5));
    assert_eq!(outcome.status, Status::Timeout);
    assert_eq!(reason(&outcome), "warm-up run 1: ran into its timeout of 0.5 s; it was killed");
}

/// Waits for a file that a program of the test makes.
fn until_there(file: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !file.exists() {
        assert!(Instant::now() < deadline, "{} was not made", file.display());
        let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 2_000_000 }));
    }
}

#[test]
fn what_is_to_be_cleaned_up_is_also_after_a_cancel_and_during_one() {
    let mut keeper = Keeper::start();
    let line = |line: &str| Some(HookSpec { shell: Some(line.into()), ..HookSpec::default() });
    let hooks = Hooks {
        setup: line("echo setup > log"),
        cleanup: line("echo cleanup >> log; sleep 0.1; echo done >> log"),
        ..Hooks::default()
    };
    let mut spec = MeasureSpec {
        command: command(&["sh", "-c", "touch ran; sleep 600"]),
        hooks,
        runs: Some(1),
        warmup: 0,
        ..MeasureSpec::default()
    };
    let task = keeper.begin(Work::Measure(Box::new(spec.clone())), None);
    until_there(&keeper.campaign().join("ran"));
    keeper.kill(task);
    let outcome = keeper.outcome(task);
    assert_eq!(outcome.status, Status::Cancelled, "{outcome:?}");
    assert_eq!(fs::read_to_string(keeper.campaign().join("log")).unwrap(), "setup\ncleanup\ndone\n");

    // Told to end while it cleans up, it has its time all the same.
    spec.command = command(&["true"]);
    spec.hooks.cleanup = line("touch cleaning; until test -e go; do sleep 0.01; done; echo gone > log");
    let task = keeper.begin(Work::Measure(Box::new(spec)), None);
    until_there(&keeper.campaign().join("cleaning"));
    keeper.kill(task);
    fs::write(keeper.campaign().join("go"), "").unwrap();
    let outcome = keeper.outcome(task);
    assert!(outcome.ok(), "{outcome:?}");
    assert_eq!(fs::read_to_string(keeper.campaign().join("log")).unwrap(), "gone\n");
    assert_eq!(measured(&outcome).hooks.as_ref().unwrap().cleanup_failure, None);
}
