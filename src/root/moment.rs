//! When something was, in eight bytes: a million tasks keep one of these, and those that were started two.

use std::num::NonZeroU64;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Long before the first of them.
static BEFORE: LazyLock<Instant> = LazyLock::new(|| {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(3600)).unwrap_or(now)
});

/// A point of time, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(NonZeroU64);

impl From<Instant> for Moment {
    fn from(at: Instant) -> Self {
        let ns = at.saturating_duration_since(*BEFORE).as_nanos();
        Self(NonZeroU64::MIN.saturating_add(u64::try_from(ns).unwrap_or(u64::MAX)))
    }
}

impl From<Moment> for Instant {
    fn from(at: Moment) -> Self {
        *BEFORE + Duration::from_nanos(at.0.get() - 1)
    }
}

impl Moment {
    /// How long ago it is (s).
    pub(super) fn ago_s(self) -> f64 {
        Instant::from(self).elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_instant_it_was_made_of() {
        let early = Instant::now();
        let late = early + Duration::from_millis(1500);
        assert_eq!((Moment::from(early).into(), Moment::from(late).into()), (early, late));
        assert_eq!(size_of::<Option<Moment>>(), 8);
    }
}
