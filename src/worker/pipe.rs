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
        stream.queue(&ToSlot::Init(Box::new(init)));
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
#[path = "pipe_tests.rs"]
mod tests;
