//! A worker in a job that is not the root's: the batch system may end that job, and the campaign goes on without it.
//!
//! Then every process there is told SIGTERM, programs included, and killed some time later. This worker leaves at once, so that
//! nothing more is sent to it; and what did not end well is told a little later, lest the end of the job be taken for that of a
//! task, which would not be tried again. Knows nothing of what the messages mean beyond that.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::model::FromKeeper;
use crate::process::Signals;

/// All processes of a job are told to end within this.
const DOUBT: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Guest {
    signals: Signals,
    /// What may be the job's end, and until when.
    doubtful: VecDeque<(Instant, FromKeeper)>,
}

impl Guest {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { signals: Signals::open()?, doubtful: VecDeque::new() })
    }

    /// Was it told that its job ends?
    pub(super) fn is_dismissed(&mut self) -> bool {
        std::iter::from_fn(|| self.signals.take()).any(|signal| signal == libc::SIGTERM)
    }

    /// Keeps what may be the job's end; gives back what is not.
    pub(super) fn doubts(&mut self, message: FromKeeper) -> Option<FromKeeper> {
        let well = match &message {
            FromKeeper::Done(_, _, outcome) => outcome.ok(),
            FromKeeper::SlotEnded(..) => false,
            _ => true,
        };
        if well {
            return Some(message);
        }
        self.doubtful.push_back((Instant::now() + DOUBT, message));
        None
    }

    /// The next of those that were the task's own end after all.
    pub(super) fn believes(&mut self, now: Instant) -> Option<FromKeeper> {
        let (at, _) = self.doubtful.front()?;
        if *at > now {
            return None;
        }
        self.doubtful.pop_front().map(|(_, message)| message)
    }

    /// When [`believes`](Self::believes) has something to say.
    pub(super) fn next(&self) -> Option<Instant> {
        self.doubtful.front().map(|(at, _)| *at)
    }

    pub(super) fn poll(&self) -> PollFd<'_> {
        PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)
    }
}
