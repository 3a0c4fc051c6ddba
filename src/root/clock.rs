//! The scheduler's clock. It stands still while the root is busy for long, with a million requests or a
//! launcher that blocks: what could not be sent or heard meanwhile is nobody's delay, and no worker is given up
//! for it. Knows nothing of what is timed.

use std::time::{Duration, Instant};

use crate::core::Tick;

/// A round of work counts as so long at the most; waiting counts in full.
const MOST: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Clock {
    now: Duration,
    since: Instant,
    /// It stood still, and nobody has asked yet.
    stood_still: bool,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { now: Duration::ZERO, since: Instant::now(), stood_still: false }
    }

    /// The time of this round.
    pub(super) fn now(&self) -> Tick {
        Tick(u64::try_from(self.now.as_micros()).unwrap_or(u64::MAX))
    }

    /// When the clock will show this, if all until then is waiting.
    pub(super) fn moment(&self, tick: Tick) -> Option<Instant> {
        self.since.checked_add(Duration::from_micros(tick.0).saturating_sub(self.now))
    }

    /// Has this round of work taken longer than it counts?
    pub(super) fn has_worked_for_long(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) > MOST
    }

    /// Has it stood still since this was asked last? Then a time of day that is to come has come nearer.
    pub(super) fn has_stood_still(&mut self) -> bool {
        std::mem::take(&mut self.stood_still)
    }

    /// A round of work is over.
    pub(super) fn worked(&mut self, until: Instant) {
        self.stood_still |= self.has_worked_for_long(until);
        self.now += until.saturating_duration_since(self.since).min(MOST);
        self.since = until;
    }

    /// And so is the wait after it.
    pub(super) fn waited(&mut self, until: Instant) {
        self.now += until.saturating_duration_since(self.since);
        self.since = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_work_is_no_time_and_waiting_is() {
        let mut clock = Clock::new();
        let start = clock.since;
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!clock.has_stood_still());
        clock.worked(after(15));
        assert_eq!(clock.now(), Tick(50_000));
        assert!(clock.has_stood_still() && !clock.has_stood_still(), "said once");
        assert_eq!(clock.moment(Tick(1_050_000)), Some(after(16)));
        clock.waited(after(16));
        assert_eq!(clock.now(), Tick(1_050_000));
        clock.worked(after(16) + Duration::from_millis(3));
        assert_eq!(clock.now(), Tick(1_053_000));
        assert!(!clock.has_stood_still());
    }
}
