//! How many tasks end in a minute, over the last minutes. Knows moments and numbers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over this time.
const WINDOW: Duration = Duration::from_secs(300);
/// Ends are counted together for so long.
const STEP: Duration = Duration::from_secs(5);

/// Ends of tasks that ran, counted by moments.
#[derive(Default)]
pub(super) struct Pace {
    /// When the first task was sent off.
    since: Option<Instant>,
    ends: VecDeque<(Instant, usize)>,
}

impl Pace {
    pub(super) fn began(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub(super) fn ended(&mut self, now: Instant, count: usize) {
        match self.ends.back_mut() {
            Some((at, ends)) if now.saturating_duration_since(*at) < STEP => *ends += count,
            _ => self.ends.push_back((now, count)),
        }
        while self.ends.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.ends.pop_front();
        }
    }

    /// Tasks a minute; none before the first was sent off.
    pub(super) fn per_minute(&self, now: Instant) -> Option<f64> {
        let since = now.saturating_duration_since(self.since?).min(WINDOW).as_secs_f64();
        let recent = self.ends.iter().filter(|(at, _)| now.saturating_duration_since(*at) <= WINDOW);
        let ends: usize = recent.map(|(_, ends)| ends).sum();
        (since > 0.0).then(|| ends as f64 * 60.0 / since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_minutes_count() {
        let t0 = Instant::now();
        let at = |seconds| t0 + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.per_minute(t0), None);
        pace.began(t0);
        (0..3).for_each(|_| pace.ended(at(30), 10));
        assert_eq!(pace.per_minute(at(60)), Some(30.0));
        (0..10).for_each(|n| pace.ended(at(301 + n), 1));
        assert_eq!(pace.per_minute(at(330)), Some(8.0), "40 in the last five minutes");
        assert_eq!(pace.per_minute(at(400)), Some(2.0), "10 in the last five minutes");
        assert_eq!(pace.per_minute(at(4000)), Some(0.0));
    }
}
