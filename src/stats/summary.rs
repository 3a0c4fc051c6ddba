//! Location, spread and the exact interval of the median; the rule that ends sampling.

use crate::model::{Interval, Summary, quantile};

/// The level an interval is reported at.
pub const LEVEL: f64 = 0.95;

/// The level its ranks are chosen for. Looking at the interval again and again until it is narrow enough
/// costs coverage: ranks for 95 % then hold the median in 93–94 % of the cases (the guarantee of \[CR65\] is
/// asymptotic). Ranks for 97 % hold it in more than 95 %: tests of the keeper (`trust_tests`) simulate whole measurements.
pub const RANK_LEVEL: f64 = 0.97;

/// Summarises `values` (finite, in any order). Without values everything is 0.
///
/// The interval is that of `median_interval`; quantiles are those of `quantile`. The deviation from the
/// median is unscaled: it estimates no standard deviation.
pub fn summary(values: &[f64]) -> Summary {
    let sorted = sorted(values);
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else { return Summary::default() };
    let n = sorted.len() as f64;
    let mean = sorted.iter().sum::<f64>() / n;
    let squares: f64 = sorted.iter().map(|x| (x - mean).powi(2)).sum();
    let median = quantile(&sorted, 0.5);
    let mut deviations: Vec<f64> = sorted.iter().map(|x| (x - median).abs()).collect();
    deviations.sort_by(f64::total_cmp);
    let ci = median_interval(&sorted);
    Summary {
        n: sorted.len() as u32,
        min,
        p05: quantile(&sorted, 0.05),
        q1: quantile(&sorted, 0.25),
        median,
        q3: quantile(&sorted, 0.75),
        p95: quantile(&sorted, 0.95),
        max,
        mean,
        sd: if sorted.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 },
        mad: quantile(&deviations, 0.5),
        rel_half_width: ci.and_then(|ci| relative_half_width(&ci, median)),
        ci,
    }
}

/// May sampling end: is the interval of the median within `epsilon` (relative) on both sides?
pub fn precise_enough(values: &[f64], epsilon: f64) -> bool {
    let sorted = sorted(values);
    median_interval(&sorted)
        .and_then(|ci| relative_half_width(&ci, quantile(&sorted, 0.5)))
        .is_some_and(|width| width <= epsilon)
}

/// The interval of the median between two order statistics (\[LB10\] Thm 2.1; \[HB15\] rule 5): no assumption
/// about the distribution, exact for independent samples. `sorted` ascends. None below 7 samples, where
/// even the extremes do not reach [`RANK_LEVEL`].
pub fn median_interval(sorted: &[f64]) -> Option<Interval> {
    let (low, high, exact_level) = ranks(sorted.len(), RANK_LEVEL)?;
    Some(Interval { lo: sorted[low - 1], hi: sorted[high - 1], level: LEVEL, exact_level })
}

/// The ranks (from 1) of the narrowest symmetric pair of order statistics among `n` that holds the median
/// with probability at least `level`, and the probability with which it does: the largest j with
/// B(j − 1) ≤ (1 − level) / 2, B the distribution function of Binomial(n, ½), and n + 1 − j.
pub fn ranks(n: usize, level: f64) -> Option<(usize, usize, f64)> {
    let tail = (1.0 - level) / 2.0;
    // Logarithms: 2⁻ⁿ itself is 0 from n = 1075 on.
    let mut ln_term = -(n as f64) * std::f64::consts::LN_2;
    let (mut below, mut low) = (0.0, 0);
    while low < n {
        let next = below + ln_term.exp();
        if next > tail {
            break;
        }
        below = next;
        low += 1;
        ln_term += ((n + 1 - low) as f64 / low as f64).ln();
    }
    (low >= 1).then(|| (low, n + 1 - low, 1.0 - 2.0 * below))
}

fn relative_half_width(ci: &Interval, median: f64) -> Option<f64> {
    let half = (median - ci.lo).max(ci.hi - median);
    if half == 0.0 {
        return Some(0.0);
    }
    (median != 0.0).then(|| half / median.abs())
}

/// Ascending.
pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_tables() {
        // [LB10] Table A.1 for 95 %.
        let table = [
            (6, 1, 6, 0.969),
            (8, 1, 8, 0.992),
            (9, 2, 8, 0.961),
            (10, 2, 9, 0.979),
            (12, 3, 10, 0.961),
            (15, 4, 12, 0.965),
            (20, 6, 15, 0.959),
            (30, 10, 21, 0.957),
        ];
        for (n, j, k, level) in table {
            let (low, high, exact) = ranks(n, 0.95).unwrap();
            assert_eq!((low, high), (j, k), "n = {n}");
            assert!((exact - level).abs() < 5e-4, "n = {n}: {exact}");
        }
        assert_eq!(ranks(5, 0.95), None);
        assert_eq!(ranks(0, 0.95), None);
    }

    #[test]
    fn the_exact_level_is_the_binomial_sum() {
        // 1 − 2·(1 + 10)/2¹⁰ for n = 10.
        let (_, _, exact) = ranks(10, RANK_LEVEL).unwrap();
        assert!((exact - (1.0 - 22.0 / 1024.0)).abs() < 1e-14, "{exact}");
        // Far beyond where 2⁻ⁿ underflows; the expected figures are from exact rational arithmetic.
        let (low, high, exact) = ranks(10_000, RANK_LEVEL).unwrap();
        assert_eq!((low, high), (4891, 5110));
        assert!((exact - 0.971_480_787_911).abs() < 1e-10, "{exact}");
    }

    #[test]
    fn no_interval_below_seven_samples() {
        for n in 0..7 {
            assert_eq!(median_interval(&vec![1.0; n]), None);
            assert_eq!(summary(&vec![1.0; n]).ci, None);
            assert!(!precise_enough(&vec![1.0; n], 1.0));
        }
        let ci = median_interval(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]).unwrap();
        assert_eq!((ci.lo, ci.hi, ci.level), (1.0, 7.0, 0.95));
        assert!((ci.exact_level - (1.0 - 2.0 / 128.0)).abs() < 1e-14);
    }

    #[test]
    fn figures_of_a_known_series() {
        // quantile(c(2,4,4,4,5,5,7,9), type = 7) and friends, as R gives them.
        let s = summary(&[9.0, 4.0, 2.0, 4.0, 5.0, 7.0, 4.0, 5.0]);
        assert_eq!((s.n, s.min, s.q1, s.median, s.q3, s.max), (8, 2.0, 4.0, 4.5, 5.5, 9.0));
        assert!((s.p05 - 2.7).abs() < 1e-12 && (s.p95 - 8.3).abs() < 1e-12, "{s:?}");
        assert_eq!((s.mean, s.mad), (5.0, 0.5));
        assert!((s.sd - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(s.ci.map(|ci| (ci.lo, ci.hi)), Some((2.0, 9.0)));
        assert_eq!(s.rel_half_width, Some(1.0));
        assert_eq!(summary(&[]), Summary::default());
        let one = summary(&[3.0]);
        assert_eq!((one.n, one.p05, one.median, one.sd, one.mad), (1, 3.0, 3.0, 0.0, 0.0));
    }

    #[test]
    fn precision_at_and_around_zero() {
        assert!(precise_enough(&[0.0; 10], 0.02), "a constant is as precise as it gets");
        assert!(!precise_enough(&[-1.0, -1.0, -1.0, -1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0], 0.02));
        assert!(precise_enough(&[-2.0; 10], 0.0), "the sign does not matter");
    }
}
