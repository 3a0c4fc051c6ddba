//! Which samples a histogram counts together.

use super::summary::sorted;
use crate::model::quantile;

/// One bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// From here on.
    pub from: f64,
    /// Up to here, which is part of the next one; of the last one it is not.
    pub to: f64,
    /// So many samples.
    pub count: usize,
}

/// Bins of one width from the least to the largest of `values` (finite, in any order), at most `most`. Their width is
/// that of Freedman & Diaconis, twice the interquartile range over the cube root of n (\[FD81\]): it adapts to the spread
/// of the middle and not to outliers. Where the middle half has no spread at all their number is Sturges's, log₂ n + 1.
pub fn bins(values: &[f64], most: usize) -> Vec<Bin> {
    let sorted = sorted(values);
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let (n, range) = (sorted.len() as f64, max - min);
    if range <= 0.0 {
        return vec![Bin { from: min, to: max, count: sorted.len() }];
    }
    let width = 2.0 * (quantile(&sorted, 0.75) - quantile(&sorted, 0.25)) / n.cbrt();
    let wanted = if width > 0.0 { (range / width).ceil() } else { n.log2().ceil() + 1.0 };
    let number = wanted.clamp(1.0, most.max(1) as f64);
    let edge = |at: usize| min + range * at as f64 / number;
    let number = number as usize;
    let mut bins: Vec<Bin> =
        (0..number).map(|at| Bin { from: edge(at), to: edge(at + 1), count: 0 }).collect();
    for value in sorted {
        let at = bins.partition_point(|bin| bin.to <= value).min(number - 1);
        bins[at].count += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: &[f64], most: usize) -> Vec<usize> {
        bins(values, most).iter().map(|bin| bin.count).collect()
    }

    #[test]
    fn every_sample_is_in_one_bin() {
        // n = 8, quartiles 2.75 and 6.25: width 2 * 3.5 / 2 = 3.5, two bins for a range of 7.
        assert_eq!(counts(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 20), [4, 4]);
        let found = bins(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 20);
        assert_eq!((found[0].from, found[0].to, found[1].to), (1.0, 4.5, 8.0));
        let many: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(counts(&many, 20).iter().sum::<usize>(), 1000);
        assert!((10..=11).contains(&counts(&many, 20).len()), "999 over 99.9, give or take what is rounded");
    }

    #[test]
    fn outliers_do_not_make_more_than_there_is_room_for() {
        let mut values = vec![1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6];
        values.push(1e6);
        let counts = counts(&values, 12);
        assert_eq!((counts.len(), counts[0], counts[11]), (12, 7, 1));
    }

    #[test]
    fn without_spread_there_is_one_and_without_spread_in_the_middle_there_are_sturges() {
        assert_eq!(counts(&[2.0; 5], 20), [5]);
        assert_eq!(counts(&[], 20), [0; 0]);
        assert_eq!(counts(&[1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0], 20), [1, 0, 6, 1]);
    }
}
