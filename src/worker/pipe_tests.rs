//! A slot's pipe, from both ends.

use std::os::fd::OwnedFd;

use super::*;
use crate::transport::Peer;
use crate::transport::stream::StreamLink;
use crate::wire::socket_pair;

/// A process, and what its worker and its slot would hold.
struct Bench {
    process: Process,
    root: Root,
    slot: Stream,
    gate: Gate,
    now: Instant,
    _far: OwnedFd,
}

fn call(task: u64) -> CallTask {
    CallTask {
        task: TaskId(task),
        attempt: Attempt(0),
        seed: 0,
        timeout: None,
        fresh: false,
        gpus: None,
        gang: None,
        many: false,
        payload: Default::default(),
        deps: Vec::new(),
    }
}

fn key(task: u64) -> (TaskId, Attempt) {
    (TaskId(task), Attempt(0))
}

fn cancelled() -> (Status, String) {
    (Status::Cancelled, "cancelled".into())
}

/// A slot that is ready, with calls 0, 1, … in its pipe.
fn bench(calls: u64) -> Bench {
    let mut bench = starting();
    bench.says(&FromSlot::Ready);
    (0..calls).for_each(|task| bench.process.put(call(task), &[], bench.now));
    bench
}

fn starting() -> Bench {
    let ((ours, slot), (near, far)) = (socket_pair().unwrap(), socket_pair().unwrap());
    let (gate, fd) = Gate::create().unwrap();
    let init = SlotInit {
        worker: crate::model::WorkerId(0),
        slot: crate::model::SlotId(0),
        host: String::new(),
        campaign_dir: String::new(),
        store_dir: String::new(),
        seed: 0,
        setup: Default::default(),
        node_memory: 0,
    };
    let now = Instant::now();
    let process = Process::new(Stream::new(ours).unwrap(), gate, init, &Limits::default(), now);
    let root = Peer::new(Box::new(StreamLink::new(near).unwrap()));
    let (slot, gate) = (Stream::new(slot).unwrap(), Gate::open(fd).unwrap());
    Bench { process, root, slot, gate, now, _far: far }
}

impl Bench {
    fn says(&mut self, message: &FromSlot) -> Said {
        self.slot.queue(message);
        self.hears()
    }

    fn hears(&mut self) -> Said {
        self.slot.flush().unwrap();
        self.process.stream.fill().unwrap();
        self.process.answers(&mut self.root)
    }

    fn ends(&mut self, task: u64, status: Status) {
        let outcome = Arc::new(Outcome::failed(status, ""));
        self.says(&FromSlot::Done(TaskId(task), Attempt(0), outcome));
    }

    fn stops(&mut self, task: u64) -> bool {
        matches!(self.process.stop_call(key(task), cancelled(), self.now), Due::Stop)
    }
}

#[test]
fn a_cancel_is_for_the_call_it_names_whatever_answers_are_unread() {
    let mut bench = bench(3);
    assert!(bench.gate.begin(0) && bench.stops(0) && bench.gate.to_stop(Some(0)));
    assert!(!bench.stops(0), "it was told already");
    // It ends, the next one begins, and nobody has read that yet.
    assert!(bench.gate.begin(1) && !bench.stops(0) && bench.gate.to_stop(Some(0)));
    assert!(bench.stops(1) && bench.gate.to_stop(Some(1)) && !bench.stops(0));
    bench.ends(0, Status::Ok);
    let late = bench.now + 2 * STOP_GRACE;
    assert!(matches!(bench.process.watch(late, &mut bench.root), Due::Kill((Status::Cancelled, _))));
    bench.ends(1, Status::Timeout);
    assert!(bench.gate.begin(2));
    assert!(matches!(bench.process.watch(late, &mut bench.root), Due::Nothing));
}

/// Its first call may end or stop the process before that has said that it is ready.
#[test]
fn a_call_has_its_time_limit_from_when_it_begins() {
    let mut bench = starting();
    bench.process.put(CallTask { timeout: Some(2.0), ..call(0) }, &[], bench.now);
    let due =
        |bench: &mut Bench, s: u64| bench.process.watch(bench.now + Duration::from_secs(s), &mut bench.root);
    assert!(matches!(due(&mut bench, 10), Due::Nothing), "it has not begun");
    assert!(bench.gate.begin(0));
    assert!(matches!(due(&mut bench, 11), Due::Nothing));
    assert!(matches!(due(&mut bench, 12), Due::Stop));
}

#[test]
fn time_in_which_all_stood_still_is_nobodys() {
    let mut bench = starting();
    bench.process.put(CallTask { timeout: Some(2.0), ..call(0) }, &[], bench.now);
    let at = |bench: &Bench, s: u64| bench.now + Duration::from_secs(s);
    let begun = at(&bench, 10);
    assert!(matches!(bench.process.watch(begun, &mut bench.root), Due::Nothing));
    assert!(bench.gate.begin(0));
    bench.process.forgive(Duration::from_secs(5));
    let (soon, over) = (at(&bench, 16), at(&bench, 17));
    assert!(matches!(bench.process.watch(soon, &mut bench.root), Due::Nothing));
    assert!(matches!(bench.process.watch(over, &mut bench.root), Due::Stop));
    bench.process.forgive(Duration::from_secs(60));
    let late = over + 2 * STOP_GRACE;
    assert!(matches!(bench.process.watch(late, &mut bench.root), Due::Nothing), "nor its grace");
}

#[test]
fn what_makes_no_sense_is_a_reason_to_end_it() {
    let mut bench = bench(1);
    assert!(bench.says(&FromSlot::NeedModule("m".into())).failed.is_none());
    rustix::io::write(&bench.slot, &[0xff; 64]).unwrap();
    let failed = bench.hears().failed.unwrap();
    let reason = failed.reason.unwrap();
    assert!(failed.status == Status::Signal && reason.contains("a message of 6442450942 bytes"), "{reason}");
}

/// It answered two calls, one answer is in its socket and one was still to be sent, and the third call ended it.
#[test]
fn what_it_answered_counts_though_it_ended_before_that_was_sent() {
    let mut bench = bench(3);
    (0..3).for_each(|position| assert!(bench.gate.begin(position)));
    let done = |task| FromSlot::Done(TaskId(task), Attempt(0), Arc::new(Outcome::failed(Status::Ok, "")));
    for task in 0..2 {
        let at = bench.slot.queued();
        bench.slot.queue(&done(task));
        bench.gate.keep(at, bench.slot.queued_since(at).unwrap());
        if task == 0 {
            bench.slot.flush().unwrap();
        }
    }
    assert!(bench.process.gather(), "it lives");
    assert_eq!(bench.process.answers(&mut bench.root).answered, 2);
    assert_eq!(bench.process.pipe.iter().map(Piped::key).collect::<Vec<_>>(), [key(2)]);
    // They come through the socket after all, and before something new.
    assert_eq!(bench.says(&FromSlot::NeedModule("m".into())).modules, ["m"]);
    let at = bench.slot.queued();
    bench.slot.queue(&done(2));
    bench.gate.keep(at, bench.slot.queued_since(at).unwrap());
    bench.slot = Stream::new(socket_pair().unwrap().0).unwrap();
    assert!(!bench.process.gather(), "it ended");
    assert_eq!(bench.process.answers(&mut bench.root).answered, 1);
    assert!(bench.process.pipe.is_empty());
}

#[test]
fn a_process_that_begins_nothing_is_replaced_in_time() {
    let mut bench = bench(2);
    let steps = (Limits::default().slot_silence.as_secs_f64() / LONGEST_STEP.as_secs_f64()) as u32;
    let due = |bench: &mut Bench| {
        bench.now += LONGEST_STEP;
        bench.process.watch(bench.now, &mut bench.root)
    };
    bench.now += Duration::from_secs(3600); // suspended as a whole
    for step in 1..steps {
        assert!(matches!(due(&mut bench), Due::Nothing), "{step}");
    }
    // That its calls are taken back and others come changes nothing.
    bench.process.take_back(&mut bench.root);
    assert_eq!(bench.process.taken_back(), 2);
    bench.process.put(call(2), &[], bench.now);
    assert!(matches!(due(&mut bench), Due::Replace));
    assert!(bench.gate.begin(2));
    bench.ends(2, Status::Ok);
    bench.process.put(call(3), &[], bench.now);
    assert!(matches!(due(&mut bench), Due::Nothing));
    assert_eq!(bench.process.taken_back(), 0);
}
