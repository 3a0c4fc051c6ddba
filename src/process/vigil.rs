//! Staying awake for a moment.
//!
//! A call that is the only one under way passes from the script to a slot and back, and to wake each of the processes on its way
//! takes longer than what they have to do: tens of microseconds, more where idle cores sleep deeply. So who has
//! just had a part in such a call looks for what follows at once, and gives the core to whoever has work between two looks. Only for a
//! moment, and only then: where more is under way the cores are for those who have work, and beside a measurement nobody does it.

use std::time::{Duration, Instant};

/// So long: more than a call that does nothing takes there and back.
const AWAKE: Duration = Duration::from_micros(200);

/// Until when somebody stays awake.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vigil {
    until: Option<Instant>,
}

impl Vigil {
    /// One that begins now.
    pub fn begun() -> Self {
        Self { until: Some(Instant::now() + AWAKE) }
    }

    /// Is it not over?
    pub fn lasts(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When to look again at the latest: at once, as long as it lasts.
    pub fn next_look(&self, now: Instant) -> Option<Instant> {
        self.lasts(now).then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vigil_ends() {
        let (now, vigil) = (Instant::now(), Vigil::begun());
        assert_eq!(vigil.next_look(now), Some(now));
        assert_eq!(vigil.next_look(now + 2 * AWAKE + Duration::from_secs(60)), None);
        assert_eq!(Vigil::default().next_look(now), None);
    }
}
