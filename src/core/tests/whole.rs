//! Gangs of whole nodes: which they get, and which are kept for them.

use super::*;

const SECOND: u64 = 1_000_000;

/// Whole nodes, to measure on.
fn whole(nodes: u32) -> impl FnOnce(&mut Request) {
    move |r| (r.placement.nodes, r.placement.exclusive) = (Some(nodes), Some(Exclusive::Node))
}

fn quieted(actions: &[Action]) -> Vec<u32> {
    let quieted = actions.iter().filter_map(|action| match action {
        Action::Quiet { worker, on: true } => Some(worker.0),
        _ => None,
    });
    quieted.collect()
}

#[test]
fn whole_nodes_are_the_first_of_those_that_are_alike_or_have_the_least_to_spare() {
    let mut desk = Desk::new(&[4; 5]);
    assert_eq!(quieted(&desk.ask(Kind::Measure, whole(2)).1), [0, 1]);
    let (second, actions) = desk.ask(Kind::Measure, whole(2));
    assert_eq!(quieted(&actions), [2, 3]);
    desk.done(2, second);
    desk.join(5, 2);
    assert_eq!(
        quieted(&desk.ask(Kind::Measure, whole(1)).1),
        [2],
        "one node is no gang: the first that is idle"
    );
    assert_eq!(
        quieted(&desk.ask(Kind::Measure, whole(2)).1),
        [3, 5],
        "the small one, and the first of the others"
    );

    let mut desk = Desk::new(&[4; 3]);
    desk.allocation = 1;
    (3..7).for_each(|worker| drop(desk.join(worker, 4)));
    assert_eq!(
        quieted(&desk.ask(Kind::Measure, whole(4)).1),
        [3, 4, 5, 6],
        "the first three are of another job"
    );
    assert_eq!(quieted(&desk.ask(Kind::Measure, whole(2)).1), [0, 1]);
}

#[test]
fn nodes_with_little_to_wait_for_are_kept_where_nothing_has_a_time() {
    let mut desk = Desk::new(&[2; 4]);
    desk.allocation = 1;
    desk.join(4, 2);
    desk.join(5, 2);
    let busy: Vec<TaskId> = (0..12).map(|_| desk.exec().0).collect();
    // Round the nodes went the first six, and the others again.
    for worker in [1, 3, 4, 5] {
        desk.done(worker, busy[6 + worker as usize]);
        desk.ask(Kind::Exec, |r| r.placement.host = Some(format!("n{worker}")));
        desk.done(worker, busy[worker as usize]);
    }
    let kept = |desk: &Desk| desk.core.pools[0].reservation.as_ref().map(|kept| kept.workers.clone());
    let (pair, none) = desk.ask(Kind::Measure, whole(2));
    assert_eq!((none.len(), kept(&desk)), (0, Some(vec![WorkerId(1), WorkerId(3)])));
    desk.feed(Event::Cancel { task: pair });
    desk.ask(Kind::Measure, whole(3));
    let three = [0, 1, 3].map(WorkerId).to_vec();
    assert_eq!(kept(&desk), Some(three), "a third one with one task is of another job");
}

#[test]
fn a_gang_has_the_nodes_that_were_kept_for_one_that_started_on_others() {
    let mut desk = Desk::new(&[1; 8]);
    let short = desk.ask(Kind::Exec, whole(2)).0;
    desk.ask(Kind::Exec, whole(2));
    let wide = desk.ask(Kind::Exec, whole(4)).0;
    let (_, none) = desk.ask(Kind::Exec, whole(4));
    assert!(none.is_empty());
    desk.done(0, short);
    let (pair, none) = desk.ask(Kind::Exec, whole(2));
    assert!(none.is_empty(), "the first two are kept for the four: {none:?}");
    let actions = desk.done(4, wide);
    let starts = |of: &[u32]| {
        let gang = of.iter().copied().map(WorkerId).collect::<Vec<_>>();
        actions.iter().any(|action| matches!(action, Action::Start { gang: here, .. } if here[..] == gang))
    };
    assert!(starts(&[4, 5, 6, 7]) && starts(&[0, 1]), "{pair}: {actions:?}");
}

#[test]
fn nodes_of_several_workers_and_jobs_are_kept_by_what_there_is_to_wait_for() {
    let mut desk = Desk::new(&[8]);
    for worker in 1..4u32 {
        // Two on the second node, one on the third.
        let (pool, host, sockets, gpus) =
            (PoolId(0), format!("n{}", worker.div_ceil(2)), [8].into(), GpuSet::default());
        let (worker, allocation, slots, measures) = (WorkerId(worker), 0, 8, true);
        desk.feed(Event::WorkerReady { worker, pool, host, allocation, slots, sockets, gpus, measures });
    }
    for host in ["n0", "n0", "n0", "n1", "n1", "n2"] {
        desk.ask(Kind::Exec, |r| r.placement.host = Some(host.into()));
    }
    let kept = |desk: &Desk| desk.core.pools[0].reservation.as_ref().map(|kept| kept.workers.clone());
    desk.ask(Kind::Exec, whole(2));
    assert_eq!(kept(&desk), Some([1, 3].map(WorkerId).to_vec()), "three run on the first node");

    let mut desk = Desk::new(&[8; 2]);
    desk.allocation = 1;
    (2..4).for_each(|worker| drop(desk.join(worker, 8)));
    for host in ["n0", "n0", "n0", "n1", "n3"] {
        desk.ask(Kind::Exec, |r| r.placement.host = Some(host.into()));
    }
    desk.ask(Kind::Exec, whole(2));
    assert_eq!(kept(&desk), Some([2, 3].map(WorkerId).to_vec()), "of the other job one is idle");
}

#[test]
fn of_what_has_a_time_the_nodes_that_are_free_next_are_kept() {
    let mut desk = Desk::new(&[1; 6]);
    let seconds = [50, 20, 30, 10, 40, 60].map(|seconds| Some(seconds * SECOND));
    for (at, timeout_us) in seconds.into_iter().enumerate() {
        let (task, _) = desk.ask(Kind::Exec, |r| r.timeout_us = timeout_us);
        desk.started(at as u32, task, 1);
    }
    let waits = desk.ask(Kind::Exec, whole(3)).0;
    let kept = desk.core.pools[0].reservation.as_ref().unwrap();
    assert_eq!(
        (kept.workers.clone(), kept.until),
        ([1, 2, 3].map(WorkerId).to_vec(), Some(Tick(30 * SECOND)))
    );
    assert_eq!(desk.core.reservations().next().map(|kept| kept.task), Some(waits));
}

#[test]
fn a_node_that_is_known_to_be_free_only_later_or_never_is_not_kept() {
    let kept = |desk: &Desk| {
        let kept = desk.core.pools[0].reservation.as_ref().unwrap();
        (kept.workers.iter().map(|id| id.0).collect::<Vec<_>>(), kept.until.map(|until| until.0 / SECOND))
    };
    let runs = |desk: &mut Desk, worker: u32, seconds: Option<u64>| {
        let (task, _) = desk.ask(Kind::Exec, |r| {
            (r.timeout_us, r.placement.host) = (seconds.map(|s| s * SECOND), Some(format!("n{worker}")));
        });
        desk.started(worker, task, 1);
        task
    };
    // What was killed and does not end.
    let mut desk = Desk::new(&[2; 3]);
    let stuck = runs(&mut desk, 0, None);
    desk.feed(Event::Cancel { task: stuck });
    desk.tick(10 * SECOND);
    runs(&mut desk, 1, Some(20));
    runs(&mut desk, 2, Some(25));
    desk.tick(SECOND);
    desk.ask(Kind::Exec, whole(2));
    assert_eq!(kept(&desk), (vec![1, 2], Some(35)));

    // What was killed may take longer than what has a time.
    let mut desk = Desk::new(&[2; 3]);
    let killed = runs(&mut desk, 0, None);
    desk.feed(Event::Cancel { task: killed });
    runs(&mut desk, 1, Some(5));
    runs(&mut desk, 2, Some(6));
    desk.ask(Kind::Exec, whole(2));
    assert_eq!(kept(&desk), (vec![1, 2], Some(6)));
}

#[test]
fn of_many_nodes_some_are_kept_and_those_that_come_free_before_them_take_their_place() {
    let mut desk = Desk::new(&[1; 200]);
    // The first hundred may run for ever, the others end the earlier the later they stand.
    let mut run = |worker: u32| {
        let timeout_us = (worker >= 100).then(|| u64::from(300 - worker) * SECOND);
        let (task, _) = desk.ask(Kind::Exec, |r| r.timeout_us = timeout_us);
        desk.started(worker, task, 1);
        task
    };
    let tasks: Vec<TaskId> = (0..200).map(&mut run).collect();
    let (pair, none) = desk.ask(Kind::Exec, whole(2));
    assert!(none.is_empty());
    let kept = |desk: &Desk| {
        let kept = desk.core.pools[0].reservation.as_ref().unwrap();
        (kept.workers.iter().map(|id| id.0).collect::<Vec<_>>(), kept.until.map(|until| until.0 / SECOND))
    };
    let (first, until) = kept(&desk);
    assert!(first.iter().all(|worker| (100..199).contains(worker)) && first[0] + 1 == first[1], "{first:?}");
    assert_eq!(until, Some(u64::from(300 - first[0])), "those behind them were not asked");
    desk.done(5, tasks[5]);
    assert_eq!(kept(&desk), (vec![5, first[1]], Some(u64::from(300 - first[1]))));
    let actions = desk.done(199, tasks[199]);
    let starts = |action: &Action| matches!(action, Action::Start { task, gang, .. } if *task == pair && gang[..] == [5, 199].map(WorkerId));
    assert!(actions.iter().any(starts), "{actions:?}");
}

#[test]
fn what_is_kept_for_a_gang_stays_so_for_all_behind_it_when_one_before_it_takes_a_node() {
    let mut desk = Desk::new(&[1; 4]);
    let long = desk.ask(Kind::Exec, |r| r.placement.host = Some("n1".into())).0;
    let gang = desk.ask(Kind::Exec, |r| {
        whole(4)(r);
        r.placement.priority = Some(6);
    });
    for _ in 0..6 {
        let (_, none) = desk.exec();
        assert!(none.is_empty(), "three idle nodes are kept");
    }
    let (high, actions) = desk.ask(Kind::Exec, |r| r.placement.priority = Some(10));
    assert_eq!(actions, [start(high, 1, 0)]);
    assert_eq!(desk.core.reservations().next().map(|kept| (kept.task, kept.nodes)), Some((gang.0, 4)));
    assert_eq!(desk.done(0, high), [finished(high)]);
    let starts = |action: &Action| matches!(action, Action::Quiet { on: true, .. });
    let begun = |action: &Action| matches!(action, Action::Start { task, .. } if *task == gang.0);
    let actions = desk.done(1, long);
    assert!(
        actions.iter().filter(|action| starts(action)).count() == 4 && actions.iter().any(begun),
        "{actions:?}"
    );
}

#[test]
fn a_gang_for_which_there_are_too_few_nodes_since_one_was_lost_with_it_is_lost_too() {
    let mut desk = Desk::new(&[1; 2]);
    let request = |r: &mut Request| {
        whole(2)(r);
        r.retries = 3;
    };
    let (gang, _) = desk.ask(Kind::Exec, request);
    desk.started(0, gang, 1);
    let actions = desk.lose(1);
    let killed = |action: &Action| matches!(action, Action::Kill { task, .. } if *task == gang);
    assert!(actions.iter().any(killed), "{actions:?}");
    let workers = vec![WorkerId(1)];
    desk.done(0, gang);
    assert!(desk.tick(1_000_000).contains(&resolve(gang, End::LostWorker { workers })), "after a rest");
    let (late, actions) = desk.ask(Kind::Exec, whole(2));
    assert!(matches!(&actions[..], [Action::Resolve { task, end: End::Refused { .. } }] if *task == late));
}
