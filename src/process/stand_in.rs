#![allow(unsafe_code)]
//! A process that stands in for another one towards the launcher of an MPI: the launcher started it, and watches it.
//!
//! What goes on in its place is its child, which may be killed (by the kernel for want of memory, by an administrator)
//! without the launcher taking that for a reason to end the job. If the one that stands in is killed the child goes too.

use std::io;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::{Exit, wait};

/// Returns twice: `None` in the child, which goes on, and in the process itself how that ended. To be called before there
/// is any thread.
pub fn stand_in() -> io::Result<Option<Exit>> {
    let parent = getpid();
    // SAFETY: there is one thread, so the child has all there was, locks included.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // It may have been killed before that.
            if getppid() != Some(parent) {
                return Err(io::Error::other("the process it was to stand for is gone"));
            }
            return Ok(None);
        }
        pid => pid,
    };
    let Some(pid) = Pid::from_raw(child) else { return Err(io::ErrorKind::NotFound.into()) };
    wait(pid).map(|(exit, _)| Some(exit))
}
