//! How much work a worker may hold in advance, in time rather than in tasks.
//!
//! A unit of a worker takes [`PIPE_US`] of calls. A call is charged what its class has been seen to take, but
//! [`CHEAPEST_CALL`] at least and half a pipe at most: so many short calls share a unit, two of those that take longer than
//! that (the second begins when the first ends, not a round trip later), and all may mix on one worker. One that takes
//! longer than [`LONG_CALL`], which its worker lets nothing wait behind, has its unit alone. A class not seen yet
//! is charged half.

use rustc_hash::FxHashMap;

use crate::model::{LONG_CALL, LONG_PROGRAM};

/// Work in the pipe of one unit (µs).
pub(super) const PIPE_US: u32 = 2048;
/// Programs that wait for one unit take at most about this (µs): more than word of those before them may wait for company.
const AHEAD_US: f32 = 20_000.0;
/// And are at most so many.
const MOST_AHEAD: f32 = 32.0;
/// No call is charged less (µs). Over MPI nothing wakes who waits for messages: until the next ones come, half of those may have ended
/// that do nothing and are as many as fit.
pub(super) const CHEAPEST_CALL: u32 = 1;

/// Mean durations (µs) per class of calls and of programs.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations {
    mean_us: FxHashMap<u64, f32>,
}

impl Durations {
    /// What a call of this class is charged: between [`CHEAPEST_CALL`] and [`PIPE_US`].
    pub fn charge(&self, class: u64) -> u16 {
        let half = PIPE_US as f32 / 2.0;
        let us = self.mean_us.get(&class).map_or(half, |mean| *mean);
        let is_long = us >= LONG_CALL.as_micros() as f32;
        if is_long { PIPE_US as u16 } else { us.clamp(CHEAPEST_CALL as f32, half) as u16 }
    }

    /// How many programs of this class may wait for each unit of a worker: [`AHEAD_US`] of them, none of a class
    /// not seen yet, or behind whose programs they would not be left. So no core idles while word of an end travels, and none waits
    /// long behind another.
    pub fn ahead(&self, class: u64) -> u16 {
        match self.mean_us.get(&class) {
            Some(mean) if *mean < LONG_PROGRAM.as_micros() as f32 => {
                (AHEAD_US / mean.max(1.0)).min(MOST_AHEAD) as u16
            }
            _ => 0,
        }
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
        assert_eq!(credit(&durations), PIPE_US, "very short calls");
        durations.learn(7, 1_000_000);
        assert_eq!(credit(&durations), 1, "one long call among short ones closes the pipe");
        durations.learn(9, 15_000);
        assert_eq!(PIPE_US / u32::from(durations.charge(9)), 2, "the next one is there when it ends");
        durations.learn(9, 60_001);
        assert_eq!(PIPE_US / u32::from(durations.charge(9)), 1, "20.6 ms: its worker would give it back");
        assert_eq!(durations.ahead(8), 0, "nothing is known of it");
        durations.learn(8, 1000);
        assert_eq!(durations.ahead(8), 20);
        durations.learn(6, 1);
        assert_eq!(durations.ahead(6), 32);
        durations.learn(5, 7000);
        durations.learn(4, 8000);
        assert_eq!((durations.ahead(5), durations.ahead(4)), (2, 0), "behind 8 ms none would be left");
        durations.learn(8, 1_000_000);
        assert_eq!(durations.ahead(8), 0);
        (0..200).for_each(|_| durations.learn(7, 200));
        assert_eq!(credit(&durations), 10, "2 ms of calls of 0.2 ms");
    }
}
