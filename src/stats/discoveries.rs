//! Many questions at once: which of their answers to believe.
//!
//! Of a hundred rows in which nothing happened five look as if something had, each taken for itself. Of what is told by
//! these figures 5 % are wrong on the average, if the rows are independent (\[BH95\]) or if their p depend on each other
//! positively in the sense of PRDS (\[BY01\] Thm 1.2). Rows of a session share its day and its node, which move all of them
//! alike; but the p of the gate are two-sided, for which PRDS is not proven. What is proven whatever the dependence is 5 %
//! times 1 + 1/2 + … + 1/rows (\[BY01\] Thm 1.3); that it stays at 5 % for two-sided p of rows that move together is what
//! simulations find (\[RB07\], and the test below).

/// For each p of a row the least share of wrong ones among all that would have to be believed with it (Benjamini &
/// Hochberg's adjusted p).
pub fn adjusted(chances: &[f64]) -> Vec<f64> {
    let rows = chances.len();
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by(|a, b| chances[*b].total_cmp(&chances[*a]));
    let mut adjusted = vec![1.0; rows];
    let mut least = 1.0f64;
    for (passed, row) in order.into_iter().enumerate() {
        least = least.min(chances[row] * rows as f64 / (rows - passed) as f64);
        adjusted[row] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    #[test]
    fn one_row_keeps_its_chance_and_many_have_to_be_surer() {
        assert_eq!(adjusted(&[0.03]), [0.03]);
        assert_eq!(adjusted(&[0.03, 0.5]), [0.06, 0.5]);
        assert_eq!(adjusted(&[0.03, 0.04]), [0.04, 0.04], "they bear each other out");
        assert_eq!(adjusted(&[]), [0.0; 0]);
    }

    /// Two-sided p of figures that have a part of their scatter in common; of a quarter of the rows something is true.
    #[test]
    fn of_rows_that_move_together_no_more_than_5_per_cent_of_what_is_told_is_wrong() {
        const TRIALS: usize = 1000;
        const ROWS: usize = 20;
        const TRUE: usize = 5;
        let mut random = Random(17);
        for in_common in [0.0f64, 0.5, 0.99] {
            let mut share = 0.0;
            for _ in 0..TRIALS {
                let day = in_common.sqrt() * random.gauss();
                let mut p = |row: usize| {
                    let effect = if row < TRUE { 3.0 } else { 0.0 };
                    let z: f64 = effect + day + (1.0 - in_common).sqrt() * random.gauss();
                    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
                };
                let chances: Vec<f64> = (0..ROWS).map(&mut p).collect();
                let told: Vec<usize> = adjusted(&chances)
                    .iter()
                    .enumerate()
                    .filter(|(_, p)| **p <= 0.05)
                    .map(|(row, _)| row)
                    .collect();
                let wrong = told.iter().filter(|row| **row >= TRUE).count();
                share += wrong as f64 / told.len().max(1) as f64;
            }
            let share = share / TRIALS as f64;
            assert!(share <= 0.05, "{in_common}: {share}");
        }
    }
}
