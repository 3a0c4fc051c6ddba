//! Two samples that have nothing to do with each other: does one lie above the other, and by how much?
//!
//! Mann & Whitney's test (\[MW47\]) counts the pairs in which the later figure is above the earlier one; Hodges & Lehmann's
//! shift (\[HL63\]) is the median of the differences of all pairs, and its interval holds the shifts that the test does not
//! refuse. Neither knows a distribution. Of small samples without ties the chances are exact, of others those of the
//! normal distribution, corrected for ties and continuity (\[L75\] 1.2 and 1.4). Both take the samples to scatter alike; where
//! one scatters more Brunner & Munzel's test (\[BM00\]) is to be asked too. Knows figures, no units and no names.

use super::sessions::student;
use super::summary::LEVEL;

/// Of samples no larger than this the chances are counted.
const COUNTED: usize = 50;
/// Two-sided 5 % of the standard normal.
const Z: f64 = 1.959_963_984_540_054;

/// How far one sample lies from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// The median difference.
    pub by: f64,
    /// Lower end of its interval ([`LEVEL`]).
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
    /// The chance of a difference like this, or a larger one in either direction, where there is none.
    pub p: f64,
}

/// By how much `after` lies above `before`; both ascend. None where no pair of differences would be an interval.
pub fn shift(before: &[f64], after: &[f64]) -> Option<Shift> {
    let (n, m) = (before.len(), after.len());
    let beyond = beyond(n, m)?;
    let pairs = n * m;
    Some(Shift {
        by: (difference(before, after, pairs.div_ceil(2)) + difference(before, after, pairs / 2 + 1)) / 2.0,
        lo: difference(before, after, beyond),
        hi: difference(before, after, pairs + 1 - beyond),
        p: chance(before, after),
    })
}

/// Mann & Whitney's two-sided p.
fn chance(before: &[f64], after: &[f64]) -> f64 {
    let (n, m) = (before.len() as f64, after.len() as f64);
    let (not_above, below) = (up_to(before, after, 0.0, true), up_to(before, after, 0.0, false));
    let tied = (not_above - below) as f64;
    let above = n * m - not_above as f64 + tied / 2.0;
    let above = above.max(n * m - above);
    let ties = ties(before, after);
    if ties == 0.0 && before.len().max(after.len()) <= COUNTED {
        let ways = ways(before.len(), after.len());
        let all: i128 = ways.iter().sum();
        // As many ways lead to U as to n·m − U.
        let least = (n * m - above) as usize;
        let beyond: i128 = ways[..=least].iter().sum();
        return (2.0 * beyond as f64 / all as f64).min(1.0);
    }
    let size = n + m;
    let variance = n * m / 12.0 * (size + 1.0 - ties / (size * (size - 1.0)));
    if variance <= 0.0 {
        return 1.0; // all figures are the same
    }
    let z = (above - n * m / 2.0 - 0.5).max(0.0) / variance.sqrt();
    libm::erfc(z / std::f64::consts::SQRT_2)
}

/// Brunner & Munzel's two-sided p: that of a pair being as likely in one order as in the other, however much either sample scatters.
/// 0 where no figure of one lies among those of the other: of that Mann & Whitney's says how likely it is.
pub fn chance_of_unlike(before: &[f64], after: &[f64]) -> f64 {
    // Of each figure: how many of the other sample lie below it, of equal ones half.
    let below = |of: &[f64], other: &[f64]| -> Vec<f64> {
        let place = |figure: &f64| {
            (other.partition_point(|x| x < figure) + other.partition_point(|x| x <= figure)) as f64 / 2.0
        };
        of.iter().map(place).collect()
    };
    let moments = |places: &[f64]| {
        let mean = places.iter().sum::<f64>() / places.len() as f64;
        let variance = places.iter().map(|place| (place - mean).powi(2)).sum::<f64>();
        (mean, variance / (places.len() as f64 - 1.0))
    };
    let (n, m) = (before.len() as f64, after.len() as f64);
    let (of_before, of_after) = (moments(&below(before, after)), moments(&below(after, before)));
    let (a, b) = (n * of_before.1, m * of_after.1);
    let apart = n * m * (of_after.0 / n - 0.5);
    if a + b == 0.0 {
        return if apart == 0.0 { 1.0 } else { 0.0 };
    }
    let freedom = (a + b).powi(2) / (a.powi(2) / (n - 1.0) + b.powi(2) / (m - 1.0));
    student(apart / (a + b).sqrt(), freedom.max(1.0) as usize)
}

/// Σ t³ − t over the groups of equal figures.
fn ties(before: &[f64], after: &[f64]) -> f64 {
    let mut all = [before, after].concat();
    all.sort_by(f64::total_cmp);
    all.chunk_by(|a, b| a == b).map(|group| (group.len() as f64).powi(3) - group.len() as f64).sum()
}

/// In how many ways samples of `n` and `m` without ties give each count of pairs: the coefficients of a Gaussian binomial.
fn ways(n: usize, m: usize) -> Vec<i128> {
    let mut ways = vec![0; n * m + 1];
    ways[0] = 1;
    for i in 1..=m {
        for u in (n + i..=n * m).rev() {
            ways[u] -= ways[u - n - i];
        }
        for u in i..=n * m {
            ways[u] += ways[u - i];
        }
    }
    ways
}

/// Which of the sorted differences, from either end (from 1), is the end of the interval.
fn beyond(n: usize, m: usize) -> Option<usize> {
    let tail = (1.0 - LEVEL) / 2.0;
    let rank = if n.max(m) <= COUNTED {
        let ways = ways(n, m);
        let all: i128 = ways.iter().sum();
        let mut below = 0;
        let of_tail = |ways: &&i128| {
            below += **ways;
            below as f64 <= tail * all as f64
        };
        ways.iter().take_while(of_tail).count()
    } else {
        let (n, m) = (n as f64, m as f64);
        (n * m / 2.0 - Z * (n * m * (n + m + 1.0) / 12.0).sqrt()).max(0.0) as usize
    };
    (rank > 0).then_some(rank)
}

/// The `rank`-th smallest (from 1) of all differences, without writing them down: the least figure that so many pairs do
/// not exceed, found by halving.
fn difference(before: &[f64], after: &[f64], rank: usize) -> f64 {
    let ends = |list: &[f64]| list.first().copied().zip(list.last().copied()).unwrap_or_default();
    let ((least, most), (from, to)) = (ends(before), ends(after));
    let (mut lo, mut hi) = (ordinal(from - most), ordinal(to - least));
    while lo < hi {
        let middle = lo + ((hi - lo) >> 1);
        if up_to(before, after, of_ordinal(middle), true) >= rank {
            hi = middle;
        } else {
            lo = middle + 1;
        }
    }
    of_ordinal(lo) + 0.0 // no −0
}

/// How many pairs differ by less than `limit`, or `with` those that differ by just that.
fn up_to(before: &[f64], after: &[f64], limit: f64, with: bool) -> usize {
    let counts = |difference: f64| if with { difference <= limit } else { difference < limit };
    // The earlier figure from which on a pair counts rises with the later one.
    let (mut from, mut pairs) = (0, 0);
    for later in after {
        while before.get(from).is_some_and(|earlier| !counts(later - earlier)) {
            from += 1;
        }
        pairs += before.len() - from;
    }
    pairs
}

/// Figures numbered in their order.
fn ordinal(figure: f64) -> i128 {
    let bits = i128::from(figure.to_bits() & !(1 << 63));
    if figure.is_sign_negative() { -bits } else { bits }
}

fn of_ordinal(ordinal: i128) -> f64 {
    let figure = f64::from_bits(ordinal.unsigned_abs() as u64);
    if ordinal < 0 { -figure } else { figure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;
    use crate::stats::summary::sorted;

    #[test]
    fn chances_are_those_of_the_tables() {
        // Mann & Whitney 1947, table I: samples of 3 and 4, no pair.
        assert_eq!(ways(3, 4)[..4], [1, 1, 2, 3]);
        assert_eq!(ways(3, 4).iter().sum::<i128>(), 35);
        assert_eq!(ways(50, 50).iter().sum::<i128>(), 100_891_344_545_564_193_334_812_497_256);
        // The usual tables refuse at 5 % up to 23 pairs of 10 and 10, 8 of 7 and 7, 2 of 5 and 5.
        assert_eq!([beyond(10, 10), beyond(7, 7), beyond(5, 5)], [Some(24), Some(9), Some(3)]);
        assert_eq!([beyond(3, 3), beyond(0, 9)], [None, None]);
    }

    #[test]
    fn differences_are_found_without_being_written_down() {
        let mut random = Random(5);
        for (n, m) in [(1, 1), (2, 3), (7, 9), (30, 20)] {
            let mut draw = |n: usize| {
                let figures: Vec<f64> = (0..n).map(|_| (4.0 * random.gauss()).round() / 4.0).collect();
                sorted(&figures)
            };
            let (before, after) = (draw(n), draw(m));
            let all: Vec<f64> = after.iter().flat_map(|a| before.iter().map(move |b| a - b)).collect();
            for (rank, expected) in sorted(&all).into_iter().enumerate() {
                assert_eq!(difference(&before, &after, rank + 1), expected, "{rank} of {n} and {m}");
            }
        }
    }

    #[test]
    fn equal_figures_are_no_difference() {
        let same = shift(&[2.0; 8], &[2.0; 9]).unwrap();
        assert_eq!(same, Shift { by: 0.0, lo: 0.0, hi: 0.0, p: 1.0 });
        assert_eq!(shift(&[], &[1.0]), None);
    }

    /// The example of the documentation of SciPy's `brunnermunzel`, whose p is 0.005786 with 17.68 degrees of freedom; here they are 17.
    #[test]
    fn unlike_samples_are_compared_as_others_do() {
        let before = sorted(&[1., 2., 1., 1., 1., 1., 1., 1., 1., 1., 2., 4., 1., 1.]);
        let after = sorted(&[3., 3., 4., 3., 1., 2., 3., 1., 1., 5., 4.]);
        let (p, other_way) = (chance_of_unlike(&before, &after), chance_of_unlike(&after, &before));
        assert!((0.005_786..0.0061).contains(&p) && (p - other_way).abs() < 1e-12, "{p} {other_way}");
        assert_eq!(chance_of_unlike(&[2.0; 8], &[2.0; 9]), 1.0);
        assert_eq!(chance_of_unlike(&[1.0; 8], &[2.0; 9]), 0.0);
    }

    /// Samples of one distribution, which is none that has a name: in 5 % of the cases something is seen, at the most.
    #[test]
    fn nothing_is_rarely_taken_for_something_and_the_interval_holds() {
        const TRIALS: usize = 2000;
        let mut random = Random(11);
        for (n, m) in [(7, 7), (10, 15), (55, 60)] {
            let mut draw = |n: usize, by: f64| {
                let figures: Vec<f64> = (0..n).map(|_| by + (0.05 * random.gauss()).exp()).collect();
                sorted(&figures)
            };
            let found: Vec<Shift> =
                (0..TRIALS).filter_map(|_| shift(&draw(n, 0.0), &draw(m, 0.01))).collect();
            let held = found.iter().filter(|shift| shift.lo <= 0.01 && 0.01 <= shift.hi).count();
            let seen = (0..TRIALS).filter(|_| chance(&draw(n, 0.0), &draw(m, 0.0)) < 0.05).count();
            assert!(held >= TRIALS * 94 / 100, "{n} and {m}: {held} of {TRIALS} hold");
            assert!(seen <= TRIALS * 6 / 100, "{n} and {m}: {seen} of {TRIALS}");
        }
    }
}
