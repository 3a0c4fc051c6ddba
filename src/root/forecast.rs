//! How long tasks take, by what the last tasks of the same kind and name took. The core decides by it what would not end in
//! time.
//!
//! Knows names; the core knows numbers. Filled from the journal before the campaign begins; from then on the core learns.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use crate::core::REMEMBERED;
use crate::model::Kind;

/// The last of each kind and name.
#[derive(Debug, Default)]
pub(super) struct Forecast {
    /// When, in the order of recording, and how long (µs).
    last: FxHashMap<u64, Vec<(u64, u64)>>,
}

impl Forecast {
    /// A task took so long; `at`: its place in the order of recording.
    pub(super) fn saw(&mut self, kind: Kind, name: Option<&str>, at: u64, elapsed_s: f64) {
        let Some(like) = like(kind, name) else { return };
        let last = self.last.entry(like).or_default();
        last.push((at, (elapsed_s * 1e6) as u64));
        if last.len() > REMEMBERED
            && let Some(first) = (0..last.len()).min_by_key(|number| last[*number])
        {
            last.swap_remove(first);
        }
    }

    /// What was seen, by number, in the order of recording.
    pub(super) fn seen(&self) -> Vec<(u64, u64)> {
        let each =
            self.last.iter().flat_map(|(like, last)| last.iter().map(move |(at, us)| (*at, *like, *us)));
        let mut seen: Vec<(u64, u64, u64)> = each.collect();
        seen.sort_unstable();
        seen.into_iter().map(|(_, like, us)| (like, us)).collect()
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
    fn the_last_of_a_kind_and_name_are_given_in_recorded_order() {
        let mut forecast = Forecast::default();
        // As they come: by their keys, which are hashes.
        let many = (0..2 * REMEMBERED as u64).map(|n| (n * 5) % 16);
        many.for_each(|at| forecast.saw(Kind::Measure, Some("a"), at, at as f64));
        forecast.saw(Kind::Exec, Some("a"), 3, 5.0);
        forecast.saw(Kind::Exec, None, 4, 7.0);
        let of = |kind| {
            let like = like(kind, Some("a")).unwrap();
            forecast.seen().into_iter().filter(move |(of, _)| *of == like).map(|(_, us)| us / 1_000_000)
        };
        assert_eq!(of(Kind::Measure).collect::<Vec<_>>(), (8..16).collect::<Vec<_>>());
        assert_eq!((of(Kind::Exec).collect::<Vec<_>>(), forecast.seen().len()), (vec![5], 1 + REMEMBERED));
    }
}
