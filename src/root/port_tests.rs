//! Tests of the port: replays before live ends, recipes, dependencies known and unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::journal::{Journal, Mode, Started};
use crate::model::{
    CallReturn, CommandSpec, CompileResult, CompileSpec, Detail, ExecSpec, Header, JOURNAL_SCHEMA,
    MeasureSpec, PoolId, Record, RunResult, TaskFacts,
};
use crate::root::ledger::answers;

struct Bench {
    port: Port,
    driver: DriverEnd,
    woken: Arc<AtomicU32>,
}

fn bench(index: Index) -> Bench {
    let woken = Arc::new(AtomicU32::new(0));
    let count = woken.clone();
    let (port, driver) = port(Setup {
        campaign: Campaign::default(),
        index,
        retrying: Default::default(),
        notices: Notices::default(),
        kept: Default::default(),
        artefact_present: Box::new(|hash| hash != Hash::of(b"swept")),
        wake: Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }),
    });
    Bench { port, driver, woken }
}

fn order(job: Job) -> Order {
    Order {
        pool: None,
        options: TaskOptions::default().into(),
        job,
        deps: Vec::new(),
        known: Vec::new(),
        deferred: false,
    }
}

fn command(argv: Vec<Arg>) -> CommandSpec {
    CommandSpec { argv, ..Default::default() }
}

fn call(payload: &[u8]) -> Order {
    order(Job::Call(CallJob { payload: payload.to_vec().into(), ..Default::default() }))
}

fn compile(name: &str) -> Order {
    let argv = vec![Arg::Text(name.as_bytes().to_vec())];
    order(Job::Compile(Box::new(CompileSpec { command: command(argv), ..Default::default() })))
}

fn exec(argv: Vec<Arg>) -> Order {
    order(Job::Exec(Box::new(ExecSpec { command: command(argv), ..Default::default() })))
}

fn measure(build: TaskId) -> Order {
    let spec = MeasureSpec { command: command(vec![Arg::Task(build)]), ..Default::default() };
    Order { deps: vec![build], ..order(Job::Measure(Box::new(spec))) }
}

fn built(artefact: &[u8]) -> Arc<Outcome> {
    let result = CompileResult { artefact: Some(Hash::of(artefact)), ..Default::default() };
    Arc::new(Outcome { status: Status::Ok, reason: None, ..ended(Detail::Compile(Box::new(result))) })
}

fn ended(detail: Detail) -> Outcome {
    Outcome { status: Status::Ok, reason: None, host: "n1".into(), detail, elapsed_s: 1.0, conditions: None }
}

fn submissions(driver: &mut DriverEnd) -> Vec<Submission> {
    let submit = |request| match request {
        Request::Submit(submission) => Some(submission),
        _ => None,
    };
    driver.requests().into_iter().filter_map(submit).collect()
}

/// The recipe keys of a script that builds `names` and measures each.
fn keys(names: &[&str]) -> Vec<Hash> {
    let mut bench = bench(Index::default());
    for name in names {
        let build = bench.port.submit(compile(name));
        bench.port.submit(measure(build));
    }
    submissions(&mut bench.driver).into_iter().filter_map(|s| Some(s.extra.recipe.as_ref()?.key)).collect()
}

/// What a journal answers that has these ends, in this order.
fn recorded(ends: &[(Hash, &Outcome)]) -> Index {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let header = || Header {
        schema: JOURNAL_SCHEMA.into(),
        version: String::new(),
        protocol: 0,
        campaign: String::new(),
        script: String::new(),
        script_hash: None,
        seed: 0,
        started_unix_s: 0.0,
    };
    let open = || Journal::create_or_open(&path, header(), Started::default(), Mode::Resume).unwrap();
    let mut writer = open().writer;
    for (key, outcome) in ends {
        let facts = TaskFacts { key: *key, ..TaskFacts::default() };
        writer.append(0, Record::of_task(facts, None, outcome));
    }
    assert!(writer.close().iter().all(Result::is_ok));
    Arc::new(open().answers)
}

fn taken(port: &mut Port, wait: Wait) -> Option<TaskId> {
    match port.take(wait) {
        Taken::Completion(completion) => Some(completion.task),
        Taken::Nothing | Taken::Line(_) => None,
        taken @ (Taken::Draining | Taken::Interrupted) => panic!("{taken:?}"),
    }
}

#[test]
fn the_driver_is_woken_once_for_a_burst() {
    let mut bench = bench(Index::default());
    for i in 0..100u8 {
        bench.port.submit(call(&[i]));
    }
    assert_eq!(bench.woken.load(Ordering::Relaxed), 1);
    assert_eq!(submissions(&mut bench.driver).len(), 100);
    bench.port.submit(call(b"x"));
    assert_eq!(bench.woken.load(Ordering::Relaxed), 2);
}

#[test]
fn completions_come_in_the_drivers_order_and_then_nothing_is_on_its_way() {
    let mut bench = bench(Index::default());
    let (a, b) = (bench.port.submit(call(b"a")), bench.port.submit(call(b"b")));
    assert_eq!(taken(&mut bench.port, Wait::Until(Instant::now())), None);
    for task in [b, a] {
        bench.driver.complete(task, Arc::new(ended(Detail::None)));
    }
    bench.driver.flush();
    assert_eq!(taken(&mut bench.port, Wait::Forever), Some(b));
    assert_eq!(taken(&mut bench.port, Wait::No), Some(a));
    assert_eq!(taken(&mut bench.port, Wait::Forever), None);
}

#[test]
fn a_waiting_script_is_woken_by_an_end_and_by_a_drain() {
    let Bench { mut port, mut driver, .. } = bench(Index::default());
    let task = port.submit(call(b"a"));
    let script = std::thread::spawn(move || {
        let first = taken(&mut port, Wait::Forever);
        port.submit(call(b"b"));
        (first, matches!(port.take(Wait::Forever), Taken::Draining))
    });
    driver.complete(task, Arc::new(ended(Detail::None)));
    driver.flush();
    while submissions(&mut driver).iter().all(|s| s.task == task) {
        std::thread::yield_now();
    }
    driver.drain();
    assert_eq!(script.join().unwrap(), (Some(task), true));
}

#[test]
fn a_waiting_script_is_interrupted_once() {
    let Bench { mut port, mut driver, .. } = bench(Index::default());
    port.submit(call(b"a"));
    let script = std::thread::spawn(move || {
        let first = port.take(Wait::Forever);
        (matches!(first, Taken::Interrupted), matches!(port.take(Wait::No), Taken::Nothing))
    });
    while !driver.script_waits() {
        driver.requests();
        std::thread::yield_now();
    }
    assert!(driver.interrupt());
    assert_eq!(script.join().unwrap(), (true, true));
    assert!(driver.interrupt(), "the one before was noticed");
    assert!(!driver.interrupt(), "nobody notices");
}

#[test]
fn lines_from_outside_are_awaited_beside_ends() {
    let Bench { mut port, mut driver, .. } = bench(Index::default());
    let lines = port.listen();
    assert!(lines.send(b"one".to_vec()));
    assert!(matches!(port.take(Wait::Forever), Taken::Nothing), "nobody asked for it");
    port.await_line();
    let task = port.submit(call(b"a"));
    driver.complete(task, Arc::new(ended(Detail::None)));
    driver.flush();
    assert_eq!(taken(&mut port, Wait::Forever), Some(task));
    assert!(matches!(port.take(Wait::Forever), Taken::Line(Some(line)) if line == b"one"));
    port.await_line();
    port.cancel(NEXT_LINE);
    assert!(matches!(port.take(Wait::Until(Instant::now())), Taken::Nothing));
    drop(lines);
    assert!(matches!(port.take(Wait::Forever), Taken::Line(None)));
}

#[test]
fn whoever_has_too_many_lines_waits_until_one_is_taken_or_none_ever_will() {
    let Bench { mut port, mut driver, .. } = bench(Index::default());
    let lines = port.listen();
    let outside = std::thread::spawn(move || {
        let long = vec![b'x'; 20 << 20];
        [lines.send(long.clone()), lines.send(long.clone()), lines.send(long)]
    });
    port.await_line();
    assert!(matches!(port.take(Wait::Forever), Taken::Line(Some(_))));
    driver.drain();
    assert!(!outside.join().unwrap()[2]);
}

#[test]
fn a_driver_that_is_gone_does_not_hang_the_script() {
    let Bench { mut port, driver, .. } = bench(Index::default());
    port.submit(call(b"a"));
    drop(driver);
    assert!(matches!(port.take(Wait::Forever), Taken::Draining));
    assert!(port.spawn(PoolSpec::default()).is_err());
}

#[test]
fn recipes_do_not_depend_on_task_numbers() {
    let alone = keys(&["b"]);
    assert_eq!(keys(&["a", "b"])[2..], alone[..]);
    // The same thing asked twice is two things.
    assert_ne!(keys(&["b", "b"])[2..], alone[..]);
}

#[test]
fn the_journal_answers_in_recorded_order_before_live_ends_and_only_when_the_script_waits() {
    let keys = keys(&["a", "b", "c"]);
    let mut bench = bench(recorded(&[(keys[2], &built(b"b")), (keys[0], &built(b"a"))]));
    let live = bench.port.submit(compile("c2"));
    let a = bench.port.submit(compile("a"));
    let b = bench.port.submit(compile("b"));
    bench.driver.complete(live, built(b"c2"));
    assert_eq!(submissions(&mut bench.driver).len(), 1);
    assert_eq!(taken(&mut bench.port, Wait::No), None);
    assert_eq!(taken(&mut bench.port, Wait::Until(Instant::now())), Some(b));
    assert_eq!(taken(&mut bench.port, Wait::Forever), Some(a));
    assert_eq!(taken(&mut bench.port, Wait::No), Some(live));
}

#[test]
fn a_live_task_gets_the_artefact_of_a_replayed_build() {
    let keys = keys(&["a"]);
    let mut bench = bench(recorded(&[(keys[0], &built(b"a.out"))]));
    let build = bench.port.submit(compile("a"));
    let before = bench.port.submit(measure(build));
    assert_eq!(taken(&mut bench.port, Wait::Forever), Some(build));
    let after = bench.port.submit(measure(build));
    let submissions = submissions(&mut bench.driver);
    assert_eq!(submissions.iter().map(|s| s.task).collect::<Vec<_>>(), [before, after]);
    for submission in &submissions {
        let Job::Measure(spec) = &submission.job else { panic!("not a measure") };
        assert_eq!(spec.command.argv, [Arg::Artefact(Hash::of(b"a.out"))]);
        assert!(submission.extra.deps.is_empty());
    }
    // Whether the build was still on its way does not change what was asked.
    assert_eq!(submissions[0].extra.recipe.as_ref().map(|recipe| recipe.key), Some(keys[1]));
}

#[test]
fn a_build_whose_artefact_is_gone_is_done_again() {
    let keys = keys(&["a"]);
    let mut bench = bench(recorded(&[(keys[0], &built(b"swept"))]));
    bench.port.submit(compile("a"));
    assert_eq!(submissions(&mut bench.driver).len(), 1);
}

#[test]
fn a_dependent_of_a_failed_replay_is_skipped_right_after_it() {
    let keys = keys(&["a"]);
    let failed = Arc::new(Outcome::failed(Status::CompileFailed, "no such header"));
    let mut bench = bench(recorded(&[(keys[0], &failed)]));
    let build = bench.port.submit(compile("a"));
    let measured = bench.port.submit(measure(build));
    assert_eq!(taken(&mut bench.port, Wait::Forever), Some(build));
    let Taken::Completion(skipped) = bench.port.take(Wait::Forever) else { panic!("no end") };
    assert_eq!((skipped.task, skipped.outcome.status), (measured, Status::Skipped));
    assert_eq!(
        skipped.outcome.reason.as_deref(),
        Some("task 0, which it depends on, ended compile_failed: no such header")
    );
    let cause = |reason: &str| skipped.outcome.status.cause(reason);
    assert_eq!(skipped.outcome.reason.as_deref().map(cause), Some(Status::CompileFailed));
    let further = "its reference, task 2, ended skipped: task 1, which it depends on, ended lost_worker: gone, ended ok";
    assert_eq!((cause(further), cause("nobody knows")), (Status::LostWorker, Status::Skipped));
    let late = bench.port.submit(measure(build));
    assert_eq!(taken(&mut bench.port, Wait::Forever), Some(late));
    assert!(submissions(&mut bench.driver).is_empty());
}

#[test]
fn a_time_out_is_asked_again_under_a_wider_limit() {
    let mut timed_out = Outcome::failed(Status::Timeout, "ran into its limit of 5 s");
    timed_out.elapsed_s = 5.1;
    for (limit, answered) in [(Some(5.0), true), (Some(60.0), false), (None, false)] {
        let options = TaskOptions { timeout: limit, ..Default::default() };
        assert_eq!(answers(&timed_out, &options), answered, "{limit:?}");
    }
    assert!(!answers(&Outcome::failed(Status::LostWorker, ""), &TaskOptions::default()));
}

#[test]
fn a_deferred_task_runs_when_a_live_task_needs_it() {
    let mut bench = bench(Index::default());
    let reference = bench.port.submit(Order { deferred: true, ..exec(vec![Arg::Text(b"ref".to_vec())]) });
    assert!(submissions(&mut bench.driver).is_empty());
    assert_eq!(taken(&mut bench.port, Wait::Forever), None);
    let mut spec = MeasureSpec { command: command(vec![Arg::Text(b"x".to_vec())]), ..Default::default() };
    spec.verify.reference = Some(Arg::Task(reference));
    bench.port.submit(Order { deps: vec![reference], ..order(Job::Measure(Box::new(spec))) });
    let mut submissions = submissions(&mut bench.driver);
    assert_eq!(submissions.iter().map(|s| s.task.0).collect::<Vec<_>>(), [0, 1]);
    let run = RunResult { stdout: b"42\n".to_vec(), stdout_bytes: 3, ..Default::default() };
    settle(&mut submissions[1], reference, &ended(Detail::Exec(Box::new(run)))).unwrap();
    let Job::Measure(spec) = &submissions[1].job else { panic!("not a measure") };
    assert_eq!(spec.verify.reference, Some(Arg::Text(b"42\n".to_vec())));
}

#[test]
fn a_result_that_is_no_text_cannot_be_an_argument() {
    let mut bench = bench(Index::default());
    let value = bench.port.submit(call(b"f"));
    bench.port.submit(Order { deps: vec![value], ..exec(vec![Arg::Task(value)]) });
    let mut submissions = submissions(&mut bench.driver);
    let table = CallReturn::default();
    let unmet = settle(&mut submissions[1], value, &ended(Detail::Call(table))).unwrap_err();
    assert_eq!(
        unmet.to_string(),
        "task 0 cannot be an argument of the command: it returned neither a string nor a number"
    );
    assert_eq!(unmet.outcome().status, Status::SetupFailed);
}

#[test]
fn the_end_of_the_script_is_the_last_request() {
    let Bench { mut port, mut driver, .. } = bench(Index::default());
    port.submit(call(b"a"));
    drop(port);
    assert!(matches!(driver.requests()[..], [Request::Submit(_), Request::End]));
}

#[test]
fn a_driver_that_rests_is_not_woken_and_one_that_has_something_to_read_does_not_rest() {
    let Bench { mut port, mut driver, woken } = bench(Index::default());
    let woken = || woken.load(Ordering::Relaxed);
    port.submit(call(b"a"));
    assert_eq!((woken(), driver.rest()), (1, false));
    assert_eq!(driver.requests().len(), 1);
    assert!(driver.rest());
    port.submit(call(b"b"));
    assert_eq!((woken(), driver.requests().len()), (1, 1));
    port.submit(call(b"c"));
    assert_eq!(woken(), 2, "it has looked since");
}

#[test]
fn a_spawn_waits_for_the_drivers_answer() {
    let Bench { mut port, mut driver, .. } = bench(Index::default());
    let script = std::thread::spawn(move || port.spawn(PoolSpec::default()));
    let answer = PoolInfo { id: PoolId(1), workers: vec![] };
    loop {
        if let [Request::Spawn(_)] = driver.requests()[..] {
            break driver.spawned(Ok(answer.clone()));
        }
        std::thread::yield_now();
    }
    assert_eq!(script.join().unwrap(), Ok(answer));
}

#[test]
fn what_the_driver_never_had_is_explained_without_it() {
    let all = keys(&["a"]);
    let mut bench = bench(recorded(&[(all[0], &built(b"a"))]));
    let recorded = bench.port.submit(compile("a"));
    assert!(bench.port.explain(recorded).contains("the journal has its outcome"));
    let held = bench.port.submit(Order { deferred: true, ..exec(vec![]) });
    assert!(bench.port.explain(held).contains("needs it yet"));
    bench.port.cancel(held);
    assert_eq!(bench.port.explain(held), ENDED);
    assert!(bench.driver.requests().iter().all(|request| !matches!(request, Request::Explain(_))));

    let sent = bench.port.submit(call(b"x"));
    bench.driver.explained("it runs".into());
    assert_eq!(bench.port.explain(sent), "it runs");
    assert!(
        bench
            .driver
            .requests()
            .iter()
            .any(|request| matches!(request, Request::Explain(task) if *task == sent))
    );
    bench.driver.drain();
    assert!(bench.port.explain(sent).contains("being stopped"));
}
