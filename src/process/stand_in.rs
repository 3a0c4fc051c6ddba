#![allow(unsafe_code)]
//! A process that stands in for another one towards the launcher of an MPI: the launcher started it, and watches it.
//!
//! What goes on in its place is its child, which may be killed (by the kernel for want of memory, by an administrator)
//! without the launcher taking that for a reason to end the job. If the one that stands in is killed the child goes too.
//! What the two say to each other is no business of this room.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::Child;

/// Which of the two a process is.
pub enum Side {
    /// It goes on. What it writes here the other one reads.
    Child(OwnedFd),
    /// It stands in.
    StandIn(StandIn),
}

/// What the one that stands in knows of the other one.
pub struct StandIn {
    /// The other one.
    pub child: Child,
    pipe: File,
}

impl StandIn {
    /// All that the child writes, until it closes its end.
    pub fn listen(&mut self) -> io::Result<String> {
        let mut text = String::new();
        self.pipe.read_to_string(&mut text).map(|_| text)
    }
}

/// Returns twice. To be called before there is any thread.
pub fn stand_in() -> io::Result<Side> {
    let parent = getpid();
    let (ours, childs) = pipe_with(PipeFlags::CLOEXEC)?;
    // SAFETY: there is one thread, so the child has all there was, locks included.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // It may have been killed before that.
            if getppid() != Some(parent) {
                return Err(io::Error::other("the process it was to stand for is gone"));
            }
            return Ok(Side::Child(childs));
        }
        pid => pid,
    };
    let Some(child) = Pid::from_raw(child) else { return Err(io::ErrorKind::NotFound.into()) };
    let child = Child::of_another(child)?;
    Ok(Side::StandIn(StandIn { child, pipe: File::from(ours) }))
}
