//! Order, capacity, credit, placement, leases, gangs, artefacts.

use super::*;

#[test]
fn priority_goes_first_then_submission() {
    let mut desk = Desk::new(&[1]);
    let (running, _) = desk.exec();
    let (low, _) = desk.ask(Kind::Exec, |r| r.placement.priority = Some(-1));
    let (a, _) = desk.exec();
    let (b, _) = desk.exec();
    let (high, _) = desk.ask(Kind::Exec, |r| r.placement.priority = Some(3));
    let mut last = running;
    for next in [high, a, b, low] {
        assert_eq!(desk.done(0, last), [finished(last), start(next, 1, 0)]);
        last = next;
    }
}

#[test]
fn a_dependent_keeps_its_place_in_the_order() {
    let mut desk = Desk::new(&[1]);
    let (build, _) = desk.exec();
    let (dependent, none) = desk.ask(Kind::Exec, |r| r.deps = vec![pending(TaskId(0))]);
    assert!(none.is_empty());
    desk.exec();
    assert_eq!(desk.done(0, build), [finished(build), start(dependent, 1, 0)], "submitted before the other");
}

#[test]
fn the_least_loaded_worker_is_first() {
    let mut desk = Desk::new(&[2, 4, 2]);
    let workers: Vec<Action> = (0..8).flat_map(|_| desk.exec().1).collect();
    let expect: Vec<Action> =
        [1, 0, 2, 1, 1, 0, 1, 2].iter().enumerate().map(|(n, w)| start(TaskId(n as u64), 1, *w)).collect();
    assert_eq!(workers, expect);
    assert!(desk.exec().1.is_empty(), "all units are occupied");
}

#[test]
fn a_program_that_was_sent_ahead_does_not_run_yet() {
    let mut desk = Desk::new(&[2]);
    for _ in 0..10 {
        desk.exec();
    }
    let (worker, attempt) = (WorkerId(0), Attempt(1));
    desk.feed(Event::Finished {
        worker,
        task: TaskId(0),
        attempt,
        ok: true,
        unfit: false,
        artefact: None,
        elapsed_us: 100,
    });
    let sent = desk.core.counts(Kind::Exec).running;
    assert!(sent > 2, "only {sent} sent: none waits for a unit");
    assert_eq!(desk.core.running_by_kind()[1], (Kind::Exec, 2));
    assert_eq!(desk.core.running(), 2);
}

#[test]
fn a_program_that_comes_back_from_behind_a_long_one_goes_where_a_unit_is_free() {
    let mut desk = Desk::new(&[1]);
    (0..9).for_each(|_| _ = desk.exec());
    let report = |task| Event::Finished {
        worker: WorkerId(0),
        task: TaskId(task),
        attempt: Attempt(1),
        ok: true,
        unfit: false,
        artefact: None,
        elapsed_us: 100,
    };
    desk.feed(report(0));
    assert_eq!(desk.core.counts(Kind::Exec).running, 8, "all were sent");
    desk.started(0, TaskId(1), 1);
    let back = |task| Event::Recalled { worker: WorkerId(0), task: TaskId(task), attempt: Attempt(1) };
    for task in 2..9 {
        assert_eq!(desk.feed(back(task)), [], "its worker is not sent it again");
    }
    assert_eq!((desk.core.running(), desk.core.counts(Kind::Exec).running), (1, 1));
    assert_eq!(desk.join(1, 1), [start(TaskId(2), 2, 1)]);
    // Where the long one ends all go on.
    assert_eq!(desk.feed(report(1)).last(), Some(&start(TaskId(8), 2, 0)));
}

#[test]
fn a_program_that_asks_for_cores_of_a_kind_is_not_sent_ahead() {
    let mut desk = Desk::new(&[2]);
    for _ in 0..10 {
        desk.ask(Kind::Exec, |r| r.placement.numa_local = true);
    }
    desk.done_after(TaskId(0), 100);
    assert_eq!(desk.core.counts(Kind::Exec).running, 2);
}

#[test]
fn calls_are_pipelined_by_what_their_class_takes() {
    let mut desk = Desk::new(&[2]);
    let begun = |desk: &mut Desk, class| {
        (0..5000).map(|_| desk.ask(Kind::Call, |r| r.class = class).1.len()).sum::<usize>()
    };
    assert_eq!(begun(&mut desk, 1), 4, "two for each unit before anything is known");
    for task in 0..4 {
        desk.done_after(TaskId(task), 1);
    }
    let flying = desk.core.counts(Kind::Call).running;
    assert_eq!(flying, 4096, "2048 short ones for each unit");
}

#[test]
fn behind_a_call_that_is_not_long_waits_one_and_behind_a_long_one_none() {
    for (elapsed_us, most) in [(10_000, 4), (30_000, 2)] {
        let mut desk = Desk::new(&[2]);
        let (first, _) = desk.ask(Kind::Call, |_| {});
        desk.done_after(first, elapsed_us);
        let begun: usize = (0..5).map(|_| desk.ask(Kind::Call, |_| {}).1.len()).sum();
        assert_eq!(begun, most, "{elapsed_us} us each");
    }
}

#[test]
fn calls_leave_units_to_others() {
    let mut desk = Desk::new(&[2]);
    let calls: Vec<TaskId> = (0..3).map(|_| desk.ask(Kind::Call, |_| {}).0).collect();
    let (exec, none) = desk.exec();
    assert!(none.is_empty());
    let (late, none) = desk.ask(Kind::Call, |_| {});
    assert!(none.is_empty(), "there is room in the pipe, but the exec is before it");
    // A call of this class turns out to be long: the late one waits behind none.
    desk.done_after(calls[0], 30_000);
    let actions = desk.done_after(calls[1], 30_000);
    assert_eq!(actions, [finished(calls[1]), start(exec, 1, 0)]);
    assert_eq!(desk.done_after(calls[2], 30_000), [finished(calls[2]), start(late, 1, 0)]);
}

#[test]
fn several_cores_are_not_starved_by_single_ones() {
    let mut desk = Desk::new(&[2]);
    let (a, b) = (desk.exec().0, desk.exec().0);
    let (wide, _) = desk.ask(Kind::Exec, |r| r.placement.cores = Some(2));
    let (c, _) = desk.exec();
    assert_eq!(desk.done(0, a), [finished(a)], "the unit is kept");
    assert_eq!(desk.done(0, b), [finished(b), start(wide, 1, 0)]);
    assert_eq!(desk.done(0, wide), [finished(wide), start(c, 1, 0)]);
}

#[test]
fn host_and_not_on_are_obeyed() {
    let mut desk = Desk::new(&[1, 1]);
    let (a, actions) = desk.ask(Kind::Exec, |r| r.placement.host = Some("n1".into()));
    assert_eq!(actions, [start(a, 1, 1)]);
    let (b, none) = desk.ask(Kind::Exec, |r| r.placement.not_on = Some("n0".into()));
    assert!(none.is_empty());
    let (c, actions) = desk.exec();
    assert_eq!(actions, [start(c, 1, 0)], "a later one passes what could not have used the unit");
    assert_eq!(desk.done(1, a), [finished(a), start(b, 1, 1)]);
}

#[test]
fn a_group_stays_on_its_node_and_moves_when_it_is_lost() {
    let mut desk = Desk::new(&[1, 1]);
    let member = |r: &mut Request| {
        r.placement.group = Some("g".into());
        r.retries = 1;
    };
    let (a, actions) = desk.ask(Kind::Exec, member);
    assert_eq!(actions, [start(a, 1, 0)]);
    let (b, none) = desk.ask(Kind::Exec, member);
    assert!(none.is_empty(), "the other worker is free, but the group is not there");
    assert_eq!(desk.lose(0), [start(b, 1, 1), Action::WakeAt(Tick(1_000_000))]);
    assert_eq!(desk.done(1, b), [finished(b)]);
    assert_eq!(desk.tick(1_000_000), [start(a, 2, 1)]);
}

#[test]
fn the_most_urgent_of_a_group_looks_for_its_node() {
    let mut desk = Desk::new(&[1]);
    let (running, _) = desk.exec();
    let member = |priority| {
        move |r: &mut Request| {
            (r.placement.group, r.placement.priority) = (Some("g".into()), Some(priority));
        }
    };
    let (low, high) = (desk.ask(Kind::Exec, member(-1)).0, desk.ask(Kind::Exec, member(1)).0);
    let (plain, _) = desk.exec();
    assert_eq!(desk.done(0, running), [finished(running), start(high, 1, 0)]);
    assert_eq!(desk.done(0, high), [finished(high), start(plain, 1, 0)]);
    assert_eq!(desk.done(0, plain), [finished(plain), start(low, 1, 0)]);
}

#[test]
fn what_can_never_run_is_refused_with_the_numbers() {
    let mut desk = Desk::new(&[2, 4]);
    let (_, actions) = desk.ask(Kind::Exec, |r| r.placement.cores = Some(5));
    assert!(refusal(&actions).contains("5 cores") && refusal(&actions).contains("at most 4 slots"));
    let (_, actions) = Desk::new(&[1]).ask(Kind::Exec, |r| r.placement.cores = Some(2));
    assert!(refusal(&actions).contains("pool 0 has 1 worker with at most 1 slot:"));
    let (_, actions) = desk.ask(Kind::Exec, |r| r.placement.nodes = Some(3));
    assert!(refusal(&actions).contains("nodes = 3 with 1 core") && refusal(&actions).contains("has 2"));
    let (_, actions) = desk.ask(Kind::Exec, |r| r.placement.host = Some("moon".into()));
    assert_eq!(refusal(&actions), "pool 0 has no worker on `moon`; its hosts are n0, n1");
    let (_, actions) = desk.ask(Kind::Exec, |r| {
        (r.placement.cores, r.placement.not_on) = (Some(3), Some("n1".into()));
    });
    assert!(refusal(&actions).contains("besides `n1`"));
    let (_, actions) = desk.ask(Kind::Exec, |r| r.pool = PoolId(7));
    assert!(refusal(&actions).contains("pool 7"));
    let (_, actions) = desk.ask(Kind::Exec, |r| r.deps = vec![pending(TaskId(99))]);
    assert!(refusal(&actions).contains("task 99"));
}

#[test]
fn a_growing_pool_refuses_nothing() {
    let mut desk = Desk::new(&[1]);
    desk.feed(Event::PoolOpened { pool: PoolId(0) });
    let (wide, none) = desk.ask(Kind::Exec, |r| r.placement.cores = Some(2));
    assert!(none.is_empty());
    let (there, none) = desk.ask(Kind::Exec, |r| r.placement.host = Some("n2".into()));
    assert!(none.is_empty());
    let (lost, _) = desk.ask(Kind::Exec, |r| r.placement.host = Some("n9".into()));
    assert_eq!(desk.join(1, 2), [start(wide, 1, 1)]);
    assert_eq!(desk.join(2, 1), [start(there, 1, 2)]);
    let actions = desk.feed(Event::PoolSettled { pool: PoolId(0) });
    assert!(refusal(&actions).contains("n9"), "task {lost}");
}

#[test]
fn a_measurement_has_the_node_to_itself() {
    let mut desk = Desk::new(&[2]);
    let (running, queued) = (desk.ask(Kind::Call, |_| {}).0, desk.ask(Kind::Call, |_| {}).0);
    desk.started(0, running, 1);
    let (measure, actions) = desk.measure();
    assert_eq!(actions, [recall(queued, 0)], "draining asks unstarted calls back");
    let (late, none) = desk.exec();
    assert!(none.is_empty());
    let actions = desk.feed(Event::Recalled { worker: WorkerId(0), task: queued, attempt: Attempt(1) });
    assert!(actions.is_empty());
    assert_eq!(desk.done(0, running), [finished(running), quiet(0, true), start(measure, 1, 0)]);
    let actions = desk.done(0, measure);
    assert_eq!(actions, [finished(measure), quiet(0, false), start(queued, 2, 0), start(late, 1, 0)]);
}

#[test]
fn an_artefact_is_brought_before_the_node_is_drained() {
    let mut desk = Desk::new(&[2]);
    let file = Hash::of(b"binary");
    let (running, _) = desk.exec();
    let (measure, actions) = desk.ask(Kind::Measure, |r| {
        r.placement.exclusive = Some(Exclusive::Node);
        r.inputs = vec![file];
    });
    assert_eq!(actions, [offer(file, 0)]);
    let (meanwhile, actions) = desk.exec();
    assert_eq!(actions, [start(meanwhile, 1, 0)], "others still start");
    assert!(desk.feed(Event::Have { worker: WorkerId(0), artefact: file }).is_empty());
    assert_eq!(desk.done(0, running), [finished(running)]);
    assert!(desk.exec().1.is_empty(), "nothing starts any more");
    assert_eq!(desk.done(0, meanwhile), [finished(meanwhile), quiet(0, true), start(measure, 1, 0)]);
}

#[test]
fn measurements_follow_each_other_but_not_for_ever() {
    let mut desk = Desk::new(&[1]);
    let (mut last, _) = desk.measure();
    let (shared, _) = desk.exec();
    let others: Vec<TaskId> = (0..9).map(|_| desk.measure().0).collect();
    for next in &others[..7] {
        assert_eq!(
            desk.done(0, last),
            [finished(last), start(*next, 1, 0)],
            "no pause, the node stays quiet"
        );
        last = *next;
    }
    assert_eq!(desk.done(0, last), [finished(last), quiet(0, false), start(shared, 1, 0)], "eight in a row");
    assert_eq!(desk.done(0, shared), [finished(shared), quiet(0, true), start(others[7], 1, 0)]);
}

#[test]
fn a_higher_priority_ends_the_row() {
    let mut desk = Desk::new(&[1]);
    let (first, second) = (desk.measure().0, desk.measure().0);
    let (urgent, _) = desk.ask(Kind::Exec, |r| r.placement.priority = Some(1));
    assert_eq!(desk.done(0, first), [finished(first), quiet(0, false), start(urgent, 1, 0)]);
    assert_eq!(desk.done(0, urgent), [finished(urgent), quiet(0, true), start(second, 1, 0)]);
}

#[test]
fn measurements_use_all_nodes_and_workers_of_a_host_are_one_node() {
    let mut desk = Desk::new(&[1, 1]);
    desk.feed(Event::PoolOpened { pool: PoolId(1) });
    let host = "n0".to_owned();
    desk.feed(Event::WorkerReady {
        worker: WorkerId(2),
        pool: PoolId(1),
        host,
        allocation: 0,
        slots: 1,
        sockets: [1].into(),
        gpus: GpuSet::default(),
        measures: true,
    });
    let (a, actions) = desk.measure();
    assert_eq!(actions, [quiet(0, true), quiet(2, true), start(a, 1, 0)]);
    let (b, actions) = desk.measure();
    assert_eq!(actions, [quiet(1, true), start(b, 1, 1)]);
    let (other, none) = desk.ask(Kind::Exec, |r| r.pool = PoolId(1));
    assert!(none.is_empty(), "the other pool's worker is on that node");
    assert_eq!(desk.done(0, a), [finished(a), quiet(0, false), quiet(2, false), start(other, 1, 2)]);
}

#[test]
fn a_gang_starts_whole_or_not_at_all() {
    let mut desk = Desk::new(&[2, 2]);
    let (running, actions) = desk.exec();
    assert_eq!(actions, [start(running, 1, 0)]);
    let (gang, none) = desk.ask(Kind::Exec, |r| r.placement.nodes = Some(2));
    assert!(none.is_empty());
    let (late, none) = desk.exec();
    assert!(none.is_empty(), "both nodes are kept for the gang");
    let actions = desk.done(0, running);
    let Action::Start { task, gang: members, .. } = &actions[3] else { panic!("{actions:?}") };
    assert_eq!((*task, members.len()), (gang, 2));
    let (leader, member) = (members.leader(), members[1]);
    assert!(desk.report(member.0, gang, 1, true, None).is_empty(), "only the leader answers");
    let actions = desk.report(leader.0, gang, 1, true, None);
    assert_eq!(actions[0], finished(gang));
    assert!(actions.contains(&start(late, 1, 0)));
}

#[test]
fn a_gang_that_lost_a_member_is_killed_and_tried_again() {
    let mut desk = Desk::new(&[1, 1, 1]);
    let (gang, actions) = desk.ask(Kind::Exec, |r| (r.placement.nodes, r.retries) = (Some(2), 1));
    let Some(Action::Start { gang: members, .. }) = actions.last() else { panic!("{actions:?}") };
    let (leader, member) = (members.leader().0, members[1].0);
    assert_eq!(desk.lose(member)[0], kill(gang, 1, leader));
    desk.report(leader, gang, 1, false, None);
    let actions = desk.tick(1_000_000);
    assert!(
        actions.iter().any(|a| matches!(a, Action::Start { task, attempt: Attempt(2), .. } if *task == gang))
    );
}

#[test]
fn a_task_waits_for_its_artefact_and_prefers_who_has_it() {
    let mut desk = Desk::new(&[1, 1]);
    let (build, actions) = desk.ask(Kind::Compile, |r| r.placement.host = Some("n1".into()));
    assert_eq!(actions, [start(build, 1, 1)]);
    let (user, _) = desk.ask(Kind::Exec, |r| r.deps = vec![pending(TaskId(0))]);
    let binary = Hash::of(b"binary");
    let actions = desk.report(1, build, 1, true, Some(binary));
    assert_eq!(actions, [finished(build), start(user, 1, 1)], "n0 is as idle, n1 has the file");
    let (other, actions) = desk.ask(Kind::Exec, |r| {
        r.deps = vec![Dep { task: build, state: DepState::Ok(Some(binary)) }];
    });
    assert_eq!(actions, [offer(binary, 0)]);
    assert!(desk.exec().1.is_empty(), "the unit is taken while the file travels");
    let actions = desk.feed(Event::Have { worker: WorkerId(0), artefact: binary });
    assert_eq!(actions, [start(other, 1, 0)]);
}

#[test]
fn a_file_nobody_has_refuses_who_waits_for_it() {
    let mut desk = Desk::new(&[1]);
    let file = Hash::of(b"lost");
    let (_, actions) = desk.ask(Kind::Exec, |r| r.inputs = vec![file]);
    assert_eq!(actions, [offer(file, 0)]);
    let (next, _) = desk.exec();
    let actions = desk.feed(Event::Gone { artefact: file });
    assert!(refusal(&actions[..1]).contains(&file.to_string()));
    assert_eq!(actions[1..], [start(next, 1, 0)]);
}

/// A settled pool of a worker that shares its node with the root, and others that do not.
fn with_root(others: &[u16]) -> Desk {
    let mut desk = Desk::new(&[]);
    desk.feed(Event::PoolOpened { pool: PoolId(0) });
    desk.join_as(0, 4, false);
    for (at, slots) in others.iter().enumerate() {
        desk.join(at as u32 + 1, *slots);
    }
    desk.feed(Event::PoolSettled { pool: PoolId(0) });
    desk
}

fn starts(actions: &[Action]) -> Vec<(TaskId, u32)> {
    let started = actions.iter().filter_map(|action| match action {
        Action::Start { task, gang, .. } => Some((*task, gang.leader().0)),
        _ => None,
    });
    started.collect()
}

#[test]
fn nothing_is_measured_beside_the_root_while_others_would_do() {
    let mut desk = with_root(&[1]);
    let (first, actions) = desk.measure();
    assert_eq!(starts(&actions), [(first, 1)]);
    let (second, none) = desk.measure();
    assert_eq!(starts(&none), [], "it waits for the other node");
    let (call, actions) = desk.ask(Kind::Call, |_| {});
    assert_eq!(starts(&actions), [(call, 0)], "other work does not");
    assert_eq!(starts(&desk.done(1, first)), [(second, 1)]);
    // What the others have no room for, and what asks for it.
    desk.done(0, call);
    let (large, actions) = desk.ask(Kind::Measure, |r| {
        r.placement.exclusive = Some(Exclusive::Node);
        r.placement.cores = Some(3);
    });
    assert_eq!(starts(&actions), [(large, 0)]);
    desk.done(0, large);
    let (here, actions) = desk.ask(Kind::Measure, |r| r.placement.host = Some("n0".into()));
    assert_eq!(starts(&actions), [(here, 0)]);
    // Nor does the group of a measurement settle there.
    let (_, actions) = desk.ask(Kind::Exec, |r| r.placement.group = Some("g".into()));
    assert_eq!(starts(&actions), [], "the other node is taken");
}

#[test]
fn the_root_s_node_measures_where_it_is_the_only_one_left() {
    let mut desk = with_root(&[1]);
    let (first, _) = desk.measure();
    let (second, _) = desk.measure();
    let actions = desk.lose(1);
    assert_eq!(starts(&actions), [(second, 0)]);
    assert!(actions.contains(&lost_with(first, &[1])));
    // As long as more may come it waits for them.
    let mut desk = Desk::new(&[]);
    desk.feed(Event::PoolOpened { pool: PoolId(0) });
    desk.join_as(0, 4, false);
    let (early, actions) = desk.measure();
    assert_eq!(starts(&actions), []);
    assert_eq!(starts(&desk.feed(Event::PoolSettled { pool: PoolId(0) })), [(early, 0)]);
}

#[test]
fn a_measured_gang_has_the_root_s_node_only_if_it_must() {
    let mut desk = with_root(&[4, 4]);
    let gang = |desk: &mut Desk, nodes| {
        desk.ask(Kind::Measure, |r| {
            (r.placement.nodes, r.placement.exclusive) = (Some(nodes), Some(Exclusive::Node))
        })
    };
    let (busy, _) = desk.ask(Kind::Exec, |r| r.placement.host = Some("n1".into()));
    let (two, actions) = gang(&mut desk, 2);
    assert_eq!(starts(&actions), [], "one of the other two is busy");
    assert_eq!(starts(&desk.done(1, busy)), [(two, 1)]);
    desk.done(1, two);
    let (all, actions) = gang(&mut desk, 3);
    assert_eq!(starts(&actions), [(all, 0)]);
}

#[test]
fn one_that_may_run_on_one_node_only_is_not_passed_for_ever() {
    let mut desk = Desk::new(&[1, 1]);
    for _ in 0..8 {
        desk.ask(Kind::Call, |_| {});
    }
    let (picky, _) = desk.ask(Kind::Exec, |r| r.placement.not_on = Some("n0".into()));
    for _ in 0..4 {
        desk.ask(Kind::Call, |_| {});
    }
    let mut begun = Vec::new();
    // Calls end one by one, and another comes for each.
    for _ in 0..16 {
        let next =
            desk.core.tasks.iter().find(
                |(_, task)| matches!(&task.state, State::Flying(flight) if flight.gang.leader().0 == 1),
            );
        let Some((task, attempt)) = next.map(|(_, task)| (task.id, task.attempt)) else { break };
        begun.extend(starts(&desk.report(1, task, attempt, true, None)));
        begun.extend(starts(&desk.ask(Kind::Call, |_| {}).1));
    }
    assert!(begun.contains(&(picky, 1)), "{begun:?}");
}
