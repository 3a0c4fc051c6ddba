//! Many questions at once: which of their answers to believe.
//!
//! Of a hundred rows in which nothing happened five look as if something had, each taken for itself. What is told apart by
//! these figures is wrong in 5 % of what is *told*, on the average (\[BH95\]); it holds for questions that have nothing to do
//! with each other, and for such whose answers err together (\[BY01\] Thm 1.2), as those of one session do.

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

    #[test]
    fn one_row_keeps_its_chance_and_many_have_to_be_surer() {
        assert_eq!(adjusted(&[0.03]), [0.03]);
        assert_eq!(adjusted(&[0.03, 0.5]), [0.06, 0.5]);
        assert_eq!(adjusted(&[0.03, 0.04]), [0.04, 0.04], "they bear each other out");
        assert_eq!(adjusted(&[]), [0.0; 0]);
    }
}
