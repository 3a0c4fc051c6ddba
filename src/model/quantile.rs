//! Quantiles and the median: the one definition of both, for texts and statistics alike.
//!
//! It stands here because what people read (`changes`) has medians, too. Figures in, a figure out; what a median is worth
//! is found in `stats`.

/// The `p`-quantile by linear interpolation of the order statistics, definition 7 of Hyndman & Fan (*Sample Quantiles in
/// Statistical Packages*, The American Statistician 50, 1996; the default of R and NumPy). `sorted` ascends and is not empty.
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

/// The median of `values` (finite, in any order): of an even number the middle between the two in the middle. None without
/// values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| quantile(&sorted, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_even_number_it_is_between_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.25), 1.75);
    }
}
