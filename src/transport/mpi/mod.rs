//! Links over MPI, and starting workers with MPI_Comm_spawn.
//!
//! MPI has no descriptor to wait for and burns a core when it blocks, so a link says when it wants to be
//! looked at again: at once while messages flow, now and then where slots have enough to do meanwhile, ever more rarely while
//! nothing comes. All calls happen on the thread that initialised MPI.
//!
//! Nor does MPI tell that the other process is gone. The root's end has a [`lifeline`] for that, which whoever stands in
//! for the worker holds at the other end; the first thing that a worker is sent is how to call it.

pub mod lifeline;
pub mod start;
pub mod sys;

use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::PollFlags;
use rustix::io::write;

use self::lifeline::RootsEnd;
use self::sys::{Comm, Receiving, Sending};
use super::{Link, LinkError};
use crate::wire::{Inbox, MESSAGE_LIMIT, Outgoing, append};

/// The byte stream is cut into MPI messages of at most this many bytes.
const MESSAGE_BYTES: usize = 256 * 1024;
/// MPI messages under way at once.
const IN_FLIGHT: usize = 8;
/// Look again at once for so long after something happened: longer than a call that does nothing takes there and back, so that
/// one follows the other without a pause.
const HOT: Duration = Duration::from_micros(300);
/// And for so long after it was made, before anything has come: MPI connects in several steps, for each of which both sides look.
const GREETING: Duration = Duration::from_millis(30);
/// Shortest pause where slots have more to do than they are at. Who looks all the time takes a core that they want, and gives it away
/// for all of their turn, milliseconds: who sleeps instead is let in when he wakes.
const PAUSE: Duration = Duration::from_micros(100);
/// Longest pause between two looks when idle.
const IDLE_PAUSE: Duration = Duration::from_millis(2);
/// Longest pause where nothing waits for room, and nothing has come for a while: 500 looks a second take 2 % of a core.
const REST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause while a measurement has the node.
const QUIET_PAUSE: Duration = Duration::from_millis(50);

/// A byte stream to one rank of a communicator.
pub struct MpiLink {
    comm: Comm,
    rank: i32,
    /// Given to MPI, in order.
    sending: VecDeque<Sending>,
    /// Not given to MPI yet.
    waiting: VecDeque<Bytes>,
    /// What MPI is about to receive.
    receiving: Option<Receiving>,
    /// Of the message before, for the next one if that has come already.
    buffer: Vec<u8>,
    backlog: usize,
    last_activity: Instant,
    /// Something has come.
    heard: bool,
    quiet: bool,
    /// Disconnect the communicator at the end (it was made for this link alone).
    owned: bool,
    lifeline: Lifeline,
}

/// How often a link is looked at.
#[derive(Clone, Copy)]
enum Pace {
    /// The other end is there, and has said nothing yet.
    New,
    /// Somebody waits for what comes, or the other end for what is being sent: a large message goes on only while both look.
    Eager,
    /// Nobody idles meanwhile.
    Patient,
    /// A measurement has the node.
    Rare,
}

impl Pace {
    /// Until the next look, where nothing has happened for so long. A quarter of the silence costs little and answers soon; of a long
    /// one it is 4 %: who has waited for all of it can wait for that, too.
    fn pause(self, silence: Duration) -> Duration {
        match self {
            Pace::Rare => QUIET_PAUSE,
            Pace::New if silence < GREETING => Duration::ZERO,
            Pace::Eager if silence < HOT => Duration::ZERO,
            Pace::New | Pace::Eager => (silence / 4).min(IDLE_PAUSE).max((silence / 25).min(REST_PAUSE)),
            Pace::Patient => (silence / 4).clamp(PAUSE, IDLE_PAUSE),
        }
    }
}

/// What tells of the other process's end.
enum Lifeline {
    /// Nothing.
    None,
    /// The root's end, which is closed with the worker's.
    Root(RootsEnd),
    /// The worker's: it is still to be sent how the root is called, for whoever stands in for it.
    Worker(Option<OwnedFd>),
    /// The worker has ended: MPI has nothing to do with it any more. Whoever stood in for it stays until this is closed.
    Cut { _kept: RootsEnd },
}

impl MpiLink {
    /// The root's end of a stream to `rank` of `comm`; `owned` if the communicator serves no other link. `host` is the
    /// root's, for the lifeline.
    pub fn to_worker(comm: Comm, rank: i32, owned: bool, host: &str) -> Self {
        // Where it cannot listen, silence says it later.
        let (lifeline, call) = match RootsEnd::listen() {
            Ok((line, invitation)) => (Lifeline::Root(line), format!("{host} {invitation}")),
            Err(_) => (Lifeline::None, String::new()),
        };
        let mut link = Self::new(comm, rank, owned, lifeline);
        let mut first = Vec::new();
        append(&mut first, &call, MESSAGE_LIMIT).expect("a line is short");
        link.backlog = first.len();
        link.waiting.push_back(first.into());
        link
    }

    /// The worker's end; how to call the root is written to `told`.
    pub fn to_root(comm: Comm, owned: bool, told: Option<OwnedFd>) -> Self {
        Self::new(comm, 0, owned, Lifeline::Worker(told))
    }

    fn new(comm: Comm, rank: i32, owned: bool, lifeline: Lifeline) -> Self {
        Self {
            comm,
            rank,
            sending: VecDeque::new(),
            waiting: VecDeque::new(),
            receiving: None,
            buffer: Vec::new(),
            backlog: 0,
            last_activity: Instant::now(),
            heard: false,
            quiet: false,
            owned,
            lifeline,
        }
    }

    /// Has the other process ended? What had come from it is with us.
    fn feel(&mut self) -> Result<(), LinkError> {
        if let Lifeline::Cut { .. } = self.lifeline {
            return Err(LinkError::Closed);
        }
        let Lifeline::Root(line) = &mut self.lifeline else { return Ok(()) };
        if !line.has_ended() {
            return Ok(());
        }
        if let Lifeline::Root(line) = std::mem::replace(&mut self.lifeline, Lifeline::None) {
            self.lifeline = Lifeline::Cut { _kept: line };
        }
        Err(LinkError::Closed)
    }

    /// Hands on the first message, which is no part of the stream. Is it over?
    fn begun(&mut self) -> Result<bool, LinkError> {
        if !matches!(self.lifeline, Lifeline::Worker(_)) {
            return Ok(true);
        }
        let mut first = Inbox::default();
        if !self.receive(&mut first)? {
            return Ok(false);
        }
        let call: Option<String> = first.take().map_err(|error| LinkError::Failed(error.to_string()))?;
        let worker = std::mem::replace(&mut self.lifeline, Lifeline::None);
        if let (Lifeline::Worker(Some(told)), Some(call)) = (worker, call) {
            // Whoever stands in is there: this process would have ended with it. Also where there is nothing to call a line is
            // written, for then the worker has begun.
            let _ = write(told, format!("{call}\n").as_bytes());
        }
        Ok(true)
    }

    /// Puts the next message into `inbox`, if all of it has come.
    fn receive(&mut self, inbox: &mut Inbox) -> Result<bool, LinkError> {
        if self.receiving.is_none() {
            let buffer = std::mem::take(&mut self.buffer);
            self.receiving = self.comm.receive(self.rank, buffer).map_err(failed)?;
        }
        if self.receiving.is_none() && self.last_activity.elapsed() >= HOT {
            // Open MPI looks for what has come once it has said that nothing had. It would say so after the next pause.
            self.receiving = self.comm.receive(self.rank, Vec::new()).map_err(failed)?;
        }
        let Some(receiving) = self.receiving.take() else { return Ok(false) };
        let message = match receiving.message().map_err(failed)? {
            Ok(message) => message,
            Err(receiving) => {
                self.receiving = Some(receiving);
                return Ok(false);
            }
        };
        inbox.space(message.len())[..message.len()].copy_from_slice(&message);
        inbox.filled(message.len());
        self.buffer = message;
        self.heard = true;
        Ok(true)
    }

    /// Gives MPI what it may have at once, and forgets what has left: what is small has as soon as it is given.
    fn push(&mut self) -> Result<(), LinkError> {
        loop {
            while self.sending.len() < IN_FLIGHT
                && let Some(piece) = self.waiting.pop_front()
            {
                self.sending.push_back(self.comm.send(self.rank, piece).map_err(failed)?);
            }
            let Some(first) = self.sending.front_mut() else { return Ok(()) };
            if !first.finished().map_err(failed)? {
                return Ok(());
            }
            self.backlog -= first.size();
            self.sending.pop_front();
            self.last_activity = Instant::now();
        }
    }
}

impl Link for MpiLink {
    fn send(&mut self, bytes: &mut Outgoing) -> Result<(), LinkError> {
        if let Lifeline::Cut { .. } = self.lifeline {
            return Err(LinkError::Closed);
        }
        self.backlog += bytes.len();
        self.last_activity = Instant::now();
        while let Some(piece) = bytes.take_front(MESSAGE_BYTES) {
            self.waiting.push_back(piece);
        }
        self.push()
    }

    fn progress(&mut self, inbox: &mut Inbox) -> Result<(), LinkError> {
        let mut came = false;
        while self.begun()? && self.receive(inbox)? {
            came = true;
        }
        if came {
            self.last_activity = Instant::now();
        } else {
            self.feel()?;
        }
        self.push()
    }

    fn backlog(&self) -> usize {
        self.backlog
    }

    fn poll_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        match &self.lifeline {
            Lifeline::Root(line) => line.poll_fds(),
            Lifeline::None | Lifeline::Worker(_) | Lifeline::Cut { .. } => Vec::new(),
        }
    }

    fn next_poll(&self, now: Instant, backed_up: bool) -> Option<Instant> {
        let pace = if self.quiet {
            Pace::Rare
        } else if !self.heard {
            Pace::New
        } else if backed_up && self.sending.is_empty() && self.receiving.is_none() {
            Pace::Patient
        } else {
            Pace::Eager
        };
        Some(now + pace.pause(now.saturating_duration_since(self.last_activity)))
    }

    fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// MPI has what is under way, and whoever stands in for the worker waits for the end of its line.
    fn outlives_its_use(&self) -> bool {
        true
    }

    fn close(self: Box<Self>) {
        match self.lifeline {
            // Who stood in stays until this process ends.
            Lifeline::Cut { .. } => std::mem::forget(self),
            _ if self.owned => self.comm.disconnect(),
            _ => {}
        }
    }
}

fn failed(error: sys::MpiError) -> LinkError {
    LinkError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_late_leaves_nobody_idle_and_who_looks_often_takes_no_core_that_is_wanted() {
        let us = Duration::from_micros;
        let silences = [0, 299, 300, 2000, 50_000, 200_000, 60_000_000];
        let pauses = |pace: Pace| silences.map(|silence| pace.pause(us(silence)));
        assert_eq!(pauses(Pace::Eager), [us(0), us(0), us(75), us(500), IDLE_PAUSE, us(8000), REST_PAUSE]);
        let patient = [PAUSE, PAUSE, PAUSE, us(500), IDLE_PAUSE, IDLE_PAUSE, IDLE_PAUSE];
        assert_eq!(pauses(Pace::Patient), patient);
        assert_eq!(pauses(Pace::New), [us(0), us(0), us(0), us(0), IDLE_PAUSE, us(8000), REST_PAUSE]);
        assert_eq!(pauses(Pace::Rare), [QUIET_PAUSE; 7]);
    }
}
