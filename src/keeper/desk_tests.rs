//! The desk: who begins when, on which cores, and what is told of it.

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::model::{ExecSpec, Hash, Input, Own, Status};

fn order(task: u64, cores: u32, work: Work) -> Order {
    Order {
        task: TaskId(task),
        attempt: Attempt(0),
        timeout: None,
        cores,
        pin: None,
        alone: false,
        gang: None,
        work,
    }
}

fn exec(task: u64, cores: u32) -> Order {
    order(task, cores, Work::Exec(ExecSpec::default()))
}

fn key(task: u64) -> TaskKey {
    (TaskId(task), Attempt(0))
}

fn done(task: u64) -> Option<(TaskKey, Outcome)> {
    Some((key(task), Outcome::failed(Status::Cancelled, "")))
}

fn rings(wake: &Wake) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(wake, PollFlags::IN)], Some(&now)).unwrap() > 0
}

fn desk(slots: u32) -> (Desk, Arc<Wake>) {
    let desk = Desk::new().unwrap();
    desk.set_slots(slots);
    (desk, Arc::new(Wake::new().unwrap()))
}

#[test]
fn as_many_lanes_as_tasks_can_run_at_once() {
    let (desk, _) = desk(2);
    assert_eq!([1, 2, 3].map(|task| desk.add(exec(task, 1))), [true, true, false]);
    desk.lane_failed();
    let given_up = desk.lane_failed().unwrap();
    assert_eq!(given_up.task, TaskId(3), "no lane is left for it");
}

#[test]
fn one_task_follows_another_and_all_is_told_when_nothing_follows() {
    let (desk, bell) = desk(1);
    desk.add(exec(1, 1));
    desk.add(exec(2, 1));
    let next = |last| desk.next(last, &bell).unwrap().task;
    assert_eq!((next(None), next(done(1))), (TaskId(1), TaskId(2)));
    desk.close(Duration::ZERO);
    assert!(desk.next(done(2), &bell).is_none() && desk.starting().is_none());
    let told: Vec<bool> =
        desk.take_word().iter().map(|word| matches!(word, FromKeeper::Started(..))).collect();
    assert_eq!(told, [true, false, true, false]);
}

#[test]
fn behind_long_work_nothing_that_was_sent_ahead_is_left() {
    let (desk, bell) = desk(2);
    let recalled = || {
        let told = desk.take_word().into_iter().filter_map(|word| match word {
            FromKeeper::Recalled(task, _) => Some(task.0),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let next = |last| desk.next(last, &bell).unwrap().task.0;
    (1..=4).for_each(|task| _ = desk.add(exec(task, 1)));
    desk.add(Order { pin: Some(Pin::default()), ..exec(5, 1) });
    assert_eq!((next(None), next(None)), (1, 2));
    desk.proves_long(key(1));
    assert!(recalled().is_empty(), "where the other one ends they begin");
    assert_eq!(next(done(2)), 3);
    desk.proves_long(key(3));
    assert_eq!(recalled(), [4, 5]);
    assert!(!desk.has(key(4)) && !desk.cancel(key(5)));
    assert!(!desk.add(exec(6, 1)), "no lane is needed for what goes back");
    assert_eq!(recalled(), [6], "it was on its way");
    // What is told as it begins need not be long, but a build is.
    desk.books().done(key(1), Outcome::failed(Status::Cancelled, ""));
    let mut spec = ExecSpec::default();
    spec.command.inputs.push(Input { path: "a".into(), hash: Hash::of(b"a"), executable: false });
    desk.add(order(7, 1, Work::Exec(spec)));
    assert_eq!(next(None), 7);
    desk.add(order(8, 1, Work::Compile(Default::default())));
    assert!(recalled().is_empty());
    assert_eq!(next(done(7)), 8);
    desk.add(exec(9, 1));
    assert_eq!(recalled(), [9]);
}

#[test]
fn behind_what_waits_for_cores_others_use_the_slots() {
    let (desk, bell) = desk(3);
    let (_folder, bare) = crate::machine::recorded(&[("proc/x", "")]);
    desk.learn_cores(|| Topology::read(&bare, &(0..3).collect()));
    let next = |last| desk.next(last, &bell).unwrap().task.0;
    let pinned = |task| Order { pin: Some(Pin { cores: 2, ..Pin::default() }), ..exec(task, 1) };
    for order in [pinned(1), pinned(2), exec(3, 1), exec(4, 1), exec(5, 1)] {
        desk.add(order);
    }
    assert_eq!([(); 3].map(|()| next(None)), [1, 3, 4]);
    assert_eq!([1, 3].map(|task| next(done(task))), [2, 5]);
}

#[test]
fn a_lane_stuck_in_a_start_does_not_keep_the_desk_open() {
    let (desk, bell) = desk(1);
    desk.add(exec(1, 1));
    desk.next(None, &bell).unwrap();
    let stuck = desk.starting();
    assert!(stuck.is_some());
    desk.close(Duration::from_millis(1));
    assert!(desk.starting().is_none());
    // One that comes through is waited for.
    std::thread::scope(|scope| {
        scope.spawn(move || drop(stuck));
        desk.close(Duration::from_secs(3600));
    });
    assert_eq!(desk.books().starting, 0);
}

#[test]
fn a_measurement_begins_with_all_word_on_its_way() {
    let (desk, bell) = desk(1);
    desk.add(exec(1, 1));
    desk.add(order(2, 1, Work::Measure(Box::default())));
    desk.next(None, &bell).unwrap();
    assert!(!rings(desk.bell()), "its start can wait");
    desk.next(done(1), &bell).unwrap();
    assert!(rings(desk.bell()));
    assert!(matches!(desk.take_word()[..], [_, FromKeeper::Done(..), FromKeeper::Started(TaskId(2), _)]));
    assert!(!rings(desk.bell()));
}

#[test]
fn what_wants_several_slots_waits_for_them() {
    let (desk, bell) = desk(2);
    desk.add(exec(1, 1));
    desk.add(exec(2, 3));
    desk.next(None, &bell).unwrap();
    assert!(!desk.books().fits());
    assert_eq!(desk.next(done(1), &bell).unwrap().task, TaskId(2), "alone, it may run whatever it wants");
    desk.add(exec(3, 1));
    assert!(!desk.books().fits());
}

#[test]
fn cores_are_given_to_one_task_at_a_time_and_come_back() {
    let (desk, bell) = desk(8);
    let (_folder, bare) = crate::machine::recorded(&[("proc/x", "")]);
    desk.learn_cores(|| Topology::read(&bare, &(0..3).collect()));
    let pinned =
        |task, cores| Order { pin: Some(Pin { cores, smt: Some(false), ..Pin::default() }), ..exec(task, 1) };
    for order in [pinned(1, 2), exec(2, 1), pinned(3, 2), pinned(4, 9)] {
        desk.add(order);
    }
    let next = |last| desk.next(last, &bell).unwrap().task;
    let cpus = |task| desk.cores_of(key(task)).map(|given| given.map(|cores| cores.placed().cpus));
    assert_eq!((next(None), next(None)), (TaskId(1), TaskId(2)));
    assert_eq!((cpus(1), cpus(2)), (Some(Ok("0-1".into())), None));
    assert!(!desk.books().fits(), "one core is left, and it wants two");
    assert_eq!(next(done(1)), TaskId(3));
    assert_eq!(cpus(3), Some(Ok("0-1".into())));
    // What can never be had does not wait for it.
    assert_eq!(next(None), TaskId(4));
    let lacks = cpus(4).unwrap().unwrap_err();
    assert_eq!(lacks, "it asks for 9 cores, and its worker may use 3 cores with 3 threads");
}

#[test]
fn who_shares_a_node_knows_beside_whom() {
    let (desk, bell) = desk(8);
    let (_folder, bare) = crate::machine::recorded(&[("proc/x", "")]);
    desk.learn_cores(|| Topology::read(&bare, &(0..3).collect()));
    let pin = Some(Pin { cores: 1, own: Own::Cores, ..Pin::default() });
    let measure = |task| Order { pin, alone: true, ..order(task, 1, Work::Measure(Box::default())) };
    let next = |last| desk.next(last, &bell).unwrap().task;
    let free = || desk.books().free().into_iter().collect::<Vec<_>>();
    for task in 1..=4 {
        desk.add(measure(task));
    }
    assert_eq!((next(None), next(None), free()), (TaskId(1), TaskId(2), vec![2]));
    assert_eq!((next(done(1)), next(None), free()), (TaskId(3), TaskId(4), vec![]));
    let beside = |task| desk.neighbours_of(key(task)).iter().map(|task| task.0).collect::<Vec<_>>();
    assert_eq!((beside(2), beside(3), beside(4)), (vec![1, 3, 4], vec![2, 4], vec![2, 3]));
    assert_eq!(desk.cpus().map(|cpus| cpus.len()), Some(3));
}

/// Where a thread may run.
fn stands(thread: Pid) -> BTreeSet<u32> {
    let mask = rustix::thread::sched_getaffinity(Some(thread)).unwrap();
    (0..1024).filter(|cpu| mask.is_set(*cpu as usize)).collect()
}

#[test]
fn who_stands_aside_is_moved_whenever_cores_are_given_and_come_back() {
    let (desk, bell) = desk(1024);
    desk.learn_cores(Topology::here);
    let (all, cores) = (desk.cpus().unwrap(), Topology::here().cores() as u32);
    if cores < 2 {
        eprintln!("skipped: it takes two cores");
        return;
    }
    // A thread that only waits stands for keeper and worker.
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tell.send(process::own_thread()).unwrap();
        let _ = ended.recv();
    });
    let (lane, keeper) = (process::own_thread(), told.recv().unwrap());
    desk.set_household([keeper]);
    for (task, cores) in [(1, 1), (2, cores - 1), (3, cores - 1), (4, cores)] {
        let pin = Some(Pin { cores, own: Own::Cores, ..Pin::default() });
        desk.add(Order { pin, alone: true, ..order(task, 1, Work::Measure(Box::default())) });
    }
    let next = |last| desk.next(last, &bell).unwrap().task.0;
    let own = |task| desk.cores_of(key(task)).unwrap().unwrap().taken;

    assert_eq!(next(None), 1);
    desk.stand_aside(key(1));
    let rest: BTreeSet<u32> = all.difference(&own(1)).copied().collect();
    assert_eq!((stands(lane), stands(keeper)), (rest.clone(), rest.clone()));
    // A neighbour gets all the others: on its cores nobody stands.
    assert_eq!((next(None), own(2)), (2, rest.clone()));
    assert_eq!((stands(lane), stands(keeper)), (own(1), all.clone()), "there is no other place");
    // Its place is taken by the next at once, and who starts something is not moved.
    desk.stand_still(key(1));
    process::run_on(&all, None).unwrap();
    assert_eq!((next(done(2)), stands(lane)), (3, all.clone()));
    desk.stand_aside(key(1));
    assert_eq!(stands(lane), own(1));
    // The last two end one after the other, and nobody remembers them.
    desk.books().done(key(3), Outcome::failed(Status::Cancelled, ""));
    assert_eq!((stands(lane), stands(keeper)), (rest.clone(), rest));
    desk.books().done(key(1), Outcome::failed(Status::Cancelled, ""));
    assert_eq!(stands(keeper), all);
    // One that has all cores leaves keeper and worker where they were.
    assert_eq!((next(None), stands(keeper)), (4, all));
    desk.go_anywhere();
    drop(end);
}

#[test]
fn a_module_that_came_wakes_only_who_waits_for_it() {
    let (desk, first) = desk(2);
    let second = Arc::new(Wake::new().unwrap());
    desk.add(exec(1, 1));
    desk.add(exec(2, 1));
    desk.next(None, &first).unwrap();
    desk.next(None, &second).unwrap();
    desk.want_module(key(1), "a".into());
    desk.want_module(key(2), "b".into());
    desk.module_came("b");
    assert_eq!((rings(&first), rings(&second)), (false, true));
    second.clear();
    desk.module_came("b");
    desk.module_came("a");
    assert_eq!((rings(&first), rings(&second)), (true, false));
}

#[test]
fn work_that_waits_is_taken_back_and_work_that_runs_is_told_to_end() {
    let (desk, bell) = desk(1);
    desk.add(exec(1, 1));
    desk.add(exec(2, 1));
    desk.next(None, &bell).unwrap();
    assert!(desk.cancel(key(2)) && !desk.has(key(2)));
    assert!(!rings(&bell) && !desk.is_cancelled(key(1)));
    assert!(!desk.cancel(key(1)) && !desk.cancel(key(9)));
    assert!(rings(&bell) && desk.is_cancelled(key(1)));
}
