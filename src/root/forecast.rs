//! How long tasks take, by what tasks of the same kind and name took. The core decides by it what would not end in time.
//!
//! Knows names; the core knows numbers. Filled from the journal before the campaign begins; from then on the core learns.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use crate::model::Kind;

/// The longest of each kind and name.
#[derive(Debug, Default)]
pub(super) struct Forecast {
    longest_us: FxHashMap<u64, u64>,
}

impl Forecast {
    /// A task took so long.
    pub(super) fn saw(&mut self, kind: Kind, name: Option<&str>, elapsed_s: f64) {
        let Some(like) = like(kind, name) else { return };
        let longest = self.longest_us.entry(like).or_default();
        *longest = (*longest).max((elapsed_s * 1e6) as u64);
    }

    /// What was seen, by number, in the order of the numbers.
    pub(super) fn seen(&self) -> Vec<(u64, u64)> {
        let mut seen: Vec<(u64, u64)> = self.longest_us.iter().map(|(like, us)| (*like, *us)).collect();
        seen.sort_unstable();
        seen
    }
}

/// The number of all tasks of this kind and name; none without a name.
pub(super) fn like(kind: Kind, name: Option<&str>) -> Option<u64> {
    let mut hasher = FxHasher::default();
    (kind.word(), name?).hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_a_kind_and_name_counts() {
        let mut forecast = Forecast::default();
        for (kind, name, elapsed) in [
            (Kind::Measure, Some("a"), 2.0),
            (Kind::Measure, Some("a"), 1.0),
            (Kind::Exec, Some("a"), 5.0),
            (Kind::Exec, None, 7.0),
        ] {
            forecast.saw(kind, name, elapsed);
        }
        let longest = |kind| {
            let like = like(kind, Some("a")).unwrap();
            forecast.seen().into_iter().find(|(of, _)| *of == like).map(|(_, us)| us)
        };
        let all = [longest(Kind::Measure), longest(Kind::Exec), longest(Kind::Compile)];
        assert_eq!((all, forecast.seen().len()), ([Some(2_000_000), Some(5_000_000), None], 2));
    }
}
