//! The one place where a process of ours sleeps: descriptors and a time, whichever is first.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

/// Waits until one of `fds` is ready or `deadline` has come (for ever if there is none). A signal that is
/// not blocked ends the wait early. Who does not want to wait at all, for MPI may have something at any moment, lets others
/// have the core first that have work: what it looks for may be theirs to do.
pub fn wait(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> std::io::Result<()> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let ready = match poll(fds, left.map(timespec).as_ref()) {
        Ok(ready) => ready,
        Err(Errno::INTR) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if ready == 0 && left.is_some_and(|left| left.is_zero()) {
        std::thread::yield_now();
    }
    Ok(())
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// The earlier of two times, where there may be none.
pub fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
