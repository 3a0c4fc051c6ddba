//! What to know before believing a figure. Flags warn; they never remove a sample.

use super::dip::is_bimodal;
use super::summary::sorted;
use crate::model::quantile;

/// Fewer samples say nothing about order or outliers.
const MIN_SAMPLES: usize = 7;
/// Longer series are looked at through the medians of this many blocks: pairs grow with the square.
const MAX_BLOCKS: usize = 512;
/// Two-sided 5 % of the standard normal.
const Z: f64 = 1.96;

/// The counted samples of one measurement, in the order they were taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Series<'a> {
    /// The metric that is optimised, in its unit.
    pub objective: &'a [f64],
    /// Wall time, s; empty if unknown.
    pub wall_s: &'a [f64],
    /// User and system time together, s; empty if unknown (a gang).
    pub cpu_s: &'a [f64],
    /// Median wall time of a null command on the node, s.
    pub floor_s: Option<f64>,
    /// The precision asked for: less drift than this does not matter.
    pub epsilon: f64,
}

/// The flags of a series, in a fixed order:
///
/// * `drift`: the Theil–Sen slope moves the objective by more than `epsilon` over the run, and Kendall's test
///   does not take it for chance (Sen, JASA 63, 1968; Mann, Econometrica 13, 1945)
/// * `autocorrelated`: |r₁| > 1.96/√n (Box & Jenkins); the interval then claims too much
/// * `bimodal`: Hartigan's dip test does not take one mode for likely, from 20 samples on
/// * `outliers_mild:N`, `outliers_severe:N`: beyond 1.5 and 3 interquartile ranges (Tukey 1977)
/// * `unstable`: largest over smallest > 1.5; with 0 or both signs among them, further apart than half of the median
/// * `zero`: the median is 0, and none is less. As a time or an error it is the best of all, and nothing has a ratio to it
/// * `near_floor`: median wall time < 20 × that of a null command
/// * `off_cpu`: wall > 1.5 × (user + sys), summed over the run: not even one core was busy. How many threads a program has
///   nobody says, so of several that wait by turns it says nothing
pub fn flags(series: &Series<'_>) -> Vec<String> {
    let mut flags = Vec::new();
    let values = series.objective;
    if values.len() >= MIN_SAMPLES {
        let sorted = sorted(values);
        if drifts(values, quantile(&sorted, 0.5), series.epsilon) {
            flags.push("drift".into());
        }
        if lag_one(values).is_some_and(|r| r.abs() > Z / (values.len() as f64).sqrt()) {
            flags.push("autocorrelated".into());
        }
        if is_bimodal(&sorted) {
            flags.push("bimodal".into());
        }
        let (mild, severe) = outliers(&sorted);
        if mild > 0 {
            flags.push(format!("outliers_mild:{mild}"));
        }
        if severe > 0 {
            flags.push(format!("outliers_severe:{severe}"));
        }
    }
    let (min, max) = values.iter().fold((f64::MAX, f64::MIN), |(lo, hi), &x| (lo.min(x), hi.max(x)));
    let is_unstable = match (min, max) {
        _ if min > 0.0 => max / min > 1.5,
        _ if max < 0.0 => min / max > 1.5,
        _ => max - min > 0.5 * quantile(&sorted(values), 0.5).abs(),
    };
    if is_unstable {
        flags.push("unstable".into());
    }
    if min == 0.0 && quantile(&sorted(values), 0.5) == 0.0 {
        flags.push("zero".into());
    }
    if let (Some(floor), false) = (series.floor_s, series.wall_s.is_empty())
        && quantile(&sorted(series.wall_s), 0.5) < 20.0 * floor
    {
        flags.push("near_floor".into());
    }
    let cpu: f64 = series.cpu_s.iter().sum();
    let wall: f64 = series.wall_s.iter().sum();
    if !series.cpu_s.is_empty() && wall > 1.5 * cpu {
        flags.push("off_cpu".into());
    }
    flags
}

/// Size by Theil–Sen, significance by Kendall, both from the same pairs. Size alone would flag most short
/// noisy series, significance alone most long ones.
fn drifts(values: &[f64], median: f64, epsilon: f64) -> bool {
    let blocks: Vec<f64> =
        values.chunks(values.len().div_ceil(MAX_BLOCKS)).map(|block| quantile(&sorted(block), 0.5)).collect();
    let n = blocks.len() as f64;
    let (slope, concordance) = trend(&blocks);
    let moved = slope.abs() * (n - 1.0);
    let chance = Z * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    moved > epsilon * median.abs() && concordance.abs() as f64 > chance
}

/// Of at least two figures in their order: the median slope of all pairs (Theil–Sen), and how many pairs rise less how
/// many fall (Kendall's S).
pub(super) fn trend(figures: &[f64]) -> (f64, i64) {
    let n = figures.len();
    let (mut slopes, mut concordance) = (Vec::with_capacity(n * (n - 1) / 2), 0i64);
    for (i, a) in figures.iter().enumerate() {
        for (distance, b) in figures[i + 1..].iter().enumerate() {
            slopes.push((b - a) / (distance + 1) as f64);
            concordance += i64::from(b > a) - i64::from(b < a);
        }
    }
    (quantile(&sorted(&slopes), 0.5), concordance)
}

/// Correlation of each sample with the next; none if all are equal.
fn lag_one(values: &[f64]) -> Option<f64> {
    if values.windows(2).all(|pair| pair[0] == pair[1]) {
        return None; // what the mean's rounding leaves of a spread means nothing
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let spread: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    let shared: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    (spread > 0.0).then(|| shared / spread)
}

/// How many lie beyond the inner fences only, and how many beyond the outer ones.
fn outliers(sorted: &[f64]) -> (usize, usize) {
    let (q1, q3) = (quantile(sorted, 0.25), quantile(sorted, 0.75));
    let beyond = |k: f64| {
        let reach = k * (q3 - q1);
        sorted.iter().filter(|&&x| x < q1 - reach || x > q3 + reach).count()
    };
    let severe = beyond(3.0);
    (beyond(1.5) - severe, severe)
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn of(values: &[f64]) -> Vec<String> {
        flags(&Series { objective: values, epsilon: 0.02, ..Series::default() })
    }

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut random = Random(seed);
        (0..n).map(|_| 1.0 + 0.01 * random.gauss()).collect()
    }

    #[test]
    fn a_median_of_0_is_flagged() {
        assert_eq!(
            (of(&[0.0; 3]), of(&[0.0, 0.0, 1.0])),
            (vec!["zero".into()], vec!["unstable".into(), "zero".into()])
        );
        assert_eq!((of(&[]), of(&[1.0; 3])), (vec![], vec![]));
    }

    #[test]
    fn independent_noise_is_rarely_flagged() {
        let mut wrong = [0; 2];
        for seed in 0..200 {
            let found = of(&noise(30, seed));
            wrong[0] += usize::from(found.iter().any(|f| f == "drift"));
            wrong[1] += usize::from(found.iter().any(|f| f == "autocorrelated"));
        }
        // Each test alone is wrong in about 5 % of the cases; drift must be large besides.
        assert!(wrong[0] <= 10 && wrong[1] <= 20, "{wrong:?} of 200");
    }

    #[test]
    fn a_slope_is_drift_and_a_small_one_is_not() {
        let warming: Vec<f64> = noise(30, 1).iter().enumerate().map(|(i, x)| x + 0.002 * i as f64).collect();
        assert!(of(&warming).contains(&"drift".into()));
        let slight: Vec<f64> = (0..30).map(|i| 1.0 + 0.0003 * f64::from(i)).collect();
        assert!(!of(&slight).contains(&"drift".into()), "under the precision asked for");
        let long: Vec<f64> = noise(20_000, 2).iter().enumerate().map(|(i, x)| x + 5e-6 * i as f64).collect();
        assert!(of(&long).contains(&"drift".into()), "long series are looked at in blocks");
    }

    #[test]
    fn a_wave_is_autocorrelated() {
        let wave: Vec<f64> = (0..40).map(|i| 1.0 + 0.01 * (f64::from(i) / 4.0).sin()).collect();
        assert_eq!(of(&wave), ["autocorrelated"]);
        assert!(of(&[2.01; 14]).is_empty(), "a constant is nothing to worry about");
    }

    #[test]
    fn outliers_are_counted_by_their_distance() {
        // Quartiles 10.05 and 10.15: fences at 9.9 and 10.3, 9.75 and 10.45.
        let mut values: Vec<f64> = [10.0, 10.1, 10.2, 10.1].repeat(5);
        values.extend([10.4, 12.0]);
        let found = of(&values);
        assert!(found.contains(&"outliers_mild:1".into()), "{found:?}");
        assert!(found.contains(&"outliers_severe:1".into()), "{found:?}");
    }

    #[test]
    fn spread_floor_and_waiting() {
        assert_eq!(of(&[1.0, 1.6]), ["unstable"]);
        assert_eq!(of(&[-1.0, -1.6]), ["unstable"]);
        assert_eq!(of(&[0.0, 100.0]), ["unstable"]);
        assert_eq!(of(&[-1.0, 1.0]), ["unstable"]);
        assert_eq!(of(&[0.0, 0.0]), ["zero"]);
        assert_eq!(of(&[1.0, 1.5]), [""; 0]);
        let wall = [0.010, 0.011, 0.012];
        let mut series = Series { objective: &wall, wall_s: &wall, ..Series::default() };
        series.floor_s = Some(0.000_5);
        assert_eq!(flags(&series), [""; 0]);
        series.floor_s = Some(0.000_6);
        assert_eq!(flags(&series), ["near_floor"]);
        series.floor_s = None;
        series.cpu_s = &[0.008, 0.008, 0.008];
        assert_eq!(flags(&series), [""; 0]);
        series.cpu_s = &[0.007, 0.007, 0.007];
        assert_eq!(flags(&series), ["off_cpu"]);
    }
}
