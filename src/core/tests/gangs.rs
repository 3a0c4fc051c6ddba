//! Reservations, GPUs, counters, and what is said about who waits.

use std::collections::BTreeMap;

use super::*;

const SECOND: u64 = 1_000_000;

fn gang(nodes: u32) -> impl FnOnce(&mut Request) {
    move |request| request.placement.nodes = Some(nodes)
}

/// The workers and GPUs of the start in these actions.
fn begun(actions: &[Action]) -> (Vec<u32>, Vec<Vec<u16>>) {
    let start = actions.iter().find_map(|action| match action {
        Action::Start { gang, gpus, .. } => Some((gang, gpus)),
        _ => None,
    });
    let Some((gang, gpus)) = start else { panic!("no start: {actions:?}") };
    (gang.iter().map(|id| id.0).collect(), gpus.iter().map(|set| set.iter().collect()).collect())
}

fn license(desk: &mut Desk, capacity: u32) -> Vec<Action> {
    let capacities = BTreeMap::from([("license".to_owned(), capacity)]);
    desk.feed(Event::PoolCounters { pool: PoolId(0), capacities })
}

fn licensed(amount: u32) -> impl FnOnce(&mut Request) {
    move |request| request.placement.needs.extend([("license".to_owned(), amount)])
}

#[test]
fn later_tasks_pass_a_gang_only_if_they_end_in_time() {
    let mut desk = Desk::new(&[1, 1]);
    let (running, _) = desk.ask(Kind::Exec, |r| r.timeout_us = Some(100 * SECOND));
    let (wide, none) = desk.ask(Kind::Exec, gang(2));
    assert!(none.is_empty());
    assert!(desk.exec().1.is_empty(), "it has no timeout: it never passes");
    let (_, none) = desk.ask(Kind::Measure, |r| r.timeout_us = Some(101 * SECOND));
    assert!(none.is_empty(), "it would be too late");
    let (short, actions) = desk.ask(Kind::Compile, |r| {
        (r.timeout_us, r.placement.exclusive) = (Some(99 * SECOND), Some(Exclusive::Node));
    });
    assert_eq!(actions[..2], [quiet(1, true), start(short, 1, 1)]);
    let Explanation::Room(place) = desk.core.explain(wide) else { panic!("{:?}", desk.core.explain(wide)) };
    assert_eq!(
        place.reserved,
        Some(Reserved { task: wide, nodes: 2, until: Some(Tick(100 * SECOND)) }),
        "the promise holds"
    );
    desk.done(1, short);
    let actions = desk.done(0, running);
    assert_eq!(begun(&actions[1..]).0, [0, 1]);
}

/// A call says nothing of its start before the gang asks for nodes.
#[test]
fn a_call_that_was_just_sent_ends_in_a_known_time() {
    let mut desk = Desk::new(&[1, 1]);
    desk.ask(Kind::Call, |r| r.timeout_us = Some(100 * SECOND));
    let (wide, none) = desk.ask(Kind::Exec, gang(2));
    assert!(none.is_empty());
    let kept = desk.core.reservations().next().expect("it waits for the second node");
    assert_eq!((kept.task, kept.nodes, kept.until.is_some()), (wide, 2, true));
}

#[test]
fn what_found_too_few_nodes_keeps_none_back_that_asks_for_fewer() {
    let mut desk = Desk::new(&[1; 6]);
    let mut ask = |kind, nodes: Option<u32>, seconds: u64| {
        desk.ask(kind, |r| (r.placement.nodes, r.timeout_us) = (nodes, Some(seconds * SECOND))).0
    };
    let running: Vec<TaskId> = (0..6).map(|_| ask(Kind::Exec, None, 100)).collect();
    let _first = ask(Kind::Exec, Some(6), 100);
    let [_five, _four, three] = [5, 4, 3].map(|nodes| ask(Kind::Exec, Some(nodes), 1));
    let actions: Vec<Action> = (0..3).flat_map(|at| desk.done(at, running[at as usize])).collect();
    let started = actions.iter().filter_map(|action| match action {
        Action::Start { task, .. } => Some(*task),
        _ => None,
    });
    assert_eq!(started.collect::<Vec<_>>(), [three], "it ends before all six are free");
}

#[test]
fn a_gang_that_was_promised_no_time_is_kept_a_node_that_becomes_known_to_be_free_earlier() {
    let mut desk = Desk::new(&[1, 1, 1]);
    let endless: Vec<TaskId> = (0..3).map(|_| desk.exec().0).collect();
    let (wide, _) = desk.ask(Kind::Exec, gang(2));
    let kept = |desk: &Desk| -> Vec<u32> {
        let reservation = desk.core.pools[0].reservation.as_ref().expect("it waits");
        assert_eq!((desk.core.tasks[reservation.ix].id, reservation.until), (wide, None));
        reservation.workers.iter().map(|id| id.0).collect()
    };
    assert_eq!(kept(&desk), [0, 1], "of none anything is known");
    // What may run on one node only follows there at once, and ends in time.
    let (bound, none) = desk.ask(Kind::Exec, |r| {
        (r.placement.host, r.timeout_us) = (Some("n2".into()), Some(60 * SECOND));
    });
    assert!(none.is_empty());
    assert!(desk.done(2, endless[2]).contains(&start(bound, 1, 2)));
    assert_eq!(kept(&desk), [0, 2]);
}

#[test]
fn a_gang_starts_on_nodes_kept_for_it_though_others_that_it_could_borrow_lack_its_file() {
    let mut desk = Desk::new(&[1, 1]);
    license(&mut desk, 1);
    // Another pool has a worker on n0 too, which is kept for a task with a GPU until what runs there has ended.
    let other = PoolId(1);
    desk.feed(Event::PoolOpened { pool: other });
    desk.feed(Event::WorkerReady {
        worker: WorkerId(2),
        pool: other,
        host: "n0".into(),
        allocation: 0,
        slots: 1,
        sockets: [1].into(),
        gpus: (0..1).collect(),
        measures: true,
    });
    desk.feed(Event::PoolSettled { pool: other });
    let ending =
        |pool, seconds| move |r: &mut Request| (r.pool, r.timeout_us) = (pool, Some(seconds * SECOND));
    desk.ask(Kind::Exec, ending(other, 100));
    let running = [(); 2].map(|()| desk.ask(Kind::Exec, ending(PoolId(0), 50)).0);
    desk.ask(Kind::Exec, |r| (r.pool, r.placement.gpus) = (other, Some(1)));
    let file = Hash::of(b"file");
    let (waits, actions) = desk.ask(Kind::Exec, |r| {
        (r.timeout_us, r.inputs) = (Some(SECOND), vec![file]);
        licensed(1)(r);
    });
    assert_eq!(actions, [offer(file, 1)], "n1 is kept for it");
    let actions = desk.done(0, running[0]);
    assert_eq!(actions, [finished(running[0]), offer(file, 0)], "n0 it could borrow");
    assert_eq!(desk.done(1, running[1]), [finished(running[1])]);
    assert_eq!(desk.core.explain(waits), Explanation::Files { hosts: vec!["n1".into()] });
    let actions = desk.feed(Event::Have { worker: WorkerId(1), artefact: file });
    assert_eq!(begun(&actions).0, [1]);
}

#[test]
fn a_gap_is_filled_where_the_file_is_already() {
    let mut desk = Desk::new(&[1, 1, 1]);
    let file = Hash::of(b"file");
    desk.feed(Event::Have { worker: WorkerId(2), artefact: file });
    desk.ask(Kind::Exec, |r| r.timeout_us = Some(100 * SECOND));
    assert!(desk.ask(Kind::Exec, gang(3)).1.is_empty(), "all nodes are kept for it");
    let needing = |r: &mut Request| (r.timeout_us, r.inputs) = (Some(SECOND), vec![file]);
    assert_eq!(begun(&desk.ask(Kind::Exec, needing).1).0, [2]);
    assert_eq!(desk.ask(Kind::Exec, needing).1, [offer(file, 1)], "the other one has room alone");
}

#[test]
fn a_file_nobody_has_refuses_who_was_to_fill_a_gap_with_it_and_the_gang_that_waits_for_it() {
    let mut desk = Desk::new(&[1, 1]);
    let (file, other) = (Hash::of(b"lost"), Hash::of(b"lost too"));
    desk.ask(Kind::Exec, |r| r.timeout_us = Some(100 * SECOND));
    let (wide, actions) = desk.ask(Kind::Exec, |r| (r.placement.nodes, r.inputs) = (Some(2), vec![other]));
    assert_eq!(actions, [offer(other, 0), offer(other, 1)]);
    let short = |inputs| {
        move |r: &mut Request| {
            (r.timeout_us, r.inputs, r.placement.group) = (Some(SECOND), inputs, Some("g".into()));
        }
    };
    let (first, actions) = desk.ask(Kind::Exec, short(vec![file]));
    assert_eq!(actions, [offer(file, 1)]);
    let (second, _) = desk.ask(Kind::Exec, short(vec![file]));
    let (third, _) = desk.ask(Kind::Exec, short(vec![]));
    // No task asks for it again and again.
    let is_refused = |task: TaskId, action: &Action| matches!(action, Action::Resolve { task: other, end: End::Refused { .. } } if *other == task);
    let actions = desk.feed(Event::Gone { artefact: file });
    assert!(is_refused(first, &actions[0]), "{actions:?}");
    assert_eq!(actions[1..], [offer(file, 1)], "the next of their group");
    let actions = desk.feed(Event::Gone { artefact: file });
    assert!(is_refused(second, &actions[0]), "{actions:?}");
    assert_eq!(actions[1], start(third, 1, 1));
    desk.done(1, third);
    let actions = desk.feed(Event::Gone { artefact: other });
    assert!(is_refused(wide, &actions[0]), "{actions:?}");
    assert_eq!(desk.core.reservations().count(), 0);
}

#[test]
fn one_look_starts_all_gangs_that_can_start() {
    let mut desk = Desk::new(&[2000]);
    license(&mut desk, 1);
    let (first, _) = desk.ask(Kind::Exec, licensed(1));
    let waiting: Vec<TaskId> = (0..1100).map(|_| desk.ask(Kind::Exec, licensed(1)).0).collect();
    let starts = |actions: &[Action]| {
        let is_start = |action: &&Action| matches!(action, Action::Start { .. });
        actions.iter().filter(is_start).count()
    };
    let actions = license(&mut desk, 1101);
    assert_eq!(starts(&actions), waiting.len(), "more than are looked at in vain");
    desk.done(0, first);
}

#[test]
fn gangs_that_share_stand_beside_each_other() {
    let mut desk = Desk::new(&[4, 4]);
    let shared = |r: &mut Request| {
        (r.placement.nodes, r.placement.cores) = (Some(2), Some(2));
        r.placement.exclusive = Some(Exclusive::No);
    };
    let (first, actions) = desk.ask(Kind::Exec, shared);
    assert_eq!(begun(&actions).0, [0, 1]);
    assert_eq!(begun(&desk.ask(Kind::Exec, shared).1).0, [0, 1], "two units of four are left");
    let (third, none) = desk.ask(Kind::Exec, shared);
    assert!(none.is_empty());
    assert_eq!(begun(&desk.done(0, first)).0, [0, 1], "task {third}");
}

#[test]
fn an_earlier_task_takes_what_is_kept_for_a_later_gang() {
    let mut desk = Desk::new(&[1, 1]);
    let (running, _) = desk.exec();
    let (wide, none) = desk.ask(Kind::Exec, gang(2));
    assert!(none.is_empty());
    let (urgent, actions) = desk.ask(Kind::Exec, |r| r.placement.priority = Some(1));
    assert_eq!(actions, [start(urgent, 1, 1)]);
    desk.done(1, urgent);
    assert_eq!(begun(&desk.done(0, running)).0, [0, 1], "task {wide}");
}

#[test]
fn a_group_of_gangs_keeps_its_nodes() {
    let mut desk = Desk::new(&[1, 1, 1, 1]);
    let member = |r: &mut Request| {
        (r.placement.nodes, r.placement.group, r.retries) = (Some(2), Some("g".into()), 1);
    };
    let (first, actions) = desk.ask(Kind::Exec, member);
    assert_eq!(begun(&actions).0, [0, 1]);
    let (second, none) = desk.ask(Kind::Exec, member);
    assert!(none.is_empty(), "two nodes are free, but the group is elsewhere");
    assert_eq!(begun(&desk.done(0, first)).0, [0, 1]);
    desk.lose(1);
    desk.report(0, second, 1, false, None);
    assert_eq!(begun(&desk.tick(1_000_000)).0.len(), 2, "it moves as a whole");
}

#[test]
fn the_host_of_a_gang_is_its_leaders() {
    let mut desk = Desk::new(&[1, 1, 1]);
    let (_, actions) = desk.ask(Kind::Exec, |r| {
        (r.placement.nodes, r.placement.host) = (Some(2), Some("n2".into()));
        r.placement.not_on = Some("n0".into());
    });
    assert_eq!(begun(&actions).0, [2, 1]);
}

#[test]
fn gpus_are_given_by_number() {
    let mut desk = Desk::with_gpus(&[4, 4], 4);
    let wants = |gpus| move |r: &mut Request| r.placement.gpus = Some(gpus);
    let (a, actions) = desk.ask(Kind::Exec, wants(3));
    assert_eq!(begun(&actions), (vec![0], vec![vec![0, 1, 2]]));
    assert_eq!(begun(&desk.ask(Kind::Exec, wants(1)).1), (vec![0], vec![vec![3]]), "others stay whole");
    let (_, actions) = desk.ask(Kind::Exec, |r| {
        (r.placement.gpus, r.placement.cores) = (Some(3), Some(1));
    });
    assert_eq!(begun(&actions), (vec![1], vec![vec![0, 1, 2]]));
    let (waits, none) = desk.ask(Kind::Exec, wants(2));
    assert!(none.is_empty());
    let said = told(&desk, waits);
    let begin = "it needs a node with 1 core and 2 GPUs; 2 nodes would do, and 0 of them have the room now; there run";
    assert!(said.starts_with(begin), "{said}");
    assert_eq!(begun(&desk.done(0, a)), (vec![0], vec![vec![0, 1]]));
    let (_, actions) = desk.ask(Kind::Exec, |r| (r.placement.nodes, r.placement.gpus) = (Some(3), Some(1)));
    assert!(
        refusal(&actions).starts_with("it asks for nodes = 3 with 1 core and 1 GPU on each; pool 0 has 2")
    );
}

#[test]
fn workers_of_a_node_share_its_gpus_and_have_each_their_own() {
    let mut desk = Desk::new(&[4]);
    let host = || "n0".to_owned();
    for (pool, numbers) in [(1, &[0, 1, 2, 3][..]), (2, &[1])] {
        let pool = PoolId(pool);
        desk.feed(Event::PoolOpened { pool });
        let (worker, gpus) = (WorkerId(pool.0), numbers.iter().copied().collect());
        desk.feed(Event::WorkerReady {
            worker,
            pool,
            host: host(),
            allocation: 0,
            slots: 8,
            sockets: [8].into(),
            gpus,
            measures: true,
        });
        desk.feed(Event::PoolSettled { pool });
    }
    let of = |pool, gpus| move |r: &mut Request| (r.pool, r.placement.gpus) = (PoolId(pool), Some(gpus));
    let (_, actions) = desk.ask(Kind::Exec, of(0, 1));
    assert!(refusal(&actions).contains("no node of pool 0 has more than 0"), "{actions:?}");
    let (_, actions) = desk.ask(Kind::Exec, of(2, 2));
    assert!(refusal(&actions).contains("no node of pool 2 has more than 1: ask for fewer"), "{actions:?}");
    let (of_small, actions) = desk.ask(Kind::Exec, of(2, 1));
    assert_eq!(begun(&actions), (vec![2], vec![vec![1]]));
    assert_eq!(begun(&desk.ask(Kind::Exec, of(1, 2)).1), (vec![1], vec![vec![0, 2]]));
    assert!(desk.ask(Kind::Exec, of(2, 1)).1.is_empty(), "it has one only");
    assert_eq!(begun(&desk.done(2, of_small)), (vec![2], vec![vec![1]]));
}

#[test]
fn what_cannot_be_counted_is_refused_with_the_number_asked() {
    let mut desk = Desk::with_gpus(&[4], 1);
    let (_, actions) = desk.ask(Kind::Exec, |r| r.placement.gpus = Some(65537));
    assert!(refusal(&actions).starts_with("it asks for gpus = 65537, and no pool has more"), "{actions:?}");
    let (_, actions) = desk.ask(Kind::Exec, |r| r.placement.nodes = Some(100_000));
    assert!(refusal(&actions).starts_with("it asks for nodes = 100000, and no pool"), "{actions:?}");
}

#[test]
fn a_gang_gets_the_same_gpus_on_all_nodes_if_it_can() {
    let mut desk = Desk::with_gpus(&[4, 4], 2);
    let (_, actions) =
        desk.ask(Kind::Exec, |r| (r.placement.gpus, r.placement.host) = (Some(1), Some("n1".into())));
    assert_eq!(begun(&actions), (vec![1], vec![vec![0]]));
    let (_, actions) = desk.ask(Kind::Exec, |r| {
        (r.placement.nodes, r.placement.gpus, r.placement.exclusive) =
            (Some(2), Some(1), Some(Exclusive::No));
    });
    assert_eq!(begun(&actions), (vec![0, 1], vec![vec![1], vec![1]]));
}

#[test]
fn counters_are_handed_out_in_order() {
    let mut desk = Desk::new(&[4]);
    let (_, actions) = desk.ask(Kind::Exec, licensed(1));
    assert!(refusal(&actions).contains("license = 1, which pool 0 does not have (it has none)"));
    license(&mut desk, 2);
    let (_, actions) = desk.ask(Kind::Exec, licensed(3));
    assert!(refusal(&actions).contains("license = 3, pool 0 has 2"));
    let (one, actions) = desk.ask(Kind::Call, licensed(1));
    assert_eq!(actions, [start(one, 1, 0)]);
    let (both, none) = desk.ask(Kind::Exec, licensed(2));
    assert!(none.is_empty());
    let (late, none) = desk.ask(Kind::Exec, licensed(1));
    assert!(none.is_empty(), "one is left, but it would overtake");
    assert_eq!(desk.exec().1.len(), 1, "who needs none goes on");
    assert_eq!(
        desk.core.explain(late),
        Explanation::Counter {
            name: "license".into(),
            wanted: 1,
            free: 1,
            capacity: 2,
            holders: vec![one, both]
        }
    );
    assert_eq!(desk.done(0, one), [finished(one), start(both, 1, 0)]);
    assert_eq!(desk.done(0, both), [finished(both), start(late, 1, 0)]);
}

fn told(desk: &Desk, task: TaskId) -> String {
    let names = Names { of: &|task| format!("task {task}"), now: Tick(desk.now) };
    desk.core.explain(task).in_words(&names)
}

#[test]
fn tasks_that_wait_for_the_like_are_told_of_together() {
    let mut desk = Desk::new(&[1]);
    let (running, _) = desk.exec();
    assert_eq!(desk.core.waiting(), []);
    license(&mut desk, 1);
    let (holder, _) = desk.ask(Kind::Exec, licensed(1));
    let queued: Vec<TaskId> = (0..20).map(|_| desk.exec().0).collect();
    let urgent = desk.ask(Kind::Exec, |r| r.placement.priority = Some(1)).0;
    let after = desk.ask(Kind::Exec, |r| r.deps = vec![pending(running)]).0;
    let groups = desk.core.waiting();
    let shape: Vec<(usize, &str)> = groups.iter().map(|group| (group.count, group.why.word())).collect();
    assert_eq!(shape, [(21, "room"), (1, "dependencies"), (1, "room")]);
    assert_eq!(groups[0].first[..2], [urgent, queued[0]], "in the order in which they go");
    assert_eq!((&groups[1].first, &groups[2].first), (&vec![after], &vec![holder]));
    assert_eq!(desk.core.tasks_of(WorkerId(0)), [(running, true)]);
}

#[test]
fn a_call_beyond_the_units_of_its_worker_is_not_said_to_run() {
    let mut desk = Desk::new(&[2]);
    let calls: Vec<TaskId> = (0..4).map(|_| desk.ask(Kind::Call, |_| {}).0).collect();
    let runs =
        |desk: &Desk| desk.core.tasks_of(WorkerId(0)).into_iter().map(|(_, runs)| runs).collect::<Vec<_>>();
    assert_eq!(runs(&desk), [true, true, false, false]);
    desk.done(0, calls[0]);
    assert_eq!(runs(&desk), [true, true, false]);
    desk.started(0, calls[1], 1);
    assert_eq!(runs(&desk), [true, true, false]);
}

#[test]
fn explanations_name_what_is_waited_for() {
    let mut desk = Desk::new(&[2]);
    let (running, _) = desk.exec();
    let (measure, _) = desk.measure();
    let (after, _) = desk.ask(Kind::Exec, |r| r.deps = vec![pending(TaskId(1))]);
    let (behind, _) = desk.exec();
    let of_running = |begun| Explanation::Running { hosts: vec!["n0".into()], ahead: false, begun };
    assert_eq!(desk.core.explain(running), of_running(false));
    desk.started(0, running, 1);
    assert_eq!(desk.core.explain(running), of_running(true));
    assert_eq!(told(&desk, measure), format!("n0 is being cleared for it; there runs task {running}"));
    assert_eq!(desk.core.explain(after), Explanation::Dependencies { tasks: vec![measure], count: 1 });
    let Explanation::Room(place) = desk.core.explain(behind) else { panic!() };
    assert_eq!((place.free, place.drained), (0, vec![("n0".to_owned(), vec![measure])]));
    desk.feed(Event::PoolOpened { pool: PoolId(0) });
    let (there, _) = desk.ask(Kind::Exec, |r| r.placement.host = Some("n7".into()));
    assert_eq!(desk.core.explain(there), Explanation::NoWorker { host: "n7".into() });
    assert_eq!(desk.core.explain(TaskId(99)), Explanation::Unknown);
}

/// Workers 0, 1 are of the root's allocation, further ones of another that has joined.
fn joined(others: &[u16]) -> Desk {
    let mut desk = Desk::new(&[1, 1]);
    desk.feed(Event::PoolOpened { pool: PoolId(0) });
    desk.allocation = 1;
    for (at, slots) in others.iter().enumerate() {
        desk.join(2 + at as u32, *slots);
    }
    desk.feed(Event::PoolSettled { pool: PoolId(0) });
    desk
}

#[test]
fn a_gang_stays_inside_one_allocation() {
    let mut desk = joined(&[1, 1, 1]);
    let (wide, actions) = desk.ask(Kind::Exec, gang(3));
    assert_eq!(begun(&actions).0, [2, 3, 4], "there are as many in one only");
    let (single, actions) = desk.exec();
    assert_eq!(actions, [start(single, 1, 0)]);
    desk.done(2, wide);
    for (host, worker) in [("n2", 2), ("n3", 3)] {
        let (task, actions) = desk.ask(Kind::Exec, |r| r.placement.host = Some(host.into()));
        assert_eq!(actions, [start(task, 1, worker)]);
    }
    let (pair, none) = desk.ask(Kind::Exec, gang(2));
    assert!(none.is_empty(), "1 and 4 are free, and they are not together: {none:?}");
    let actions = desk.done(0, single);
    assert_eq!(begun(&actions).0, [0, 1], "task {pair}: {actions:?}");

    let (_, actions) = desk.ask(Kind::Exec, gang(4));
    assert_eq!(
        refusal(&actions),
        "it asks for nodes = 4 with 1 core on each; pool 0 has 3 of that kind in one job, inside which a task stays, and 5 \
         workers in all: ask for fewer, or spawn workers on more nodes"
    );
    desk.lose(4);
    let (_, actions) = desk.ask(Kind::Exec, gang(3));
    assert!(refusal(&actions).contains(
        "pool 0 has 2 of that kind in one job, inside which a task stays, and 4 workers (1 gone) in all"
    ));
}

#[test]
fn the_others_of_a_gang_are_of_its_hosts_allocation() {
    let mut desk = joined(&[1, 1]);
    let on = |host: &'static str| {
        move |r: &mut Request| (r.placement.nodes, r.placement.host) = (Some(2), Some(host.into()))
    };
    assert_eq!(begun(&desk.ask(Kind::Exec, on("n3")).1).0, [3, 2]);
    assert_eq!(begun(&desk.ask(Kind::Exec, on("n1")).1).0, [1, 0]);
}

#[test]
fn a_gang_is_refused_if_the_allocation_of_its_host_is_too_small() {
    let mut desk = joined(&[1, 1]);
    let on = |r: &mut Request| (r.placement.nodes, r.placement.host) = (Some(2), Some("n2".into()));
    let (running, actions) = desk.ask(Kind::Exec, on);
    assert_eq!(begun(&actions).0, [2, 3]);
    let (_, none) = desk.ask(Kind::Exec, on);
    assert!(none.is_empty());
    let lost = desk.lose(3);
    let reason = refusal(&lost[1..2]);
    assert!(reason.contains("pool 0 has 1 of that kind in the job of `n2`"), "{reason}");
    desk.report(2, running, 1, false, None);
    let (_, actions) = desk.ask(Kind::Exec, on);
    assert!(refusal(&actions).starts_with("it asks for nodes = 2"), "two are free in the other one");
}

#[test]
fn a_lost_allocation_takes_its_gangs_along_and_nothing_else() {
    let mut desk = joined(&[1, 1, 1]);
    let (_, actions) = desk.ask(Kind::Exec, gang(3));
    assert_eq!(begun(&actions).0, [2, 3, 4]);
    let (queued, none) = desk.ask(Kind::Exec, gang(3));
    assert!(none.is_empty());
    let (pair, actions) = desk.ask(Kind::Exec, |r| (r.placement.nodes, r.retries) = (Some(2), 1));
    assert_eq!(begun(&actions).0, [0, 1]);
    let ends: Vec<Action> = (2..5).flat_map(|worker| desk.lose(worker)).collect();
    let refused = ends.iter().any(
        |action| matches!(action, Action::Resolve { task, end: End::Refused { .. } } if *task == queued),
    );
    assert!(refused, "{ends:?}");
    assert!(desk.done(0, pair).contains(&finished(pair)));
}

#[test]
fn a_reluctant_worker_measures_where_the_others_are_not_together() {
    let mut desk = Desk::new(&[]);
    desk.feed(Event::PoolOpened { pool: PoolId(0) });
    desk.join_as(0, 1, false);
    desk.join(1, 1);
    desk.allocation = 1;
    desk.join(2, 1);
    desk.feed(Event::PoolSettled { pool: PoolId(0) });
    let (_, actions) = desk.ask(Kind::Measure, |r| {
        (r.placement.nodes, r.placement.exclusive) = (Some(2), Some(Exclusive::Node));
    });
    let quieted = actions.iter().filter_map(|action| match action {
        Action::Quiet { worker, on: true } => Some(worker.0),
        _ => None,
    });
    assert_eq!(quieted.collect::<Vec<_>>(), [0, 1], "{actions:?}");
}

#[test]
fn the_nodes_of_a_gang_are_the_first_of_all_in_order_however_few_are_sorted() {
    let mut desk = Desk::new(&[1; 12]);
    desk.allocation = 1;
    (12..18).for_each(|worker| drop(desk.join(worker, 1)));
    for worker in 18..24u32 {
        // A second one on a node.
        let (pool, host, sockets, gpus) =
            (PoolId(0), format!("n{}", worker - 18), [1].into(), GpuSet::default());
        let (worker, allocation, slots, measures) = (WorkerId(worker), 0, 1, true);
        desk.feed(Event::WorkerReady { worker, pool, host, allocation, slots, sockets, gpus, measures });
    }
    (0..24).for_each(|_| drop(desk.exec()));
    let (free, host) = (desk.ask(Kind::Exec, gang(4)).0, "n2".to_owned());
    let bound = desk.ask(Kind::Exec, |r| (r.placement.nodes, r.placement.host) = (Some(4), Some(host))).0;
    let mut x = 88172645463325252u64;
    for step in 0..2000 {
        let mut candidates: Vec<(u64, WorkerId)> = Vec::new();
        for worker in 0..24 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            if !x.is_multiple_of(3) {
                candidates.push(((x >> 20) % 6, WorkerId(worker)));
            }
        }
        let core = &desk.core;
        let ix = core.tasks.find(if step % 2 == 0 { free } else { bound }).unwrap();
        let mut sorted = candidates.clone();
        sorted.sort_unstable();
        let expected = core.distinct(ix, core.demand(ix), sorted.iter().map(|(_, id)| *id));
        assert_eq!(core.best_of(ix, core.demand(ix), &mut candidates), expected);
    }
}
