//! One session beside earlier ones of the same program: did it change?
//!
//! Runs of one session have node, day and build in common. So a session that differs has to differ from *every* earlier
//! one, in the same direction (an intersection–union test, \[B82\]: the largest p counts), and from three earlier ones on it
//! has to lie outside of what sessions do among each other as well: of what varies at the highest level there are as many
//! samples as sessions (\[KJ13\]). Spread is not borrowed from other rows of a campaign: they share the day, and err together.
//! Knows logarithms, no units and no names.

use super::ranksum::{chance_of_unlike, shift};
use super::summary::sorted;
use crate::model::quantile;

/// Fewer runs have no interval.
pub const FEWEST_RUNS: usize = 7;
/// From so many sessions on it is known what sessions do among each other.
pub const FEWEST_SESSIONS: usize = 3;

/// What became of a figure. All are differences of logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The new median less the median of the earlier ones.
    pub by: f64,
    /// Least of what the intervals of the differences from each earlier session hold.
    pub lo: f64,
    /// Most of it.
    pub hi: f64,
    /// The chance of this where nothing changed.
    pub p: f64,
}

/// How the session `new` differs from the `earlier` ones, in logarithms of figures. None without earlier ones, and where a
/// session has fewer than [`FEWEST_RUNS`] runs.
pub fn change(earlier: &[&[f64]], new: &[f64]) -> Option<Change> {
    let is_short = |session: &[f64]| session.len() < FEWEST_RUNS;
    if earlier.is_empty() || is_short(new) || earlier.iter().any(|session| is_short(session)) {
        return None;
    }
    let new = sorted(new);
    let earlier: Vec<Vec<f64>> = earlier.iter().map(|session| sorted(session)).collect();
    let shifts: Vec<_> = earlier.iter().map(|session| shift(session, &new)).collect::<Option<_>>()?;
    let middle = |ascending: &[f64]| quantile(ascending, 0.5);
    let medians: Vec<f64> = earlier.iter().map(|session| middle(session)).collect();
    let by = middle(&new) - middle(&sorted(&medians));
    let agree = |sign: f64| shifts.iter().all(|shift| shift.by * sign > 0.0);
    let chances = shifts
        .iter()
        .map(|shift| shift.p)
        .chain(earlier.iter().map(|session| chance_of_unlike(session, &new)));
    let largest = chances.fold(0.0, f64::max);
    Some(Change {
        by,
        lo: shifts.iter().map(|shift| shift.lo).fold(by, f64::min),
        hi: shifts.iter().map(|shift| shift.hi).fold(by, f64::max),
        p: if agree(1.0) || agree(-1.0) { largest.max(among(&medians, middle(&new))) } else { 1.0 },
    })
}

/// The chance that one more session lies so far from the middle of these: Student's, of the difference from their mean.
/// Too few sessions refuse nothing.
fn among(medians: &[f64], new: f64) -> f64 {
    let sessions = medians.len() as f64;
    if medians.len() < FEWEST_SESSIONS {
        return 0.0;
    }
    let mean = medians.iter().sum::<f64>() / sessions;
    let variance = medians.iter().map(|median| (median - mean).powi(2)).sum::<f64>() / (sessions - 1.0);
    let distance = (new - mean).abs();
    if variance == 0.0 {
        return if distance == 0.0 { 1.0 } else { 0.0 };
    }
    student(distance / (variance * (1.0 + 1.0 / sessions)).sqrt(), medians.len() - 1)
}

/// The chance that Student's t with `freedom` degrees of freedom is at least `t` away from 0 (\[AS64\] 26.7.3 and 26.7.4).
pub(super) fn student(t: f64, freedom: usize) -> f64 {
    let angle = (t.abs() / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    // 1, cos²·1/2, cos⁴·(1·3)/(2·4), … for even degrees; cos, cos³·2/3, cos⁵·(2·4)/(3·5), … for odd ones.
    let is_odd = freedom % 2 == 1;
    let mut term = if is_odd { cosine } else { 1.0 };
    let mut sum = 0.0;
    for at in (if is_odd { 3 } else { 2 }..=freedom).step_by(2) {
        sum += term;
        term *= cosine * cosine * (at - 1) as f64 / at as f64;
    }
    let inside = if is_odd { (angle + sine * sum) * 2.0 / std::f64::consts::PI } else { sine * sum };
    (1.0 - inside).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    fn session(random: &mut Random, runs: usize, at: f64, cv: f64) -> Vec<f64> {
        (0..runs).map(|_| at + cv * random.gauss()).collect()
    }

    fn of(earlier: &[Vec<f64>], new: &[f64]) -> Option<Change> {
        change(&earlier.iter().map(Vec::as_slice).collect::<Vec<_>>(), new)
    }

    #[test]
    fn a_session_has_to_differ_from_every_earlier_one() {
        let mut random = Random(3);
        let mut session = |at| session(&mut random, 15, at, 0.01);
        let (low, high, new) = (session(0.0), session(0.1), session(0.1));
        assert!(of(std::slice::from_ref(&low), &new).unwrap().p < 1e-6);
        assert!(of(&[low.clone(), high], &new).unwrap().p > 0.05, "one of them was like it");
        let above = session(0.2);
        let between = of(&[low, above], &new).unwrap();
        assert_eq!(between.p, 1.0, "it lies between them");
        assert!(between.lo < -0.09 && between.hi > 0.09, "{between:?}");
    }

    #[test]
    fn from_three_sessions_on_it_lies_outside_of_what_sessions_do() {
        let mut random = Random(4);
        let mut session = |at| session(&mut random, 15, at, 0.001);
        let wide = [session(0.0), session(0.02), session(0.04)];
        let near = of(&wide, &session(0.06)).unwrap();
        assert!(near.p > 0.05 && near.lo > 0.01, "{near:?}");
        assert!(of(&wide, &session(0.4)).unwrap().p < 0.01);
        assert!(of(&wide[..2], &session(0.06)).unwrap().p < 1e-6, "of two that is not known");
        let same = [vec![1.0; 9], vec![1.0; 9], vec![1.0; 9]];
        assert_eq!(of(&same, &[1.0; 9]).unwrap().p, 1.0);
        assert!(of(&same, &[1.1; 9]).unwrap().p < 1e-3);
    }

    #[test]
    fn few_runs_have_no_interval() {
        assert_eq!(of(&[vec![1.0; 6]], &[1.0; 9]), None);
        assert_eq!(of(&[vec![1.0; 9], vec![1.0; 6]], &[1.0; 9]), None);
        assert_eq!(of(&[vec![1.0; 9]], &[1.0; 6]), None);
        assert_eq!(of(&[], &[1.0; 9]), None);
    }

    /// Many quiet runs before, few noisy ones now: that these scatter is no change of their middle.
    #[test]
    fn sessions_that_scatter_more_are_rarely_told_apart_for_that() {
        const TRIALS: usize = 2000;
        let mut random = Random(13);
        for (runs, cv) in [(100, 0.01), (10, 0.01)] {
            let told = (0..TRIALS).filter(|_| {
                let before = session(&mut random, runs, 0.0, cv);
                of(&[before], &session(&mut random, 10, 0.0, 0.08)).unwrap().p < 0.05
            });
            let told = told.count();
            assert!(told <= TRIALS * 7 / 100, "{runs} runs before: {told} of {TRIALS}");
        }
    }

    /// Sessions that differ by more than their runs do: what one sees in one pair of them is the day.
    #[test]
    fn sessions_that_scatter_are_rarely_told_apart_once_there_are_three() {
        const TRIALS: usize = 1000;
        let mut random = Random(9);
        for sessions in [3, 5, 10] {
            let mut draw = || {
                let at = 0.02 * random.gauss();
                session(&mut random, 10, at, 0.005)
            };
            let told = (0..TRIALS).filter(|_| {
                let earlier: Vec<Vec<f64>> = (0..sessions).map(|_| draw()).collect();
                of(&earlier, &draw()).unwrap().p < 0.05
            });
            let told = told.count();
            assert!(told <= TRIALS * 6 / 100, "{sessions} sessions: {told} of {TRIALS}");
        }
    }
}
