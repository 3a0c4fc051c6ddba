//! A series in time as levels that hold for a while: where it stepped from one to the next.
//!
//! The levels are the medians of the pieces, which a single bad session does not move; how many pieces there are
//! an information criterion decides, as in airspeed velocity (\[ASV\] `step_detect`: the logarithm of the L1 misfit, and a
//! multiple of ln n / n for each piece), here over all partitions (\[F08\]) rather than those on one path. Scatter below a
//! resolution is taken for none, so that a series without noise is not cut into its figures. What it costs grows with the
//! cube of the length, so only the end of a very long series is looked at. Knows no dates and no units.

use crate::model::quantile;

/// What a piece costs, in ln n / n. Airspeed velocity takes 4, for hundreds of commits; of the few sessions that a journal
/// has, 2.5 finds four of five steps of five times the noise, and takes noise for one in at most 5 % of the series (the test below).
const PENALTY: f64 = 2.5;
/// A single session that is off is no level.
const SHORTEST: usize = 2;
/// Of a longer series its end is looked at: a hundredth of a second, where ten times as much would take ten.
pub const LONGEST: usize = 500;
/// Nobody reads of more.
const MOST_LEVELS: usize = 40;

/// Where each piece begins, in order. The first is 0, or of a longer series the place from which on [`LONGEST`] figures are left.
pub fn steps(series: &[f64], resolution: f64) -> Vec<usize> {
    let passed = series.len().saturating_sub(LONGEST);
    pieces(&series[passed..], resolution).into_iter().map(|begin| passed + begin).collect()
}

fn pieces(series: &[f64], resolution: f64) -> Vec<usize> {
    let n = series.len();
    if n < 2 * SHORTEST {
        return vec![0];
    }
    let misfits = misfits(series);
    let most = (n / SHORTEST).min(MOST_LEVELS);
    // What the best partition of the first so many into so many pieces costs, and where its last piece begins.
    let mut best = vec![vec![(f64::INFINITY, 0); n + 1]; most + 1];
    best[0][0].0 = 0.0;
    let mut chosen = (f64::INFINITY, 1);
    for pieces in 1..=most {
        for end in pieces * SHORTEST..=n {
            let begins = (pieces - 1) * SHORTEST..=end - SHORTEST;
            let cost = |from: usize| best[pieces - 1][from].0 + misfits[from][end - from];
            let last = begins.map(|from| (cost(from), from)).min_by(|a, b| a.0.total_cmp(&b.0));
            best[pieces][end] = last.unwrap_or((f64::INFINITY, 0));
        }
        let length = n as f64;
        let misfit = best[pieces][n].0 / length;
        let criterion = PENALTY * length.ln() / length * pieces as f64 + (misfit + resolution).ln();
        // Of equally good ones that with fewer pieces.
        if criterion < chosen.0 - 1e-9 {
            chosen = (criterion, pieces);
        }
    }
    let (mut begins, mut end) = (Vec::new(), n);
    for pieces in (1..=chosen.1).rev() {
        end = best[pieces][end].1;
        begins.push(end);
    }
    begins.reverse();
    begins
}

/// For each beginning and each length the sum of the distances from the median.
fn misfits(series: &[f64]) -> Vec<Vec<f64>> {
    let of_all_from = |from: usize| {
        let mut ascending: Vec<f64> = Vec::with_capacity(series.len() - from);
        let mut costs = vec![0.0];
        for figure in &series[from..] {
            let place = ascending.partition_point(|other| other < figure);
            ascending.insert(place, *figure);
            let level = quantile(&ascending, 0.5);
            costs.push(ascending.iter().map(|figure| (figure - level).abs()).sum());
        }
        costs
    };
    (0..series.len()).map(of_all_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    const RESOLUTION: f64 = 0.0025;

    #[test]
    fn a_series_without_noise_steps_where_it_does() {
        let series = [1.0, 1.0, 1.0, 1.08, 1.08, 1.08, 1.08, 1.02, 1.02];
        assert_eq!(steps(&series, RESOLUTION), [0, 3, 7]);
        assert_eq!(steps(&[1.0; 12], RESOLUTION), [0]);
        assert_eq!(steps(&[1.0, 1.0, 1.0, 1.0, 1.0, 2.0], RESOLUTION), [0], "one session is no level");
        assert_eq!(steps(&[1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0], RESOLUTION), [0, 5]);
        for short in [&[][..], &[1.0], &[1.0, 2.0], &[1.0, 2.0, 3.0]] {
            assert_eq!(steps(short, RESOLUTION), [0]);
        }
    }

    #[test]
    fn of_a_long_series_the_end_is_looked_at() {
        let mut random = Random(22);
        let mut series: Vec<f64> = (0..4 * LONGEST).map(|_| 0.01 * random.gauss()).collect();
        let n = series.len();
        series[n - 100..].iter_mut().for_each(|figure| *figure += 0.05);
        series[..LONGEST].iter_mut().for_each(|figure| *figure += 0.05);
        assert_eq!(steps(&series, RESOLUTION), [n - LONGEST, n - 100]);
    }

    #[test]
    fn noise_is_no_step_and_a_step_above_it_is_found() {
        const TRIALS: usize = 100;
        let mut random = Random(21);
        for n in [8, 12, 25] {
            let (mut false_ones, mut found) = (0, 0);
            for _ in 0..TRIALS {
                let mut series: Vec<f64> = (0..n).map(|_| 0.01 * random.gauss()).collect();
                false_ones += usize::from(steps(&series, RESOLUTION) != [0]);
                series[n - 3..].iter_mut().for_each(|figure| *figure += 0.05);
                found += usize::from(steps(&series, RESOLUTION) == [0, n - 3]);
            }
            assert!(false_ones <= TRIALS * 5 / 100, "{n}: {false_ones} of {TRIALS}");
            assert!(found >= TRIALS * 80 / 100, "{n}: {found} of {TRIALS}");
        }
    }
}
