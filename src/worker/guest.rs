//! A worker in a job that is not the root's: the batch system may end that job, and the campaign goes on without it.
//!
//! Every process there is told SIGTERM then, and killed some time later. This worker leaves at once, so that nothing more is
//! sent to it; that what died of it is no end of a task is the keeper's affair.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags};

use crate::process::Signals;

/// See the module.
pub(super) struct Guest(Signals);

impl Guest {
    pub(super) fn open() -> io::Result<Self> {
        Signals::open().map(Self)
    }

    /// Was it told that its job ends?
    pub(super) fn is_dismissed(&mut self) -> bool {
        std::iter::from_fn(|| self.0.take()).any(|signal| signal == libc::SIGTERM)
    }

    pub(super) fn poll(&self) -> PollFd<'_> {
        PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)
    }
}
