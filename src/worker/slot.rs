//! One slot of a worker: the process it has, from its start to its end.

use std::collections::VecDeque;
use std::time::Instant;

use super::pipe::{Piped, Process};
use super::turns::Turn;
use crate::model::{Limits, Outcome, SlotId, SlotInit, ToKeeper};
use crate::process::{Gate, with_advice};
use crate::wire::{Stream, socket_pair};

/// A slot.
pub(super) struct Slot {
    pub id: SlotId,
    pub state: State,
    /// Starts that failed in a row.
    pub failed: u32,
}

/// What process it has.
pub(super) enum State {
    /// No process yet, or not any more.
    Absent,
    /// A process that takes calls.
    Serving(Box<Process>),
    /// A process of which only the end is awaited.
    Ending(Box<Ending>),
}

/// A process that was told to end or is about to.
pub(super) struct Ending {
    /// The call that ran in it is the last of these.
    pub pipe: VecDeque<Piped>,
    /// Had it come as far as to run calls?
    pub ready: bool,
    /// How long that call ran (s).
    pub ran_s: f64,
    /// In which call of a library it was.
    pub foreign: Option<String>,
    /// Which of calls that travelled together it was.
    pub place: Option<u32>,
    /// Why it ends, if the reason is ours or it gave one.
    pub why: Option<Outcome>,
    /// When it is killed, if it has not ended by then.
    pub kill_at: Option<Instant>,
    /// That time came.
    pub lived_on: bool,
}

impl Slot {
    /// Calls in its pipe; `None` while it cannot take any.
    pub fn load(&self) -> Option<usize> {
        match &self.state {
            State::Absent => Some(0),
            // Nothing waits behind a long call: it may be endless.
            State::Serving(process) if process.pipe.front().is_some_and(|head| head.announced) => None,
            State::Serving(process) => Some(process.pipe.len()),
            State::Ending(_) => None,
        }
    }

    /// How it competes for the next call, if it can take one.
    pub fn turn(&self) -> Option<Turn> {
        Some(Turn { load: self.load()?, taken_back: self.taken_back(), id: self.id })
    }

    /// Calls that it gave back since it last answered.
    pub fn taken_back(&self) -> u32 {
        match &self.state {
            State::Serving(process) => process.taken_back(),
            _ => 0,
        }
    }

    /// When something is due without a message.
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Serving(process) => process.next_deadline(),
            State::Ending(ending) => ending.kill_at,
            State::Absent => None,
        }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.next_deadline().is_some_and(|at| at <= now)
    }

    /// May an earlier call have left something in it?
    pub fn is_used(&self) -> bool {
        matches!(&self.state, State::Serving(process) if !process.is_unused())
    }

    /// Its process, started if there is none. `init` is the same for all slots but for which one it is.
    pub fn serve(
        &mut self,
        init: &SlotInit,
        limits: &Limits,
        now: Instant,
        keeper: &mut Stream,
    ) -> std::io::Result<&mut Process> {
        if let State::Absent = self.state {
            let (ours, slots) = socket_pair().map_err(with_advice)?;
            let (gate, gate_fd) = Gate::create().map_err(with_advice)?;
            keeper.queue_with_fds(&ToKeeper::StartSlot(self.id), vec![slots, gate_fd]);
            let init = SlotInit { slot: self.id, ..init.clone() };
            self.state = State::Serving(Box::new(Process::new(Stream::new(ours)?, gate, init, limits, now)));
        }
        match &mut self.state {
            State::Serving(process) => Ok(process),
            _ => Err(std::io::Error::other("the slot is just ending")),
        }
    }
}
