//! One slot process as its worker sees it: the calls in its pipe, in order, and how far it has come.
//!
//! Knows how to put calls in, take them back and pass results on; which slot gets which call, and what
//! follows when one fails to start, is decided in `slots`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::slots::Root;
use crate::model::{
    Attempt, CallTask, FromSlot, FromWorker, Hash, Outcome, SlotInit, Status, TaskId, ToSlot,
};
use crate::process::{Gate, signal_name};
use crate::transport::wait::earlier;
use crate::wire::Stream;

/// A call that runs longer than this is announced, and those behind it go back to the root.
const LONG_CALL: Duration = Duration::from_millis(20);

/// How long what was told to stop may take to do so before its process is killed: time for Lua to be given the
/// processor and to unwind.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(1);

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
    /// Until when what runs now may take to stop, and why it was told to.
    stopping: Option<(Instant, (Status, String))>,
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

pub(super) struct Piped {
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    timeout: Option<f64>,
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
    /// Its `init` failed, and how.
    pub(super) failed: Option<Outcome>,
}

/// What is due.
pub(super) enum Due {
    Nothing,
    /// Tell the process to stop what it does.
    Stop,
    /// It did not: end it. Why, for what it ran.
    Kill((Status, String)),
}

impl Process {
    /// A process started now. Without an `init`, which has a limit of its own, it may take `limit` to be ready.
    pub(super) fn new(mut stream: Stream, gate: Gate, init: SlotInit, limit: Duration, now: Instant) -> Self {
        let of_init = init.setup.init.as_ref().map(|init| Duration::try_from_secs_f64(init.timeout));
        let limit = of_init.map_or(limit, |limit| limit.unwrap_or(Duration::MAX));
        stream.queue(&ToSlot::Init(init));
        Self {
            stream,
            gate,
            sent: 0,
            pipe: VecDeque::new(),
            stage: Stage::Starting { since: now, limit },
            head_since: now,
            stopping: None,
            known: 0,
        }
    }

    /// Does it run calls? Its first one may have ended it before it could say so.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready) || self.gate.begun() > 0
    }

    /// Was it never given a call?
    pub(super) fn is_unused(&self) -> bool {
        self.sent == 0
    }

    pub(super) fn holds(&self, task: TaskId, attempt: Attempt) -> bool {
        self.pipe.iter().any(|piped| (piped.task, piped.attempt) == (task, attempt))
    }

    pub(super) fn put(&mut self, call: &CallTask, codes: &[(Hash, Vec<u8>)], now: Instant) {
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
            position: self.sent,
            announced: false,
        });
        self.sent = self.sent.wrapping_add(1);
        self.stream.queue(&ToSlot::Call(call.clone()));
    }

    /// Passes results on; what else it said.
    pub(super) fn answers(&mut self, root: &mut Root) -> Said {
        let mut said = Said::default();
        while let Ok(Some(message)) = self.stream.take() {
            match message {
                FromSlot::Ready => {
                    self.stage = Stage::Ready;
                    self.stopping = None;
                    self.head_since = Instant::now();
                    said.ready = true;
                }
                FromSlot::InitFailed(outcome) => said.failed = Some(*outcome),
                FromSlot::Done(task, attempt, mut outcome) => {
                    self.pipe.retain(|piped| (piped.task, piped.attempt) != (task, attempt));
                    self.head_since = Instant::now();
                    if let Some((_, (status, reason))) = self.stopping.take()
                        && status == Status::Cancelled
                        && outcome.status == Status::Timeout
                    {
                        (outcome.status, outcome.reason) = (status, Some(reason));
                    }
                    root.queue(&FromWorker::Done(task, attempt, outcome));
                }
                FromSlot::NeedModule(name) => said.modules.push(name),
            }
        }
        said
    }

    /// Announces a long call, and says what its time limits demand.
    pub(super) fn watch(&mut self, now: Instant, root: &mut Root) -> Due {
        if let Some((until, why)) = &self.stopping {
            return if now >= *until { Due::Kill(why.clone()) } else { Due::Nothing };
        }
        if let Stage::Starting { since, limit } = self.stage {
            if now.saturating_duration_since(since) < limit {
                return Due::Nothing;
            }
            let s = limit.as_secs_f64();
            let reason = format!(
                "init of its slot did not end within {s} s and could not be stopped: is it in C code that waits?"
            );
            return self.stop(None, (Status::Timeout, reason), now);
        }
        let Some(head) = self.pipe.front_mut() else { return Due::Nothing };
        // Positions wrap: those not begun are less than half the numbers ahead.
        if head.position.wrapping_sub(self.gate.begun()) < u32::MAX / 2 {
            self.head_since = now; // it has not begun, and so has its time not
            return Due::Nothing;
        }
        let ran = now.saturating_duration_since(self.head_since);
        let announce = ran >= LONG_CALL && !head.announced;
        if announce {
            head.announced = true;
            root.queue(&FromWorker::Started(head.task, head.attempt));
        }
        let over = head.timeout.filter(|limit| ran.as_secs_f64() >= *limit);
        let position = head.position;
        if announce {
            self.take_back(root);
        }
        let Some(limit) = over else { return Due::Nothing };
        let reason = format!(
            "ran into its timeout of {limit} s in code that is not Lua, which cannot be stopped; its slot was killed"
        );
        self.stop(Some(position), (Status::Timeout, reason), now)
    }

    /// What runs now is to stop: Lua does at its next instruction, other code is killed after a while.
    pub(super) fn stop_head(&mut self, why: (Status, String), now: Instant) -> Due {
        match self.pipe.front() {
            Some(head) if self.stopping.is_none() => self.stop(Some(head.position), why, now),
            _ => Due::Nothing,
        }
    }

    fn stop(&mut self, position: Option<u32>, why: (Status, String), now: Instant) -> Due {
        self.gate.stop(position);
        self.stopping = Some((now + STOP_GRACE, why));
        Due::Stop
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if let Some((until, _)) = &self.stopping {
            return Some(*until);
        }
        if let Stage::Starting { since, limit } = self.stage {
            return since.checked_add(limit);
        }
        let head = self.pipe.front()?;
        let announce = (!head.announced).then_some(LONG_CALL);
        let limit = head.timeout.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
        let due = |after: Duration| self.head_since.checked_add(after);
        earlier(announce.and_then(due), limit.and_then(due))
    }

    /// Takes back the calls that have not begun and returns them to the root.
    pub(super) fn take_back(&mut self, root: &mut Root) {
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
    }
}

/// How a slot process ended while it ran a call, or (not `ready`) before its first.
pub(super) fn explain_end(code: Option<i32>, signal: Option<i32>, ready: bool) -> Outcome {
    let when = if ready { "while it ran" } else { "while it started (in init?)" };
    let (status, reason) = match (code, signal) {
        (_, Some(signal)) => {
            let name = signal_name(signal);
            (Status::Signal, format!("its slot was killed by signal {signal} ({name}) {when}"))
        }
        (Some(code), None) => {
            (Status::NonzeroExit, format!("its slot ended with exit code {code} {when} (os.exit?)"))
        }
        (None, None) => (Status::SetupFailed, "its slot could not be started".into()),
    };
    Outcome::failed(status, reason)
}
