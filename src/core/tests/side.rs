//! Measurements side by side, each with a part of its node to itself.

use super::*;

fn part(exclusive: Exclusive, cores: u32) -> impl Fn(&mut Request) {
    move |r: &mut Request| (r.placement.exclusive, r.placement.cores) = (Some(exclusive), Some(cores))
}

impl Desk {
    fn cores(&mut self, cores: u32) -> (TaskId, Vec<Action>) {
        self.ask(Kind::Measure, part(Exclusive::Cores, cores))
    }

    fn socket(&mut self) -> (TaskId, Vec<Action>) {
        self.ask(Kind::Measure, part(Exclusive::Socket, 1))
    }
}

#[test]
fn they_share_a_quiet_node_as_far_as_its_cores_go() {
    let mut desk = Desk::new(&[4]);
    let (build, _) = desk.ask(Kind::Compile, |_| {});
    let (a, none) = desk.cores(2);
    assert!(none.is_empty(), "the build must end first");
    let (b, none) = desk.cores(1);
    assert!(none.is_empty());
    let (c, none) = desk.cores(2);
    assert!(none.is_empty());
    let actions = desk.done(0, build);
    assert_eq!(actions, [finished(build), quiet(0, true), start(a, 1, 0), start(b, 1, 0)]);
    let (call, none) = desk.ask(Kind::Call, |_| {});
    assert!(none.is_empty(), "a core is free, and not for a call");
    assert_eq!(desk.done(0, b), [finished(b), start(c, 1, 0)], "who took the lease first may leave last");
    assert_eq!(desk.done(0, a), [finished(a)]);
    assert_eq!(desk.done(0, c), [finished(c), quiet(0, false), start(call, 1, 0)]);
}

#[test]
fn one_that_let_others_pass_joins_as_soon_as_they_have_started() {
    let mut desk = Desk::new(&[4]);
    let (all, _) = desk.measure();
    let (bound, _) = desk.ask(Kind::Exec, |r| r.placement.host = Some("n0".into()));
    let (first, _) = desk.ask(Kind::Exec, |r| r.placement.priority = Some(1));
    let (file, other) = (Hash::of(b"file"), Hash::of(b"other"));
    let late = |input| {
        move |r: &mut Request| {
            part(Exclusive::Cores, 1)(r);
            (r.placement.priority, r.inputs) = (Some(-1), vec![input]);
        }
    };
    desk.ask(Kind::Measure, late(file));
    desk.ask(Kind::Measure, late(other));
    let actions = desk.done(0, all);
    assert_eq!(actions[1..3], [quiet(0, false), start(first, 1, 0)]);
    assert_eq!(actions[3..], [offer(file, 0), start(bound, 1, 0), offer(other, 0)], "both have the lease");
}

#[test]
fn each_sort_is_by_itself() {
    let mut desk = Desk::new(&[4]);
    let (a, actions) = desk.socket();
    assert_eq!(actions, [quiet(0, true), start(a, 1, 0)]);
    let (b, actions) = desk.socket();
    assert_eq!(actions, [start(b, 1, 0)]);
    let (c, none) = desk.socket();
    assert!(none.is_empty(), "it has two");
    let (d, none) = desk.cores(1);
    assert!(none.is_empty());
    assert_eq!(desk.done(0, a), [finished(a), start(c, 1, 0)]);
    let (whole, none) = desk.measure();
    assert!(none.is_empty());
    assert_eq!(desk.done(0, c), [finished(c)]);
    assert_eq!(desk.done(0, b), [finished(b), start(d, 1, 0)], "the next one follows");
    assert_eq!(desk.done(0, d), [finished(d), start(whole, 1, 0)]);
    let (e, none) = desk.cores(1);
    assert!(none.is_empty(), "who asked for the node has it alone");
    assert_eq!(desk.done(0, whole), [finished(whole), start(e, 1, 0)]);
}

#[test]
fn a_node_with_one_socket_is_that_socket() {
    let mut desk = Desk::new(&[3]);
    let (a, actions) = desk.socket();
    assert_eq!(actions, [quiet(0, true), start(a, 1, 0)]);
    assert!(desk.socket().1.is_empty());
}

#[test]
fn a_stream_of_them_lets_an_older_one_have_the_node() {
    for by_host in [false, true] {
        let mut desk = Desk::new(&[2]);
        let host = |r: &mut Request| r.placement.host = by_host.then(|| "n0".into());
        let (mut a, mut b) = (desk.cores(1).0, desk.cores(1).0);
        let whole = desk.measure().0;
        let mut passed = 0;
        while desk.core.counts(Kind::Measure).queued > 0 {
            let (next, none) = desk.ask(Kind::Measure, |r| {
                part(Exclusive::Cores, 1)(r);
                host(r);
            });
            assert!(none.is_empty());
            match &desk.done(0, a)[..] {
                [_, Action::Start { task, .. }] if *task == next => (a, b) = (b, next),
                [_] => {
                    assert_eq!(desk.done(0, b), [finished(b), start(whole, 1, 0)]);
                    break;
                }
                other => panic!("{other:?}"),
            }
            passed += 1;
        }
        assert_eq!(passed, 6, "eight in a row: two were there before");
    }
}

#[test]
fn one_of_higher_priority_is_not_passed_at_all() {
    let mut desk = Desk::new(&[2]);
    let (a, _) = desk.cores(1);
    let (urgent, _) = desk.ask(Kind::Exec, |r| r.placement.priority = Some(1));
    let (b, none) = desk.cores(1);
    assert!(none.is_empty(), "a core is free, but it would keep the urgent one waiting");
    assert_eq!(desk.done(0, a), [finished(a), quiet(0, false), start(urgent, 1, 0)]);
    assert_eq!(desk.done(0, urgent), [finished(urgent), quiet(0, true), start(b, 1, 0)]);
}

#[test]
fn nothing_travels_beside_them() {
    let mut desk = Desk::new(&[2]);
    let artefact = Hash::of(b"build");
    let (a, _) = desk.cores(1);
    let (b, none) = desk.ask(Kind::Measure, |r| {
        part(Exclusive::Cores, 1)(r);
        r.inputs = vec![artefact];
    });
    assert!(none.is_empty(), "its artefact would have to be brought");
    assert_eq!(desk.done(0, a), [finished(a), offer(artefact, 0), quiet(0, false)]);
    // While the node is prepared another one joins, and waits with it.
    let (c, none) = desk.cores(1);
    assert!(none.is_empty());
    let actions = desk.feed(Event::Have { worker: WorkerId(0), artefact });
    assert_eq!(actions, [quiet(0, true), start(b, 1, 0), start(c, 1, 0)]);
    desk.done(0, c);
    let (d, actions) = desk.ask(Kind::Measure, |r| {
        part(Exclusive::Cores, 1)(r);
        r.inputs = vec![artefact];
    });
    assert_eq!(actions, [start(d, 1, 0)], "now it is there");
}

#[test]
fn a_group_has_its_parts_on_one_node() {
    let mut desk = Desk::new(&[2, 2]);
    let of_group = |r: &mut Request| {
        part(Exclusive::Cores, 1)(r);
        r.placement.group = Some("g".into());
    };
    let (a, actions) = desk.ask(Kind::Measure, of_group);
    assert_eq!(actions, [quiet(0, true), start(a, 1, 0)]);
    let (b, actions) = desk.ask(Kind::Measure, of_group);
    assert_eq!(actions, [start(b, 1, 0)]);
    let (c, none) = desk.ask(Kind::Measure, of_group);
    assert!(none.is_empty());
    let (d, actions) = desk.cores(1);
    assert_eq!(actions, [quiet(1, true), start(d, 1, 1)]);
    assert_eq!(desk.done(0, a), [finished(a), start(c, 1, 0)]);
}

#[test]
fn one_that_is_given_up_leaves_the_others_their_lease() {
    let mut desk = Desk::new(&[4]);
    let (build, _) = desk.ask(Kind::Compile, |_| {});
    let tasks: Vec<TaskId> = (0..3).map(|_| desk.cores(1).0).collect();
    // The first one, for whom the node is being drained.
    assert_eq!(desk.feed(Event::Cancel { task: tasks[0] }), [resolve(tasks[0], End::Cancelled)]);
    assert_eq!(
        desk.done(0, build),
        [finished(build), quiet(0, true), start(tasks[1], 1, 0), start(tasks[2], 1, 0)]
    );
    assert_eq!(desk.feed(Event::Cancel { task: tasks[1] })[0], kill(tasks[1], 1, 0));
    assert_eq!(desk.failed(0, tasks[1]), [resolve(tasks[1], End::Cancelled)]);
    assert_eq!(desk.lose(0), [lost_with(tasks[2], &[0])]);
}

#[test]
fn more_cores_of_ones_own_than_there_are_is_refused_with_the_numbers() {
    let mut desk = Desk::new(&[]);
    desk.feed(Event::PoolOpened { pool: PoolId(1) });
    desk.feed(Event::WorkerReady {
        worker: WorkerId(0),
        pool: PoolId(1),
        host: "n0".into(),
        allocation: 0,
        slots: 16, // two threads a core
        sockets: [4, 4].into(),
        gpus: GpuSet::default(),
        measures: true,
    });
    desk.feed(Event::PoolSettled { pool: PoolId(1) });
    let mut ask = |exclusive, cores| {
        let (_, actions) = desk.ask(Kind::Measure, |r| {
            part(exclusive, cores)(r);
            r.pool = PoolId(1);
        });
        refusal(&actions).to_owned()
    };
    assert_eq!(
        ask(Exclusive::Cores, 9),
        "it asks for 9 cores of its own (exclusive = \"cores\"); pool 1 has 1 worker and at most 8 cores with all \
         their threads on one node: ask for fewer, or for the node (exclusive = \"node\")"
    );
    assert!(
        ask(Exclusive::Socket, 5)
            .contains("(exclusive = \"socket\"); pool 1 has 1 worker and at most 4 cores of")
    );
    assert!(
        ask(Exclusive::Cores, 17).contains(
            "17 cores of one worker (each MPI rank takes some); pool 1 has 1 worker with at most 16 slots: ask for \
             less, or for more slots than there are cores, spawn { slots = 17 }"
        )
    );
}

#[test]
fn who_may_wait_for_cores_of_one_node_is_guarded_from_the_end_of_its_neighbours() {
    let mut desk = Desk::new(&[2]);
    let limited = |timeout| {
        move |r: &mut Request| {
            part(Exclusive::Cores, 1)(r);
            r.timeout_us = Some(timeout);
        }
    };
    let (first, _) = desk.ask(Kind::Measure, limited(100_000_000));
    let (second, _) = desk.ask(Kind::Measure, limited(1_000_000));
    desk.started(0, first, 1);
    assert!(desk.tick(120_000_000).is_empty(), "it may have begun when the first one ended");
    assert_eq!(desk.tick(20_000_000)[0], kill(first, 1, 0));
    desk.done(0, first);
    assert!(desk.started(0, second, 1).iter().all(|action| !matches!(action, Action::Kill { .. })));
    assert_eq!(desk.tick(40_000_000)[0], kill(second, 1, 0));
}

#[test]
fn the_explanation_names_those_who_have_the_node() {
    let mut desk = Desk::new(&[2]);
    let (a, b) = (desk.cores(1).0, desk.cores(1).0);
    let (exec, _) = desk.exec();
    let Explanation::Room(place) = desk.core.explain(exec) else { panic!() };
    assert_eq!(place.drained, vec![("n0".to_owned(), vec![a, b])]);
}
