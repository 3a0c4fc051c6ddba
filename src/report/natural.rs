//! The order in which people look for names: numbers in them by their size.

use std::cmp::Ordering;

/// `tile=8` before `tile=16`.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while let (Some((one, after_a)), Some((other, after_b))) = (part(a), part(b)) {
        let order = match (one.parse::<f64>(), other.parse::<f64>()) {
            (Ok(x), Ok(y)) if is_number(one) && is_number(other) => {
                x.total_cmp(&y).then_with(|| one.cmp(other))
            }
            _ => one.cmp(other),
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (after_a, after_b);
    }
    a.len().cmp(&b.len())
}

fn is_number(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_digit())
}

/// The digits, or what is none, at the beginning; and the rest.
fn part(text: &str) -> Option<(&str, &str)> {
    let is_digit = text.chars().next()?.is_ascii_digit();
    let other = |c: char| if is_digit { !(c.is_ascii_digit() || c == '.') } else { c.is_ascii_digit() };
    Some(text.split_at(text.find(other).unwrap_or(text.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let mut names =
            ["gemm tile=16", "gemm tile=8 n=2", "a", "gemm tile=8", "gemm tile=0.5", "b10", "b9", ""];
        names.sort_by(|a, b| natural(a, b));
        let sorted =
            ["", "a", "b9", "b10", "gemm tile=0.5", "gemm tile=8", "gemm tile=8 n=2", "gemm tile=16"];
        assert_eq!(names, sorted);
        assert_eq!(natural("1.2.3", "1.2.3"), Ordering::Equal);
        assert_eq!(natural("x01", "x1"), Ordering::Less, "an order, whatever they are");
    }
}
