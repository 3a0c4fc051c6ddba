//! Has a series more than one mode? Hartigan's dip test: how far the empirical distribution is, at the least, from one
//! that rises ever faster up to some point and ever slower from there on.
//!
//! * \[HH85\] Hartigan & Hartigan, *The Dip Test of Unimodality*, The Annals of Statistics 13, 1985
//!
//! No assumption about the shape of the modes. It looks at sorted figures alone: when which of them came is the affair of
//! `drift` and `autocorrelated`.

/// Fewer samples say too little: of twenty a fifth has to be elsewhere.
const MIN_SAMPLES: usize = 20;

/// √n times the dip that 5 % of samples of n from the uniform distribution exceed, the unimodal one with the largest
/// dips. As Table 1 of \[HH85\], but from Maechler's simulations of 1,000,001 samples of each n: column 0.95 of `qDiptab`
/// in his R package `diptest`, which `diptest` of Python has too (the tests compare with that one). For n between two of
/// them on a straight line, as both do; above the last one the limit is as good as reached.
const CRITICAL: [(f64, f64); 13] = [
    (20.0, 0.470_157),
    (30.0, 0.482_921),
    (50.0, 0.496_911),
    (100.0, 0.511_279),
    (200.0, 0.521_022),
    (500.0, 0.530_607),
    (1000.0, 0.535_513),
    (2000.0, 0.538_360),
    (5000.0, 0.540_982),
    (10_000.0, 0.542_372),
    (20_000.0, 0.543_525),
    (40_000.0, 0.544_750),
    (72_000.0, 0.545_185),
];

/// Is one mode too few for these (ascending) to be likely (5 %)?
pub fn is_bimodal(sorted: &[f64]) -> bool {
    sorted.len() >= MIN_SAMPLES
        && spread(sorted).is_some_and(|values| {
            let n = values.len() as f64;
            n.sqrt() * dip(&values) > critical(n)
        })
}

pub(super) fn critical(n: f64) -> f64 {
    let after = CRITICAL.partition_point(|(size, _)| *size <= n).clamp(1, CRITICAL.len() - 1);
    let ((n0, q0), (n1, q1)) = (CRITICAL[after - 1], CRITICAL[after]);
    q0 + (q1 - q0) * ((n.min(n1) - n0) / (n1 - n0))
}

/// Equal figures were rounded: they stand for others, evenly spread over what rounds to them. Else the steps of a coarse
/// clock would be modes. None if all are equal.
fn spread(sorted: &[f64]) -> Option<Vec<f64>> {
    let gaps = sorted.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.0);
    let mut step = gaps.reduce(f64::min)?;
    let distinct: Vec<f64> = sorted.chunk_by(|a, b| a == b).map(|group| group[0]).collect();
    if distinct.len() == 2 {
        // What lies between the only two need not be a step.
        step = step.min(step_of(&distinct));
    }
    let groups = sorted.chunk_by(|a, b| a == b).flat_map(|group| {
        let n = group.len() as f64;
        group.iter().enumerate().map(move |(i, value)| value + step * ((i as f64 + 0.5) / n - 0.5))
    });
    Some(groups.collect())
}

/// The step of the clock of these two, as far as they tell: what lies between them if they are so many of it that the clock is a fine
/// one (pages, ticks), else a one in the last place that they are written with, 1 at the most.
fn step_of(two: &[f64]) -> f64 {
    const FINE: f64 = 20.0;
    const DIGITS: i32 = 15;
    let is_multiple = |value: &f64, step: f64| {
        let times = (value / step).abs();
        (times - times.round()).abs() <= 1e-9 * times
    };
    let all_are = |step: f64| two.iter().all(|value| is_multiple(value, step));
    let least = two.iter().map(|value| value.abs()).fold(f64::INFINITY, f64::min);
    let gap = (two[1] - two[0]).abs();
    if least >= FINE * gap && all_are(gap) {
        return gap;
    }
    let most = two.iter().map(|value| value.abs()).fold(0.0, f64::max);
    let first = most.log10().floor().min(0.0) as i32;
    let mut places = (0..DIGITS).map(|digits| 10f64.powi(first - digits));
    places.find(|place| all_are(*place)).unwrap_or(10f64.powi(first - DIGITS))
}

/// The dip of values that ascend: the search for the modal interval of \[HH85\], section 3.
///
/// In counts: below value i there are i others, up to it i + 1. Left of the modal interval a unimodal distribution must
/// stay above what it cannot be below, the greatest convex minorant of the former, right of it below the least concave
/// majorant of the latter; what they miss of the steps is twice the dip. The interval is narrowed to where the two are
/// furthest apart until they are no further apart than that.
pub fn dip(values: &[f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (mut low, mut high, mut missed) = (0, n - 1, 1.0f64);
    loop {
        let convex = Hull::of(values, low, high, 1.0);
        let concave = Hull::of(values, low, high, -1.0);
        let at_convex = convex.corners.iter().map(|&i| {
            let right = concave.corners[concave.corners.partition_point(|&j| j < i)];
            (concave.at(i) - convex.at(i), i, right)
        });
        let at_concave = concave.corners.iter().map(|&i| {
            let left = convex.corners[convex.corners.partition_point(|&j| j <= i) - 1];
            (concave.at(i) - convex.at(i), left, i)
        });
        let widest = at_convex.chain(at_concave).max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((distance, left, right)) = widest.filter(|(distance, ..)| *distance > missed) else { break };
        let before = (low..=left).map(|i| (i + 1) as f64 - convex.at(i));
        let behind = (right..=high).map(|i| concave.at(i) - i as f64);
        missed = before.chain(behind).fold(missed, f64::max);
        if (left, right) == (low, high) || distance <= missed {
            break;
        }
        (low, high) = (left, right);
    }
    missed / (2.0 * n as f64)
}

/// The convex minorant of the steps' feet, or the concave majorant of their heads.
struct Hull<'a> {
    values: &'a [f64],
    /// Where it touches them.
    corners: Vec<usize>,
    /// 0: feet, 1: heads.
    above: f64,
}

impl<'a> Hull<'a> {
    /// `sign` 1: convex, of the feet; −1: concave, of the heads.
    fn of(values: &'a [f64], low: usize, high: usize, sign: f64) -> Self {
        let mut corners: Vec<usize> = Vec::new();
        for i in low..=high {
            while let [.., a, b] = corners[..] {
                let turn =
                    (values[b] - values[a]) * (i - a) as f64 - (b - a) as f64 * (values[i] - values[a]);
                if sign * turn > 0.0 {
                    break;
                }
                corners.pop();
            }
            corners.push(i);
        }
        Self { values, corners, above: if sign > 0.0 { 0.0 } else { 1.0 } }
    }

    /// Its height over value `i`.
    fn at(&self, i: usize) -> f64 {
        let after = self.corners.partition_point(|&corner| corner < i);
        let b = self.corners[after];
        if b == i {
            return i as f64 + self.above;
        }
        let a = self.corners[after - 1];
        let part = (self.values[i] - self.values[a]) / (self.values[b] - self.values[a]);
        a as f64 + (b - a) as f64 * part + self.above
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::super::summary::sorted;
    use super::*;

    #[test]
    fn two_values_are_two_modes_unless_they_are_neighbours_on_a_clock() {
        let of = |low: f64, high: f64, share: usize| {
            let values: Vec<f64> = (0..100).map(|n| if n < share { low } else { high }).collect();
            is_bimodal(&values)
        };
        for (low, high) in [
            (1.0, 1.2),
            (1.0, 100.0),
            (2e6, 4e6),
            (0.0, 100.0),
            (0.001_25, 0.001_5),
            (1e-7, 4e-7),
            (-3.0, 1.0),
        ] {
            assert!(of(low, high, 44) && of(low, high, 60), "{low} and {high}");
            assert!(!of(low, high, 1), "{low} and {high}: one outlier is no mode");
        }
        let pages = |pages: u32| f64::from(pages * 4096);
        for (low, high) in
            [(0.10, 0.11), (7.0, 8.0), (0.003, 0.004), (1e-7, 2e-7), (0.1, 0.104), (pages(300), pages(301))]
        {
            assert!(!of(low, high, 50), "{low} and {high}");
        }
    }

    #[test]
    fn the_dip_of_steps_is_known() {
        // All that n values evenly spread miss is half a step; two heaps of two miss all of the gap between them.
        let even: Vec<f64> = (0..50).map(f64::from).collect();
        assert!((dip(&even) - 0.01).abs() < 1e-15);
        assert!((dip(&[0.0, 0.001, 1.0, 1.001]) - 0.25).abs() < 1e-3);
        assert_eq!((dip(&[]), dip(&[5.0])), (0.0, 0.5));
    }

    fn share(n: usize, draw: impl Fn(&mut Random) -> f64) -> f64 {
        let mut random = Random(3);
        let found =
            (0..400).filter(|_| is_bimodal(&sorted(&(0..n).map(|_| draw(&mut random)).collect::<Vec<_>>())));
        found.count() as f64 / 400.0
    }

    #[test]
    fn one_mode_is_rarely_taken_for_two_and_two_are_seen() {
        for n in [20, 37, 100] {
            let of_uniform = share(n, Random::uniform);
            assert!(
                (0.02..=0.08).contains(&of_uniform),
                "n = {n}: {of_uniform}, and it should be about 0.05"
            );
            let of_tail = share(n, |r| 1.0 + 0.02 * (0.8 * r.gauss()).exp());
            assert!(of_tail <= 0.02, "n = {n}: {of_tail} of log-normal samples");
            let of_two = share(n, |r| if r.uniform() < 0.6 { 1.0 } else { 1.2 } + 0.01 * r.gauss());
            assert!(of_two >= 0.9, "n = {n}: {of_two} of two modes");
        }
    }

    #[test]
    fn a_coarse_clock_makes_no_modes_and_few_samples_say_nothing() {
        let coarse = share(60, |r| (10.0 + 2.0 * r.gauss()).round());
        assert!(coarse <= 0.02, "{coarse}");
        let two = share(60, |r| if r.uniform() < 0.5 { 10.0 } else { 20.0 } + r.gauss().round());
        assert!(two >= 0.95, "{two}");
        assert!(!is_bimodal(&[2.0; 40]));
        let apart: Vec<f64> = (0..19).map(|i| f64::from(i) * 1e-3 + if i < 10 { 0.0 } else { 1.0 }).collect();
        assert!(!is_bimodal(&apart), "nineteen");
        let apart: Vec<f64> = (0..20).map(|i| f64::from(i) * 1e-3 + if i < 10 { 0.0 } else { 1.0 }).collect();
        assert!(is_bimodal(&apart));
    }
}
