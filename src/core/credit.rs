//! How much work a worker may hold in advance, in time rather than in tasks.
//!
//! A unit of a worker takes [`PIPE_US`] of calls. A call is charged what its class has been seen to take, at least
//! 1/64 of that and at most all of it: so up to 64 short calls share a unit, a long one has it alone, and both
//! may mix on one worker. A class not seen yet is charged half.

use rustc_hash::FxHashMap;

/// Work in the pipe of one unit (µs).
pub(super) const PIPE_US: u32 = 2048;
/// Calls in the pipe of one unit at the most.
const DEEPEST: u32 = 64;
/// A program that takes longer is not sent ahead (µs).
const SHORT_PROGRAM_US: f32 = 5000.0;
/// No call is charged less (µs).
pub(super) const CHEAPEST_CALL: u32 = PIPE_US / DEEPEST;

/// Mean durations (µs) per class of calls and of programs.
#[derive(Debug, Default)]
pub(super) struct Durations {
    mean_us: FxHashMap<u64, f32>,
}

impl Durations {
    /// What a call of this class is charged: between `PIPE_US / 64` and `PIPE_US`.
    pub fn charge(&self, class: u64) -> u16 {
        let us = self.mean_us.get(&class).map_or(PIPE_US as f32 / 2.0, |mean| *mean);
        us.clamp(CHEAPEST_CALL as f32, PIPE_US as f32) as u16
    }

    /// Is a program of this class known to be over in a moment? Then one is worth sending ahead, so that no core
    /// idles while word of the end before travels.
    pub fn is_short(&self, class: u64) -> bool {
        self.mean_us.get(&class).is_some_and(|mean| *mean < SHORT_PROGRAM_US)
    }

    /// A task of this class took so long. The mean forgets: an eighth of it is the latest.
    pub fn learn(&mut self, class: u64, elapsed_us: u64) {
        let latest = elapsed_us as f32;
        self.mean_us.entry(class).and_modify(|mean| *mean += (latest - *mean) / 8.0).or_insert(latest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_follows_what_was_seen() {
        let mut durations = Durations::default();
        let credit = |durations: &Durations| PIPE_US / u32::from(durations.charge(7));
        assert_eq!(credit(&durations), 2, "before anything is known");
        durations.learn(7, 1);
        assert_eq!(credit(&durations), 64, "very short calls");
        durations.learn(7, 1_000_000);
        assert_eq!(credit(&durations), 1, "one long call among short ones closes the pipe");
        assert!(!durations.is_short(8), "nothing is known of it");
        durations.learn(8, 1000);
        assert!(durations.is_short(8));
        durations.learn(8, 1_000_000);
        assert!(!durations.is_short(8));
        (0..200).for_each(|_| durations.learn(7, 200));
        assert_eq!(credit(&durations), 10, "2 ms of calls of 0.2 ms");
    }
}
