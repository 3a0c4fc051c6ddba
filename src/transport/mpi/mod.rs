//! Links over MPI, and starting workers with MPI_Comm_spawn.
//!
//! MPI has no descriptor to wait for and burns a core when it blocks, so a link says when it wants to be
//! looked at again: at once while messages flow, ever more rarely while nothing comes. All calls happen on
//! the thread that initialised MPI.

pub mod start;
pub mod sys;

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use self::sys::{Comm, Sending};
use super::{Link, LinkError};
use crate::wire::Inbox;

/// The byte stream is cut into MPI messages of at most this many bytes.
const MESSAGE_BYTES: usize = 256 * 1024;
/// MPI messages under way at once.
const IN_FLIGHT: usize = 8;
/// Look again at once for so long after something happened.
const HOT: Duration = Duration::from_micros(50);
/// Longest pause between two looks when idle.
const IDLE_PAUSE: Duration = Duration::from_millis(2);
/// Longest pause while a measurement has the node.
const QUIET_PAUSE: Duration = Duration::from_millis(50);

/// A byte stream to one rank of a communicator.
pub struct MpiLink {
    comm: Comm,
    rank: i32,
    /// Given to MPI, in order.
    sending: VecDeque<Sending>,
    /// Not given to MPI yet.
    waiting: VecDeque<Vec<u8>>,
    backlog: usize,
    last_activity: Instant,
    quiet: bool,
    /// Disconnect the communicator at the end (it was made for this link alone).
    owned: bool,
}

impl MpiLink {
    /// A stream to `rank` of `comm`; `owned` if the communicator serves no other link.
    pub fn new(comm: Comm, rank: i32, owned: bool) -> Self {
        Self {
            comm,
            rank,
            sending: VecDeque::new(),
            waiting: VecDeque::new(),
            backlog: 0,
            last_activity: Instant::now(),
            quiet: false,
            owned,
        }
    }

    fn push(&mut self) -> Result<(), LinkError> {
        while let Some(first) = self.sending.front_mut() {
            if !first.finished().map_err(failed)? {
                break;
            }
            self.backlog -= first.size();
            self.sending.pop_front();
            self.last_activity = Instant::now();
        }
        while self.sending.len() < IN_FLIGHT {
            let Some(piece) = self.waiting.pop_front() else { break };
            self.sending.push_back(self.comm.send(self.rank, piece).map_err(failed)?);
        }
        Ok(())
    }
}

impl Link for MpiLink {
    fn send(&mut self, bytes: &mut Vec<u8>) -> Result<(), LinkError> {
        self.backlog += bytes.len();
        self.last_activity = Instant::now();
        if bytes.len() <= MESSAGE_BYTES {
            self.waiting.push_back(std::mem::take(bytes));
        } else {
            self.waiting.extend(bytes.chunks(MESSAGE_BYTES).map(<[u8]>::to_vec));
            bytes.clear();
        }
        self.push()
    }

    fn progress(&mut self, inbox: &mut Inbox) -> Result<(), LinkError> {
        while self.comm.receive(self.rank, inbox).map_err(failed)? {
            self.last_activity = Instant::now();
        }
        self.push()
    }

    fn backlog(&self) -> usize {
        self.backlog
    }

    fn poll_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        Vec::new()
    }

    fn next_poll(&self, now: Instant) -> Option<Instant> {
        let idle = now.saturating_duration_since(self.last_activity);
        if self.quiet {
            return Some(now + QUIET_PAUSE);
        }
        // A pause of a quarter of the silence so far costs little and answers soon.
        Some(if idle < HOT { now } else { now + (idle / 4).min(IDLE_PAUSE) })
    }

    fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    fn close(self: Box<Self>) {
        if self.owned {
            self.comm.disconnect();
        }
    }
}

fn failed(error: sys::MpiError) -> LinkError {
    LinkError::Failed(error.to_string())
}
