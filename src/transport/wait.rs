//! The one place where a process of ours sleeps: descriptors and a time, whichever is first.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::set_current_timer_slack;

/// Below this a wait is short: the 50 µs by which the kernel may be late would be a good part of it.
const SHORT: Duration = Duration::from_millis(1);

/// Waits until one of `fds` is ready or `deadline` has come (for ever if there is none). A signal that is
/// not blocked ends the wait early. Who does not want to wait at all, for MPI may have something at any moment, lets others
/// have the core first that have work: what it looks for may be theirs to do.
pub fn wait(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> std::io::Result<()> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let is_short = left.is_some_and(|left| !left.is_zero() && left < SHORT);
    let _punctual = is_short.then(Punctual::begin);
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

/// Wakes this thread on time while it is there. Not for longer: programs that the thread starts would have it from us.
struct Punctual;

impl Punctual {
    fn begin() -> Self {
        // Where the kernel refuses, this thread wakes a little later.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        Self
    }
}

impl Drop for Punctual {
    fn drop(&mut self) {
        let _ = set_current_timer_slack(None);
    }
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

#[cfg(test)]
mod tests {
    use rustix::thread::current_timer_slack;

    use super::*;

    #[test]
    fn a_short_wait_is_punctual_and_leaves_nothing_to_what_is_started_next() {
        let before = current_timer_slack().unwrap();
        assert!(before > 1, "{before} ns: the thread was punctual already");
        wait(&mut [], Some(Instant::now() + SHORT / 10)).unwrap();
        assert_eq!(current_timer_slack().unwrap(), before);
        let punctual = Punctual::begin();
        assert_eq!(current_timer_slack().unwrap(), 1);
        drop(punctual);
        assert_eq!(current_timer_slack().unwrap(), before);
    }
}
