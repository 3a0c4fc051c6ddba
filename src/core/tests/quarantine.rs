//! What was struck rests and goes elsewhere; a node of too many faults takes no more, unless it is the last.

use super::*;

const SECOND: u64 = 1_000_000;

/// A pool on nodes with so many workers of one slot, which keeps off a node after so many faults. Workers are numbered
/// node by node.
fn on_nodes(workers: &[u32], after: u32) -> Desk {
    let mut desk = Desk::new(&[]);
    desk.feed(Event::PoolOpened { pool: PoolId(0) });
    desk.feed(Event::PoolQuarantine { pool: PoolId(0), after: Some(after) });
    let hosts = workers.iter().enumerate().flat_map(|(node, many)| (0..*many).map(move |_| node));
    for (worker, node) in hosts.enumerate() {
        join_on(&mut desk, PoolId(0), worker as u32, node);
    }
    desk.feed(Event::PoolSettled { pool: PoolId(0) });
    desk
}

fn join_on(desk: &mut Desk, pool: PoolId, worker: u32, node: usize) -> Vec<Action> {
    let (worker, host) = (WorkerId(worker), format!("n{node}"));
    let (sockets, gpus) = ([1].into(), GpuSet::default());
    desk.feed(Event::WorkerReady {
        worker,
        pool,
        host,
        allocation: 0,
        slots: 1,
        sockets,
        gpus,
        measures: true,
    })
}

fn quarantine(node: usize) -> Action {
    Action::Quarantine { pool: PoolId(0), host: format!("n{node}") }
}

fn readmit(node: usize) -> Action {
    Action::Readmit { pool: PoolId(0), host: format!("n{node}") }
}

fn patient(retries: u32) -> impl FnOnce(&mut Request) {
    move |request| request.retries = retries
}

#[test]
fn each_rest_is_twice_as_long_up_to_a_minute() {
    let mut desk = Desk::new(&[1; 10]);
    let (task, _) = desk.ask(Kind::Exec, patient(9));
    let mut attempt = 1;
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        let until = Tick(desk.now + seconds * SECOND);
        assert_eq!(desk.lose(attempt - 1), [Action::WakeAt(until)]);
        let Explanation::Resting { host, lost, strikes, until: told, .. } = desk.core.explain(task) else {
            panic!("{:?}", desk.core.explain(task));
        };
        assert_eq!((host, lost, strikes), (format!("n{}", attempt - 1), true, attempt as usize));
        assert_eq!(told, until);
        attempt += 1;
        assert_eq!(desk.tick(seconds * SECOND), [start(task, attempt, attempt - 1)]);
    }
    assert_eq!(desk.lose(9), [lost_with(task, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])]);
}

#[test]
fn what_rests_can_be_cancelled_and_ends_with_the_last_worker() {
    let mut desk = Desk::new(&[1, 1, 1]);
    let (first, second) = (desk.ask(Kind::Exec, patient(1)).0, desk.ask(Kind::Exec, patient(1)).0);
    desk.lose(0);
    assert_eq!(desk.feed(Event::Cancel { task: first }), [resolve(first, End::Cancelled)]);
    desk.lose(1);
    assert_eq!(desk.lose(2), [lost_with(second, &[1])], "nobody is left to wait for");
    assert!(desk.tick(SECOND).is_empty());
}

#[test]
fn a_struck_task_keeps_off_the_node_while_there_are_others() {
    let mut desk = on_nodes(&[2, 1], 9);
    let (busy, actions) = desk.ask(Kind::Exec, |r| r.placement.host = Some("n1".into()));
    assert_eq!(actions, [start(busy, 1, 2)]);
    let (task, actions) = desk.ask(Kind::Exec, patient(2));
    assert_eq!(actions, [start(task, 1, 0)]);
    desk.lose(0);
    assert!(desk.tick(SECOND).iter().all(|action| !matches!(action, Action::Start { .. })), "n0 has room");
    assert_eq!(desk.done(2, busy), [finished(busy), start(task, 2, 2)]);
    // n1 is gone with it: then n0 has to do.
    desk.lose(2);
    assert_eq!(desk.tick(2 * SECOND), [start(task, 3, 1)]);
}

/// A call that ends its worker is not heard of before: it may not take them all.
#[test]
fn a_call_that_was_never_heard_of_is_struck_where_it_may_have_begun() {
    let mut desk = Desk::new(&[1, 1, 1, 1]);
    let (poison, actions) = desk.ask(Kind::Call, patient(1));
    assert_eq!(actions, [start(poison, 1, 0)]);
    desk.lose(0);
    assert_eq!(desk.tick(SECOND), [start(poison, 2, 1)]);
    assert_eq!(desk.lose(1), [lost_with(poison, &[0, 1])]);
}

#[test]
fn what_a_node_cannot_run_is_tried_on_another_one() {
    let mut desk = on_nodes(&[1, 1], 9);
    let (task, _) = desk.ask(Kind::Exec, patient(1));
    assert_eq!(desk.unfit(0, task, 1), [Action::WakeAt(Tick(SECOND))]);
    let Explanation::Resting { lost: false, .. } = desk.core.explain(task) else { panic!() };
    assert_eq!(desk.tick(SECOND), [start(task, 2, 1)]);
    assert_eq!(desk.unfit(1, task, 2), [finished(task)], "twice is enough: it is the task");
    let (task, _) = desk.ask(Kind::Exec, patient(0));
    assert_eq!(desk.unfit(0, task, 1), [finished(task)], "without retries at once");
    let mut alone = on_nodes(&[2], 9);
    let (task, _) = alone.ask(Kind::Exec, patient(5));
    assert_eq!(alone.unfit(0, task, 1), [finished(task)], "there is no other node");
}

#[test]
fn a_node_is_convicted_by_what_runs_elsewhere_and_takes_no_more() {
    let mut desk = on_nodes(&[1, 1, 1], 2);
    for n in 0..2 {
        let (task, actions) = desk.ask(Kind::Exec, patient(1));
        assert_eq!(actions, [start(task, 1, 0)]);
        desk.unfit(0, task, 1);
        assert_eq!(desk.core.quarantined(PoolId(0)).count(), 0);
        assert_eq!(desk.tick(SECOND), [start(task, 2, 1)]);
        let actions = desk.report(1, task, 2, true, None);
        assert_eq!(actions.contains(&quarantine(0)), n == 1, "{actions:?}");
    }
    assert_eq!(desk.core.quarantined(PoolId(0)).collect::<Vec<_>>(), ["n0"]);
    let (task, actions) = desk.exec();
    assert_eq!(actions, [start(task, 1, 1)]);
    let (task, actions) = desk.exec();
    assert_eq!(actions, [start(task, 1, 2)]);
    let (task, actions) = desk.exec();
    assert!(actions.is_empty(), "n0 is idle, and takes nothing");
    let Explanation::Room(place) = desk.core.explain(task) else { panic!() };
    assert_eq!((place.suitable, place.quarantined), (2, vec!["n0".to_string()]));
}

#[test]
fn what_fails_everywhere_is_held_against_no_node() {
    let mut desk = on_nodes(&[1, 1], 1);
    for _ in 0..5 {
        let (task, actions) = desk.ask(Kind::Exec, patient(1));
        assert_eq!(actions, [start(task, 1, 0)]);
        desk.unfit(0, task, 1);
        desk.tick(SECOND);
        assert_eq!(desk.unfit(1, task, 2), [finished(task)]);
    }
    assert_eq!(desk.core.quarantined(PoolId(0)).count(), 0);
}

#[test]
fn lost_workers_count_and_what_runs_or_waits_there_comes_to_its_end() {
    let mut desk = on_nodes(&[4, 1], 2);
    let bound = |r: &mut Request| r.placement.host = Some("n0".into());
    let ran: Vec<TaskId> = (0..4).map(|_| desk.ask(Kind::Exec, bound).0).collect();
    let (waits, _) = desk.ask(Kind::Exec, bound);
    assert_eq!(desk.lose(0), [lost_with(ran[0], &[0])]);
    let actions = desk.lose(1);
    assert!(actions.contains(&quarantine(0)), "{actions:?}");
    assert!(actions.contains(&lost_with(waits, &[])), "its host takes nothing any more: {actions:?}");
    assert_eq!(desk.done(2, ran[2]), [finished(ran[2])], "what ran there goes on");
    let (task, actions) = desk.exec();
    assert_eq!(actions, [start(task, 1, 4)]);
    assert_eq!(desk.lose(3)[0], lost_with(ran[3], &[3]));
    assert_eq!(desk.lose(4), [readmit(0), lost_with(task, &[4])], "its retries are spent all the same");
}

#[test]
fn a_pool_whose_better_nodes_are_lost_goes_back_to_the_least_faulty() {
    let mut desk = on_nodes(&[1, 2, 1], 2);
    for (node, faults) in [(0, 3), (1, 2)] {
        (0..faults).for_each(|_| drop(desk.feed(Event::NodeFault { host: format!("n{node}") })));
    }
    assert_eq!(desk.core.quarantined(PoolId(0)).collect::<Vec<_>>(), ["n0", "n1"]);
    let (struck, actions) = desk.ask(Kind::Exec, patient(2));
    assert_eq!(actions, [start(struck, 1, 3)]);
    let (waits, none) = desk.exec();
    assert!(none.is_empty());
    assert_eq!(desk.lose(3)[..2], [readmit(1), start(waits, 1, 2)]);
    assert_eq!(desk.tick(SECOND), [start(struck, 2, 1)], "both workers of the node are let in");
    // Worse ones stay out as long as it is there, and come in when it is not.
    let actions = [desk.lose(1), desk.lose(2)].concat();
    assert_eq!(actions.iter().filter(|action| **action == readmit(0)).count(), 1, "{actions:?}");
    assert_eq!(desk.tick(2 * SECOND), [start(struck, 3, 0)]);
    // It goes out again once there is another one.
    assert_eq!(join_on(&mut desk, PoolId(0), 9, 7)[0], quarantine(0));
    let (task, actions) = desk.exec();
    assert_eq!(actions, [start(task, 1, 9)]);
    assert_eq!(desk.report(0, struck, 3, true, None), [finished(struck)], "what runs there goes on");
    // Nobody comes in where nothing is to start.
    desk.feed(Event::Drain);
    assert!(!desk.lose(9).contains(&readmit(0)));
}

#[test]
fn the_worker_whose_loss_leaves_nobody_counts_when_the_least_faulty_is_looked_for() {
    let mut desk = on_nodes(&[1, 1, 1], 1);
    for node in [1, 2, 0, 0] {
        desk.feed(Event::NodeFault { host: format!("n{node}") });
    }
    assert_eq!(desk.core.quarantined(PoolId(0)).collect::<Vec<_>>(), ["n0", "n1", "n2"]);
    assert_eq!(join_on(&mut desk, PoolId(0), 9, 1), [quarantine(0)], "n0 was the last one, and is worse");
    let (task, actions) = desk.ask(Kind::Exec, patient(1));
    assert_eq!(actions, [start(task, 1, 9)]);
    assert_eq!(desk.lose(9)[0], readmit(2), "n1 has failed twice now");
    assert_eq!(desk.tick(SECOND), [start(task, 2, 2)]);
}

#[test]
fn what_is_sent_back_to_a_readmitted_node_may_be_of_any_kind() {
    let mut desk = on_nodes(&[1, 1], 1);
    desk.feed(Event::NodeFault { host: "n0".into() });
    let member = |r: &mut Request| r.placement.group = Some("g".into());
    let (first, actions) = desk.ask(Kind::Exec, member);
    assert_eq!(actions, [start(first, 1, 1)]);
    let (second, third) = (desk.ask(Kind::Exec, member).0, desk.measure().0);
    let actions = desk.lose(1);
    assert_eq!(actions[0], readmit(0));
    assert!(actions.contains(&start(second, 1, 0)), "{actions:?}");
    assert!(desk.done(0, second).contains(&start(third, 1, 0)));
}

#[test]
fn calls_that_wait_in_a_pipe_are_asked_back() {
    let mut desk = on_nodes(&[1, 1], 1);
    let ran: Vec<TaskId> = (0..4).map(|_| desk.ask(Kind::Call, |_| {}).0).collect();
    desk.started(0, ran[0], 1);
    let actions = desk.feed(Event::NodeFault { host: "n0".into() });
    assert!(actions.contains(&quarantine(0)), "{actions:?}");
    assert!(actions.contains(&recall(ran[2], 0)), "{actions:?}");
    assert_eq!(desk.done(0, ran[0])[0], finished(ran[0]));
}

#[test]
fn the_last_node_is_never_in_quarantine() {
    let mut desk = on_nodes(&[3, 1], 2);
    for _ in 0..5 {
        desk.feed(Event::NodeFault { host: "n1".into() });
    }
    assert_eq!(desk.core.quarantined(PoolId(0)).collect::<Vec<_>>(), ["n1"]);
    desk.lose(0);
    let (task, actions) = desk.exec();
    assert_eq!(actions, [start(task, 1, 1)]);
    assert_eq!(desk.lose(1), [lost_with(task, &[1])]);
    let (task, actions) = desk.exec();
    assert_eq!(actions, [start(task, 1, 2)], "it has two faults, but where else?");
    desk.done(2, task);
    // Another node comes.
    assert_eq!(join_on(&mut desk, PoolId(0), 9, 7)[0], quarantine(0));
    let (task, actions) = desk.exec();
    assert_eq!(actions, [start(task, 1, 9)]);
}

#[test]
fn a_pool_that_never_minds_uses_what_another_keeps_off() {
    let mut desk = on_nodes(&[1, 1], 1);
    desk.feed(Event::PoolOpened { pool: PoolId(1) });
    for (worker, node) in [(5, 0), (6, 1)] {
        join_on(&mut desk, PoolId(1), worker, node);
    }
    desk.feed(Event::PoolSettled { pool: PoolId(1) });
    assert_eq!(desk.feed(Event::NodeFault { host: "n0".into() }), [quarantine(0)]);
    let (task, actions) = desk.ask(Kind::Exec, |r| r.pool = PoolId(1));
    assert_eq!(actions, [start(task, 1, 5)]);
    assert_eq!(desk.core.quarantined(PoolId(1)).count(), 0);
    assert_eq!(desk.core.quarantined(PoolId(0)).collect::<Vec<_>>(), ["n0"]);
}

#[test]
fn a_group_leaves_a_node_in_quarantine_and_a_measurement_being_prepared_goes_elsewhere() {
    let mut desk = on_nodes(&[1, 1], 1);
    let member = |r: &mut Request| r.placement.group = Some("g".into());
    let (first, actions) = desk.ask(Kind::Exec, member);
    assert_eq!(actions, [start(first, 1, 0)]);
    let (second, none) = desk.ask(Kind::Exec, member);
    assert!(none.is_empty());
    let actions = desk.feed(Event::NodeFault { host: "n0".into() });
    assert!(actions.contains(&start(second, 1, 1)), "{actions:?}");
    let mut desk = on_nodes(&[1, 1], 1);
    let ((a, _), (b, _)) = (desk.exec(), desk.exec());
    let (measure, none) = desk.measure();
    assert!(none.is_empty(), "one of the nodes is drained for it");
    desk.feed(Event::NodeFault { host: "n0".into() });
    desk.done(0, a);
    assert!(desk.done(1, b).contains(&start(measure, 1, 1)));
}
