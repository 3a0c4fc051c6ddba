//! One slot process as its worker sees it: the calls in its pipe, in order, and how far it has come.
//!
//! Knows how to put calls in, take them back and pass results on; which slot gets which call, and what
//! follows when one fails to start, is decided in `slots`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report;
use super::slots::Root;
use crate::machine;
use crate::model::{
    Attempt, CallTask, FromSlot, FromWorker, Hash, LONG_CALL, Limits, Outcome, SlotEnd, SlotInit, Status,
    TaskId, ToSlot, batch,
};
use crate::process::{Gate, signal_name};
use crate::transport::wait::earlier;
use crate::wire::{Stream, WireError};

/// The longest wait that is counted at once.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// How long what was told to stop may take to do so before its process is killed: time for Lua to be given the
/// processor and to unwind.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// One that says something all the time is heard later.
const GATHER_TRIES: u32 = 3;

/// See the module.
pub(super) struct Process {
    pub(super) stream: Stream,
    gate: Gate,
    /// Calls put into the pipe so far; positions count from 0 and wrap.
    sent: u32,
    /// Calls in the pipe without an answer, in order.
    pub(super) pipe: VecDeque<Piped>,
    stage: Stage,
    /// Since when the first of them runs, as far as known.
    head_since: Instant,
    /// What was told to stop.
    stopping: Option<Stopping>,
    /// Calls taken back from it since it last answered: many, and it may be stopped or stuck.
    taken_back: u32,
    /// How long its first call waited to begin, in all, since it last began or answered one.
    waited: Duration,
    /// So long it may.
    patience: Duration,
    /// How much of the bytecode it was sent.
    known: usize,
}

/// How far it has come.
enum Stage {
    /// It runs the script's `init`, or is only being started: so long it may take.
    Starting { since: Instant, limit: Duration },
    /// It runs calls.
    Ready,
}

/// Something was told to stop.
struct Stopping {
    /// The call; what comes before the first one if there is none.
    call: Option<(TaskId, Attempt)>,
    /// It may take until then.
    until: Instant,
    /// What it is told for.
    why: (Status, String),
}

pub(super) struct Piped {
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    timeout: Option<f64>,
    /// How much later that is, because other calls travel with it (s).
    behind_others: f64,
    position: u32,
    pub(super) announced: bool,
}

/// What a slot said besides results.
#[derive(Default)]
pub(super) struct Said {
    /// Modules it asks for.
    pub(super) modules: Vec<String>,
    /// It takes calls from now on.
    pub(super) ready: bool,
    /// So many calls ended.
    pub(super) answered: u32,
    /// It cannot go on, and why: its `init` failed, or what it says makes no sense.
    pub(super) failed: Option<Outcome>,
}

/// What is due.
pub(super) enum Due {
    Nothing,
    /// Tell the process to stop what it does.
    Stop,
    /// It did not: end it. Why, for what it ran.
    Kill((Status, String)),
    /// It runs nothing and begins nothing: end it, its calls go back.
    Replace,
}

impl Process {
    /// A process started now. Without an `init`, which has a limit of its own, it may take `slot_start` to be ready.
    pub(super) fn new(mut stream: Stream, gate: Gate, init: SlotInit, limits: &Limits, now: Instant) -> Self {
        let of_init = init.setup.init.as_ref().map(|init| Duration::try_from_secs_f64(init.timeout));
        let limit = of_init.map_or(limits.slot_start, |limit| limit.unwrap_or(Duration::MAX));
        stream.queue(&ToSlot::Init(init));
        Self {
            stream,
            gate,
            sent: 0,
            pipe: VecDeque::new(),
            stage: Stage::Starting { since: now, limit },
            head_since: now,
            stopping: None,
            taken_back: 0,
            waited: Duration::ZERO,
            patience: limits.slot_silence,
            known: 0,
        }
    }

    /// Does it run calls? Its first one may have ended it before it could say so.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready) || self.gate.begun() > 0
    }

    /// In which call of a library it is, if it is in one.
    pub(super) fn foreign(&self) -> Option<String> {
        self.gate.note()
    }

    /// All of this node stood still for so long: nothing that runs here has had that time.
    pub(super) fn forgive(&mut self, by: Duration) {
        self.head_since += by;
        if let Stage::Starting { since, .. } = &mut self.stage {
            *since += by;
        }
        if let Some(stopping) = &mut self.stopping {
            stopping.until += by;
        }
    }

    /// Which of calls that travel together runs in it, if one of such does.
    pub(super) fn place(&self) -> Option<u32> {
        self.gate.place()
    }

    /// Was it never given a call?
    pub(super) fn is_unused(&self) -> bool {
        self.sent == 0
    }

    /// How many calls were taken back from it since it last answered.
    pub(super) fn taken_back(&self) -> u32 {
        self.taken_back
    }

    /// How long what runs now has been running, as far as known (s).
    pub(super) fn ran_s(&self) -> f64 {
        self.head_since.elapsed().as_secs_f64()
    }

    pub(super) fn holds(&self, task: TaskId, attempt: Attempt) -> bool {
        self.pipe.iter().any(|piped| piped.key() == (task, attempt))
    }

    /// Do calls come one by one, so that it may stay awake for the next one?
    pub(super) fn set_awake(&self, awake: bool) {
        self.gate.set_awake(awake);
    }

    pub(super) fn put(&mut self, call: CallTask, codes: &[(Hash, Vec<u8>)], now: Instant) {
        for (hash, bytes) in &codes[self.known..] {
            self.stream.queue(&ToSlot::Code(*hash, bytes.clone()));
        }
        self.known = codes.len();
        if self.pipe.is_empty() {
            self.head_since = now;
        }
        self.pipe.push_back(Piped {
            task: call.task,
            attempt: call.attempt,
            timeout: call.timeout,
            behind_others: if call.many { batch::LONGEST.as_secs_f64() } else { 0.0 },
            position: self.sent,
            announced: false,
        });
        self.sent = self.sent.wrapping_add(1);
        self.stream.queue(&ToSlot::Call(call));
    }

    /// All that it has said by now is there to be heard, sent or not. False: it says no more.
    pub(super) fn gather(&mut self) -> bool {
        // What was not sent stays where it is. So if nothing comes meanwhile, what was taken is whole.
        for _ in 0..GATHER_TRIES {
            let mut goes_on = self.stream.fill().is_ok();
            let received = self.stream.received();
            let unsent = self.gate.said_since(received);
            goes_on &= self.stream.fill().is_ok();
            if self.stream.received() == received {
                self.stream.receive(&unsent);
                return goes_on;
            }
        }
        true
    }

    /// Passes results on; what else it said.
    pub(super) fn answers(&mut self, root: &mut Root) -> Said {
        let mut said = Said::default();
        // What came together was read at the same time.
        let now = Instant::now();
        loop {
            match self.stream.take() {
                Ok(Some(FromSlot::Ready)) => {
                    self.stage = Stage::Ready;
                    self.stopping = None;
                    self.head_since = now;
                    said.ready = true;
                }
                Ok(Some(FromSlot::InitFailed(outcome))) => said.failed = Some(*outcome),
                Ok(Some(FromSlot::Done(task, attempt, outcome))) => {
                    self.answered((task, attempt), outcome, now, root);
                    said.answered += 1;
                }
                Ok(Some(FromSlot::NeedModule(name))) => said.modules.push(name),
                // Nobody asked it.
                Ok(Some(FromSlot::Found(_))) => {}
                Ok(None) => return said,
                Err(error) => {
                    said.failed = Some(garbage(&error));
                    return said;
                }
            }
        }
    }

    fn answered(
        &mut self,
        call: (TaskId, Attempt),
        mut outcome: Arc<Outcome>,
        now: Instant,
        root: &mut Root,
    ) {
        // They are answered in order: the search ends with the first.
        if let Some(at) = self.pipe.iter().position(|piped| piped.key() == call) {
            self.pipe.remove(at);
        }
        self.head_since = now;
        (self.taken_back, self.waited) = (0, Duration::ZERO);
        // What was told to stop may be another one, which began before this answer was read.
        if let Some(Stopping { why: (status, reason), .. }) =
            self.stopping.take_if(|stopping| stopping.call == Some(call))
            && status == Status::Cancelled
            && outcome.status == Status::Timeout
        {
            let outcome = Arc::make_mut(&mut outcome);
            (outcome.status, outcome.reason) = (status, Some(reason));
        }
        report(root, call.0, call.1, outcome);
    }

    /// Announces a long call, and says what its time limits demand.
    pub(super) fn watch(&mut self, now: Instant, root: &mut Root) -> Due {
        if let Some(Stopping { until, why, .. }) = &self.stopping {
            return if now >= *until { Due::Kill(why.clone()) } else { Due::Nothing };
        }
        if let Stage::Starting { since, limit } = self.stage
            && !self.is_ready()
        {
            self.head_since = now;
            if now.saturating_duration_since(since) < limit {
                return Due::Nothing;
            }
            let s = limit.as_secs_f64();
            let reason = format!(
                "init of its slot did not end within {s} s and could not be stopped: is it in C code that waits?"
            );
            return self.stop(None, (Status::Timeout, reason), now);
        }
        if self.head_waits(now) {
            return if self.waited >= self.patience { Due::Replace } else { Due::Nothing };
        }
        let Some(head) = self.pipe.front_mut() else { return Due::Nothing };
        let ran = now.saturating_duration_since(self.head_since);
        let announce = ran >= LONG_CALL && !head.announced;
        if announce {
            head.announced = true;
            root.queue(&FromWorker::Started(head.task, head.attempt));
        }
        let over = head.timeout.filter(|limit| ran.as_secs_f64() >= *limit + head.behind_others);
        let call = (head.key(), head.position);
        if announce {
            self.take_back(root);
        }
        let Some(limit) = over else { return Due::Nothing };
        let reason = format!(
            "ran into its timeout of {limit} s in code that is not Lua, which cannot be stopped; its slot was killed"
        );
        self.stop(Some(call), (Status::Timeout, reason), now)
    }

    /// Has its first call not begun? Its time has not either, then; what it waits is counted. In short steps only:
    /// a job that is suspended as a whole does not wait.
    fn head_waits(&mut self, now: Instant) -> bool {
        // Positions wrap: those not begun are less than half the numbers ahead.
        let waits = |head: &Piped| head.position.wrapping_sub(self.gate.begun()) < u32::MAX / 2;
        match self.pipe.front().map(waits) {
            Some(true) => {
                self.waited += now.saturating_duration_since(self.head_since).min(LONGEST_STEP);
                self.head_since = now;
                true
            }
            Some(false) => {
                self.waited = Duration::ZERO;
                false
            }
            None => false,
        }
    }

    /// This call, which has begun, is to stop: Lua does at its next instruction, other code is killed after a while.
    pub(super) fn stop_call(&mut self, call: (TaskId, Attempt), why: (Status, String), now: Instant) -> Due {
        let position = self.pipe.iter().find(|piped| piped.key() == call).map(|piped| piped.position);
        let stops = self.stopping.as_ref().is_some_and(|stopping| stopping.call == Some(call));
        match position {
            // Of those that have begun only the last one runs. The others' answers are on their way.
            Some(position) if !stops && position.wrapping_add(1) == self.gate.begun() => {
                self.stop(Some((call, position)), why, now)
            }
            _ => Due::Nothing,
        }
    }

    fn stop(&mut self, call: Option<((TaskId, Attempt), u32)>, why: (Status, String), now: Instant) -> Due {
        self.gate.stop(call.map(|(_, position)| position));
        self.stopping = Some(Stopping { call: call.map(|(call, _)| call), until: now + STOP_GRACE, why });
        Due::Stop
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if let Some(stopping) = &self.stopping {
            return Some(stopping.until);
        }
        if let Stage::Starting { since, limit } = self.stage
            && !self.is_ready()
        {
            return since.checked_add(limit);
        }
        let head = self.pipe.front()?;
        let announce = (!head.announced).then_some(LONG_CALL);
        let limit = head.timeout.map(|limit| limit + head.behind_others);
        let limit = limit.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
        let due = |after: Duration| self.head_since.checked_add(after);
        earlier(announce.and_then(due), limit.and_then(due))
    }

    /// Takes back the calls that have not begun and returns them to the root.
    pub(super) fn take_back(&mut self, root: &mut Root) {
        self.head_waits(Instant::now());
        let held = self.pipe.len();
        let begun = self.gate.recall(self.sent);
        let sent = self.sent;
        // Positions wrap: compare distances to the end of the pipe.
        let left = sent.wrapping_sub(begun);
        self.pipe.retain(|piped| {
            let begun = sent.wrapping_sub(piped.position) > left;
            if !begun {
                root.queue(&FromWorker::Recalled(piped.task, piped.attempt));
            }
            begun
        });
        self.taken_back = self.taken_back.saturating_add((held - self.pipe.len()) as u32);
    }
}

impl Piped {
    fn key(&self) -> (TaskId, Attempt) {
        (self.task, self.attempt)
    }
}

fn garbage(error: &WireError) -> Outcome {
    let reason = format!(
        "its slot was killed, for what it said made no sense ({error}): does C code write to descriptor 3, or to \
         memory that is not its own?"
    );
    Outcome::failed(Status::Signal, reason)
}

/// How a slot process ended while it ran a call, or (not `ready`) before its first.
pub(super) fn explain_end(end: SlotEnd, ready: bool) -> Outcome {
    let when = if ready { "while it ran" } else { "while it started (in init?)" };
    let (status, reason) = match end {
        SlotEnd::NotStarted(why) => (Status::SetupFailed, format!("its slot could not be started: {why}")),
        SlotEnd::Exited(code) => {
            // With 1 it ends where the system refused it something, and says that itself.
            let more = if ready || code != 1 { " (os.exit?)" } else { "; standard error may say more" };
            (Status::NonzeroExit, format!("its slot ended with exit code {code} {when}{more}"))
        }
        SlotEnd::Killed(signal) => {
            let name = signal_name(signal);
            // Of those that harness kills other words are found.
            let maybe = if signal == libc::SIGKILL { ": memory may be why, if nobody sent that" } else { "" };
            (Status::Signal, format!("its slot was killed by signal {signal} ({name}) {when}{maybe}"))
        }
        SlotEnd::KilledForMemory(counter) => {
            (Status::Oom, machine::killed_for_memory(&format!("its slot {when}"), "", &counter))
        }
    };
    Outcome::failed(status, reason)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::transport::Peer;
    use crate::transport::stream::StreamLink;
    use crate::wire::socket_pair;
    use bytes::Bytes;

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
            payload: Bytes::new(),
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
        let due = |bench: &mut Bench, s: u64| {
            bench.process.watch(bench.now + Duration::from_secs(s), &mut bench.root)
        };
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
        assert!(
            failed.status == Status::Signal && reason.contains("a message of 6442450942 bytes"),
            "{reason}"
        );
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
}
