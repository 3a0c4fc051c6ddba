//! Dependencies that fail, workers that are lost, late answers, cancellation, deadlines, the end.

use super::*;

#[test]
fn a_failure_skips_all_that_build_on_it() {
    let mut desk = Desk::new(&[2]);
    let (root, _) = desk.exec();
    let (child, _) = desk.ask(Kind::Exec, |r| r.deps = vec![pending(root)]);
    let (grandchild, _) = desk.ask(Kind::Exec, |r| r.deps = vec![pending(child)]);
    let (tolerant, _) = desk.ask(Kind::Exec, |r| (r.deps, r.accept_failed) = (vec![pending(child)], true));
    let expect = [
        finished(root),
        resolve(child, End::Skipped { cause: root }),
        resolve(grandchild, End::Skipped { cause: child }),
        start(tolerant, 1, 0),
    ];
    assert_eq!(desk.failed(0, root), expect);
    let failed = Dep { task: root, state: DepState::Failed };
    let (late, actions) = desk.ask(Kind::Exec, |r| r.deps = vec![failed]);
    assert_eq!(actions, [resolve(late, End::Skipped { cause: root })]);
}

#[test]
fn a_long_chain_fails_without_recursion() {
    let mut core = Core::new();
    let mut actions = Vec::new();
    core.handle(Tick(0), Event::PoolOpened { pool: PoolId(0) }, &mut actions);
    let length = 50_000;
    for n in 0..length {
        let deps = (n > 0).then(|| pending(TaskId(n - 1))).into_iter().collect();
        let request = Request {
            task: TaskId(n),
            kind: Kind::Call,
            pool: PoolId(0),
            placement: Sparse::default(),
            timeout_us: None,
            retries: 0,
            deps,
            accept_failed: false,
            inputs: Vec::new(),
            class: 0,
            like: None,
            recorded: false,
            tried: None,
        };
        core.handle(Tick(0), Event::Submitted(request), &mut actions);
    }
    core.handle(Tick(0), Event::Cancel { task: TaskId(0) }, &mut actions);
    assert_eq!(actions.len() as u64, length);
    assert_eq!(core.unresolved(), 0);
}

#[test]
fn lost_attempts_are_tried_again_as_often_as_asked() {
    let mut desk = Desk::new(&[1, 1, 1]);
    let (task, actions) = desk.ask(Kind::Exec, |r| r.retries = 1);
    assert_eq!(actions, [start(task, 1, 0)]);
    assert_eq!(desk.lose(0), [Action::WakeAt(Tick(1_000_000))]);
    assert!(desk.tick(999_999).is_empty(), "it rests");
    assert_eq!(desk.tick(1), [start(task, 2, 1)]);
    assert_eq!(desk.lose(1), [lost_with(task, &[0, 1])]);
}

#[test]
fn unstarted_calls_move_free_of_charge() {
    let mut desk = Desk::new(&[1]);
    let (begun, waits) = (desk.ask(Kind::Call, |_| {}).0, desk.ask(Kind::Call, |_| {}).0);
    desk.started(0, begun, 1);
    desk.join(1, 1);
    assert_eq!(desk.lose(0), [lost_with(begun, &[0]), start(waits, 2, 1)]);
}

#[test]
fn a_pool_without_workers_keeps_nobody_waiting() {
    let mut desk = Desk::new(&[1]);
    let (running, _) = desk.exec();
    let (queued, _) = desk.exec();
    let (bound, _) = desk.ask(Kind::Exec, |r| r.placement.host = Some("n0".into()));
    let (waiting, _) = desk.ask(Kind::Exec, |r| (r.deps, r.accept_failed) = (vec![pending(queued)], true));
    let actions = desk.lose(0);
    for (task, taken) in [(running, &[0][..]), (queued, &[]), (bound, &[]), (waiting, &[])] {
        assert!(actions.contains(&lost_with(task, taken)), "{task}: {actions:?}");
    }
    let (late, actions) = desk.exec();
    assert_eq!(actions, [lost_with(late, &[])]);
}

#[test]
fn late_and_foreign_answers_are_dropped() {
    let mut desk = Desk::new(&[1, 1]);
    let (task, _) = desk.ask(Kind::Exec, |r| r.retries = 1);
    desk.lose(0);
    desk.tick(1_000_000);
    assert!(desk.report(0, task, 1, true, None).is_empty(), "old attempt, lost worker");
    assert!(desk.report(1, task, 1, true, None).is_empty(), "old attempt");
    assert!(desk.report(0, task, 2, true, None).is_empty(), "wrong worker");
    assert_eq!(desk.report(1, task, 2, true, None), [finished(task)]);
    assert!(desk.report(1, task, 2, true, None).is_empty(), "twice");
}

#[test]
fn a_recalled_call_starts_under_a_new_number() {
    let mut desk = Desk::new(&[1]);
    let (long, stuck) = (desk.ask(Kind::Call, |_| {}).0, desk.ask(Kind::Call, |_| {}).0);
    desk.started(0, long, 1);
    let actions = desk.join(1, 1);
    assert_eq!(actions, [Action::WakeAt(Tick(5_000))], "a unit is idle while a call waits");
    assert_eq!(desk.tick(5_000)[0], recall(stuck, 0));
    let back = Event::Recalled { worker: WorkerId(0), task: stuck, attempt: Attempt(1) };
    assert_eq!(desk.core.running(), 1, "one waits behind the other");
    assert_eq!(desk.feed(back.clone()), [start(stuck, 2, 1)]);
    assert_eq!(desk.core.running(), 2, "and is counted once, however often it is sent");
    assert!(desk.feed(back).is_empty(), "a repeated answer");
    assert_eq!(desk.report(1, stuck, 2, true, None), [finished(stuck)]);
}

#[test]
fn a_recall_that_comes_too_late_changes_nothing() {
    let mut desk = Desk::new(&[1]);
    let (long, stuck) = (desk.ask(Kind::Call, |_| {}).0, desk.ask(Kind::Call, |_| {}).0);
    desk.join(1, 1);
    desk.tick(5_000);
    desk.done(0, long);
    assert!(desk.started(0, stuck, 1).is_empty());
    assert_eq!(desk.done(0, stuck), [finished(stuck)]);
}

#[test]
fn cancelling_what_waits_is_immediate() {
    let mut desk = Desk::new(&[1]);
    let (running, queued) = (desk.exec().0, desk.exec().0);
    let (waiting, _) = desk.ask(Kind::Exec, |r| r.deps = vec![pending(running)]);
    for task in [queued, waiting] {
        assert_eq!(desk.feed(Event::Cancel { task }), [resolve(task, End::Cancelled)]);
        assert!(desk.feed(Event::Cancel { task }).is_empty(), "ended");
    }
    assert!(desk.feed(Event::Cancel { task: TaskId(77) }).is_empty(), "unknown");
}

#[test]
fn cancelling_what_runs_waits_for_the_answer_or_the_grace() {
    let mut desk = Desk::new(&[1, 1]);
    let (polite, stubborn) = (desk.exec().0, desk.exec().0);
    let (next, _) = desk.exec();
    assert_eq!(desk.feed(Event::Cancel { task: polite })[0], kill(polite, 1, 0));
    assert_eq!(desk.failed(0, polite), [resolve(polite, End::Cancelled), start(next, 1, 0)]);
    assert_eq!(desk.feed(Event::Cancel { task: stubborn })[0], kill(stubborn, 1, 1));
    let given_up = Action::GiveUp { worker: WorkerId(1) };
    let actions = [resolve(stubborn, End::Cancelled), given_up, Action::WakeAt(Tick(20_000_000))];
    assert_eq!(desk.tick(10_000_000), actions);
    let (after, none) = desk.exec();
    assert!(none.is_empty(), "its unit is not free");
    assert_eq!(desk.done(1, stubborn), [start(after, 1, 1)], "now it is, and nothing is resolved twice");
}

#[test]
fn a_task_that_does_not_die_holds_its_own_units_only() {
    let mut desk = Desk::new(&[2]);
    let give_up = Action::GiveUp { worker: WorkerId(0) };
    let (stubborn, busy) = (desk.exec().0, desk.exec().0);
    desk.started(0, busy, 1);
    desk.feed(Event::Cancel { task: stubborn });
    let actions = desk.tick(10_000_000);
    assert_eq!(
        actions,
        [resolve(stubborn, End::Cancelled), Action::WakeAt(Tick(20_000_000))],
        "one unit is left"
    );
    assert_eq!(desk.tick(10_000_000), [Action::WakeAt(Tick(30_000_000))], "and is used");
    let (next, _) = desk.exec();
    assert_eq!(desk.done(0, busy), [finished(busy), start(next, 1, 0)]);
    desk.done(0, next);
    // Who needs the whole node would wait for ever.
    let (measure, none) = desk.measure();
    assert!(none.is_empty());
    assert_eq!(desk.tick(10_000_000)[0], give_up);
    assert_eq!(desk.lose(0), [lost_with(measure, &[])]);
}

#[test]
fn calls_behind_one_that_does_not_die_are_not_forgotten() {
    let mut desk = Desk::new(&[1]);
    let (stubborn, behind) = (desk.ask(Kind::Call, |_| {}).0, desk.ask(Kind::Call, |r| r.retries = 1).0);
    desk.started(0, stubborn, 1);
    desk.feed(Event::Cancel { task: stubborn });
    let actions = desk.tick(10_000_000);
    assert_eq!(actions[..2], [resolve(stubborn, End::Cancelled), Action::GiveUp { worker: WorkerId(0) }]);
    desk.join(1, 1);
    assert_eq!(desk.lose(0), [start(behind, 2, 1)]);
}

#[test]
fn an_answer_long_overdue_is_given_up() {
    let mut desk = Desk::new(&[1]);
    let (task, actions) = desk.ask(Kind::Exec, |r| r.timeout_us = Some(1_000_000));
    assert_eq!(actions, [start(task, 1, 0), Action::WakeAt(Tick(31_000_000))]);
    assert!(desk.tick(30_999_999).is_empty());
    assert_eq!(desk.tick(1), [kill(task, 1, 0), Action::WakeAt(Tick(41_000_000))], "once");
    let given_up = Action::GiveUp { worker: WorkerId(0) };
    let actions = [resolve(task, End::Overdue), given_up, Action::WakeAt(Tick(51_000_000))];
    assert_eq!(desk.tick(10_000_000), actions);
    let (next, none) = desk.exec();
    assert!(none.is_empty(), "nothing runs beside a wedged task");
    assert_eq!(desk.lose(0), [lost_with(next, &[])]);
}

#[test]
fn what_comes_back_long_overdue_has_ended_and_its_worker_goes_on() {
    let mut desk = Desk::new(&[1]);
    let (task, _) = desk.ask(Kind::Exec, |r| r.timeout_us = Some(1_000_000));
    assert_eq!(desk.tick(31_000_000)[0], kill(task, 1, 0));
    let (next, none) = desk.exec();
    assert!(none.is_empty());
    let back = Event::Recalled { worker: WorkerId(0), task, attempt: Attempt(1) };
    assert_eq!(desk.feed(back), [resolve(task, End::CameBack), start(next, 1, 0)]);
    assert!(desk.tick(100_000_000).is_empty(), "nothing is left to wait for");
}

#[test]
fn what_delivers_has_no_limit_here_and_may_still_be_cancelled() {
    let mut desk = Desk::new(&[1]);
    let (build, _) = desk.ask(Kind::Compile, |r| r.timeout_us = Some(1_000_000));
    let delivers = Event::Delivers { worker: WorkerId(0), task: build, attempt: Attempt(1) };
    desk.feed(delivers.clone());
    assert!(desk.tick(1_000_000_000).is_empty());
    let (next, none) = desk.exec();
    assert!(none.is_empty(), "its worker is not done");
    assert!(desk.feed(Event::Cancel { task: build }).contains(&kill(build, 1, 0)));
    assert!(desk.feed(delivers).contains(&kill(build, 1, 0)), "the two may cross");
    assert_eq!(desk.failed(0, build), [resolve(build, End::Cancelled), start(next, 1, 0)]);
}

#[test]
fn a_drain_cancels_everything() {
    let mut desk = Desk::new(&[1]);
    let (running, queued) = (desk.exec().0, desk.measure().0);
    let (waiting, _) = desk.ask(Kind::Exec, |r| r.deps = vec![pending(queued)]);
    let actions = desk.feed(Event::Drain);
    assert_eq!(
        actions[..3],
        [kill(running, 1, 0), resolve(queued, End::Cancelled), resolve(waiting, End::Cancelled)]
    );
    assert_eq!(desk.failed(0, running), [resolve(running, End::Cancelled)]);
    let (late, actions) = desk.exec();
    assert_eq!(actions, [resolve(late, End::Cancelled)]);
}

#[test]
fn a_closed_pool_takes_nothing_more() {
    let mut desk = Desk::new(&[1]);
    let (running, queued) = (desk.exec().0, desk.exec().0);
    let actions = desk.feed(Event::PoolClosed { pool: PoolId(0) });
    assert_eq!(actions[..2], [kill(running, 1, 0), resolve(queued, End::Cancelled)]);
    let (late, actions) = desk.exec();
    assert_eq!(actions, [resolve(late, End::Cancelled)]);
}

#[test]
fn counters_follow() {
    let mut desk = Desk::new(&[1]);
    let (running, _) = (desk.exec().0, desk.exec());
    desk.ask(Kind::Exec, |r| r.deps = vec![pending(running)]);
    assert_eq!(desk.core.counts(Kind::Exec), Counts { waiting: 1, queued: 1, held: 0, running: 1, done: 0 });
    desk.done(0, running);
    assert_eq!(desk.core.counts(Kind::Exec), Counts { waiting: 0, queued: 1, held: 0, running: 1, done: 1 });
    assert_eq!(desk.core.unresolved(), 2);
}
