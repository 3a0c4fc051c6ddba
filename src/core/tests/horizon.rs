//! What would not end before the time is over is held back, and nothing waits for it.

use std::num::NonZeroU64;

use super::*;

const SECOND: u64 = 1_000_000;

/// Without the wish to be woken, which timeouts bring.
fn deeds(actions: Vec<Action>) -> Vec<Action> {
    actions.into_iter().filter(|action| !matches!(action, Action::WakeAt(_))).collect()
}

impl Desk {
    fn asks(&mut self, kind: Kind, adjust: impl FnOnce(&mut Request)) -> (TaskId, Vec<Action>) {
        let (task, actions) = self.ask(kind, adjust);
        (task, deeds(actions))
    }

    fn ends_in(&mut self, seconds: u64) -> Vec<Action> {
        let at = Tick(self.now + seconds * SECOND);
        self.feed(Event::Deadline { at })
    }

    fn bound(&mut self, kind: Kind, seconds: u64) -> (TaskId, Vec<Action>) {
        self.asks(kind, |request| request.timeout_us = Some(seconds * SECOND))
    }

    fn like(&mut self, like: u64) -> (TaskId, Vec<Action>) {
        self.asks(Kind::Exec, |request| request.like = Some(like))
    }

    fn took(&mut self, worker: u32, task: TaskId, seconds: u64) -> Vec<Action> {
        let (worker, attempt) = (WorkerId(worker), Attempt(1));
        let elapsed_us = seconds * SECOND;
        deeds(self.feed(Event::Finished {
            worker,
            task,
            attempt,
            ok: true,
            unfit: false,
            artefact: None,
            elapsed_us,
        }))
    }
}

fn hold(task: TaskId) -> Action {
    Action::Hold { task }
}

#[test]
fn an_end_that_came_nearer_counts_and_the_run_is_as_long_as_it_was() {
    let mut desk = Desk::new(&[2]);
    desk.ends_in(100);
    desk.ends_in(30); // the root was busy for 70 s, which are none of its clock
    let (late, actions) = desk.bound(Kind::Exec, 60);
    assert_eq!(actions, [hold(late)], "it would fit into a whole run");
    let (endless, actions) = desk.bound(Kind::Exec, 200);
    assert_eq!(actions, [start(endless, 1, 0)], "it would fit into none");
}

#[test]
fn a_timeout_that_is_too_long_now_is_held_back_at_once() {
    let mut desk = Desk::new(&[2]);
    desk.ends_in(100);
    let (a, actions) = desk.bound(Kind::Exec, 60);
    assert_eq!(actions, [start(a, 1, 0)]);
    desk.tick(50 * SECOND);
    let (late, actions) = desk.bound(Kind::Exec, 60);
    assert_eq!(actions, [hold(late)]);
    let (short, actions) = desk.bound(Kind::Exec, 50);
    assert_eq!(actions, [start(short, 1, 0)], "it just fits");
    assert_eq!(desk.core.explain(late), Explanation::Late { takes_us: 60 * SECOND, left_us: 50 * SECOND });
    assert!(!desk.core.is_held_up(), "others run");
    desk.done(0, a);
    desk.done(0, short);
    assert!(desk.core.is_held_up());
    assert_eq!(desk.feed(Event::Drain), [resolve(late, End::Cancelled)]);
}

#[test]
fn without_an_end_or_knowledge_everything_starts() {
    let mut desk = Desk::new(&[2]);
    let (a, actions) = desk.bound(Kind::Exec, 1_000_000);
    assert_eq!(actions, [start(a, 1, 0)], "no end is known");
    desk.ends_in(100);
    let (b, actions) = desk.exec();
    assert_eq!(actions, [start(b, 1, 0)], "nothing is known of it");
}

/// A run as long as this one would hold it back as well, and so nobody would ever do it.
#[test]
fn what_would_not_fit_into_a_whole_run_starts_all_the_same() {
    let mut desk = Desk::new(&[2]);
    desk.ends_in(100);
    let (a, actions) = desk.bound(Kind::Exec, 101);
    assert_eq!(actions, [start(a, 1, 0)]);
    desk.tick(90 * SECOND);
    let (b, actions) = desk.bound(Kind::Exec, 101);
    assert_eq!(actions, [start(b, 1, 0)]);
}

#[test]
fn its_like_teaches_and_a_shorter_timeout_knows_better() {
    let mut desk = Desk::new(&[1]);
    desk.ends_in(100);
    desk.feed(Event::Took { like: 7, us: 5 * SECOND });
    let (a, actions) = desk.like(7);
    assert_eq!(actions, [start(a, 1, 0)]);
    let (waits, none) = desk.like(7);
    assert!(none.is_empty());
    desk.tick(50 * SECOND);
    // It took longer than any before: 50 s, and a fifth.
    assert_eq!(desk.took(0, a, 50), [finished(a), hold(waits)]);
    assert_eq!(desk.core.explain(waits), Explanation::Late { takes_us: 60 * SECOND, left_us: 50 * SECOND });
    let (other, actions) = desk.like(8);
    assert_eq!(actions, [start(other, 1, 0)]);
    desk.done(0, other);
    let (bound, actions) = desk.asks(Kind::Exec, |request| {
        (request.like, request.timeout_us) = (Some(7), Some(10 * SECOND));
    });
    assert_eq!(actions, [start(bound, 1, 0)], "it is over after 10 s, whatever its like took");
}

/// One that took unusually long does not decide for ever.
#[test]
fn what_took_long_once_is_forgotten_when_others_like_it_took_less() {
    let mut desk = Desk::new(&[1]);
    desk.ends_in(1000);
    desk.feed(Event::Took { like: 7, us: 800 * SECOND });
    desk.tick(100 * SECOND);
    let (late, actions) = desk.like(7);
    assert_eq!(actions, [hold(late)], "960 s, of which 900 are left");
    for _ in 0..crate::core::REMEMBERED {
        desk.feed(Event::Took { like: 7, us: SECOND });
    }
    let (short, actions) = desk.like(7);
    assert_eq!(actions, [start(short, 1, 0)]);
}

/// A later run would come no further: then the first is tried, and once its end is recorded the others are judged again.
#[test]
fn what_is_let_go_starts_and_the_rest_is_judged_when_an_end_is_recorded() {
    let mut desk = Desk::new(&[1]);
    desk.ends_in(100);
    desk.feed(Event::Took { like: 7, us: 80 * SECOND });
    desk.tick(10 * SECOND);
    let recorded = |request: &mut Request| (request.like, request.recorded) = (Some(7), true);
    let (a, actions) = desk.asks(Kind::Exec, recorded);
    assert_eq!(actions, [hold(a)]);
    let (b, _) = desk.like(7);
    let (after, none) = desk.asks(Kind::Exec, |request| request.deps = vec![pending(b)]);
    assert!(none.is_empty() && desk.core.is_held_up());
    assert_eq!(deeds(desk.feed(Event::LetGo)), [start(a, 1, 0)]);
    assert!(!desk.core.is_held_up());
    assert_eq!(desk.took(0, a, 5), [finished(a), hold(b)]);
    assert_eq!(deeds(desk.feed(Event::LetGo)), [start(b, 1, 0)], "and again");
    assert_eq!(desk.took(0, b, 5), [finished(b), start(after, 1, 0)]);
}

/// However many there are, they are let go once: no end of theirs brings a later run further.
#[test]
fn what_leaves_no_record_does_not_hold_the_rest_back_again() {
    let mut desk = Desk::new(&[1]);
    desk.ends_in(100);
    desk.tick(50 * SECOND);
    let all: Vec<TaskId> = (0..3).map(|_| desk.bound(Kind::Exec, 60).0).collect();
    assert!(desk.core.is_held_up());
    assert_eq!(deeds(desk.feed(Event::LetGo)), [start(all[0], 1, 0)]);
    for pair in all.windows(2) {
        assert_eq!(desk.took(0, pair[0], 1), [finished(pair[0]), start(pair[1], 1, 0)]);
    }
    let (later, none) = desk.bound(Kind::Exec, 60);
    assert!(none.is_empty(), "it queues");
    assert_eq!(desk.took(0, all[2], 1), [finished(all[2]), start(later, 1, 0)]);
}

/// Runs that are too short for all that is to be tried again do not begin with the same ones each time.
#[test]
fn what_was_never_tried_goes_first_and_then_what_was_tried_longest_ago() {
    let mut desk = Desk::new(&[1]);
    let (a, _) = desk.exec();
    let tried = |at: u64| move |request: &mut Request| request.tried = NonZeroU64::new(at);
    let (late, _) = desk.ask(Kind::Exec, tried(900));
    let (early, _) = desk.ask(Kind::Exec, tried(100));
    let (new, _) = desk.exec();
    let order: Vec<TaskId> = [a, new, early, late].into();
    for pair in order.windows(2) {
        assert_eq!(deeds(desk.done(0, pair[0])), [finished(pair[0]), start(pair[1], 1, 0)]);
    }
}

#[test]
fn a_node_is_not_cleared_for_what_would_not_end_in_time() {
    let mut desk = Desk::new(&[2]);
    desk.ends_in(100);
    let (a, _) = desk.exec();
    let whole = |request: &mut Request| {
        (request.placement.exclusive, request.timeout_us) = (Some(Exclusive::Node), Some(50 * SECOND));
    };
    let (waits, none) = desk.asks(Kind::Measure, whole);
    assert!(none.is_empty(), "the node is being cleared");
    desk.tick(60 * SECOND);
    let (call, none) = desk.asks(Kind::Call, |_| {});
    assert!(none.is_empty());
    assert_eq!(desk.done(0, a), [finished(a), hold(waits), start(call, 1, 0)]);
    let (late, actions) = desk.asks(Kind::Measure, whole);
    assert_eq!(actions, [hold(late)]);
}

#[test]
fn what_waited_too_long_for_its_file_is_held_back_when_it_comes() {
    let mut desk = Desk::new(&[2, 2]);
    desk.ends_in(100);
    let file = Hash::of(b"file");
    let needing = |seconds| {
        move |request: &mut Request| {
            (request.timeout_us, request.inputs) = (Some(seconds * SECOND), vec![file]);
        }
    };
    let (late, actions) = desk.asks(Kind::Exec, needing(60));
    assert_eq!(actions, [offer(file, 0)]);
    let (wide, actions) = desk.asks(Kind::Exec, |request| {
        needing(60)(request);
        (request.placement.nodes, request.placement.exclusive) = (Some(2), Some(Exclusive::No));
    });
    assert_eq!(actions, [offer(file, 1)]);
    desk.tick(50 * SECOND);
    let (short, none) = desk.asks(Kind::Exec, |request| {
        needing(50)(request);
        request.placement.host = Some("n1".into());
    });
    assert!(none.is_empty());
    let have = |worker| Event::Have { worker: WorkerId(worker), artefact: file };
    assert_eq!(deeds(desk.feed(have(0))), [hold(late)]);
    let actions = deeds(desk.feed(have(1)));
    assert!(actions.contains(&hold(wide)) && actions.contains(&start(short, 1, 1)), "{actions:?}");
    assert_eq!(desk.core.explain(late), Explanation::Late { takes_us: 60 * SECOND, left_us: 50 * SECOND });
    assert_eq!(deeds(desk.done(1, short)), [finished(short)]);
    assert!(desk.core.is_held_up(), "they have given back what they had");
    let actions = deeds(desk.feed(Event::LetGo));
    assert!(actions.contains(&start(late, 1, 0)), "{actions:?}");
}

#[test]
fn what_depends_on_it_waits_and_the_next_of_its_group_goes() {
    let mut desk = Desk::new(&[1]);
    desk.ends_in(100);
    let (a, _) = desk.exec();
    let (first, none) = desk.asks(Kind::Exec, |request| {
        (request.placement.group, request.timeout_us) = (Some("g".into()), Some(60 * SECOND));
    });
    assert!(none.is_empty());
    let (second, none) = desk.asks(Kind::Exec, |request| request.placement.group = Some("g".into()));
    assert!(none.is_empty());
    let (after, none) = desk.asks(Kind::Exec, |request| request.deps = vec![pending(first)]);
    assert!(none.is_empty());
    desk.tick(50 * SECOND);
    assert_eq!(desk.done(0, a), [finished(a), hold(first), start(second, 1, 0)]);
    desk.done(0, second);
    assert!(desk.core.is_held_up());
    assert_eq!(
        desk.feed(Event::Cancel { task: first }),
        [resolve(first, End::Cancelled), resolve(after, End::Skipped { cause: first })]
    );
    assert!(!desk.core.is_held_up());
}
