//! Cells in columns, within the width of a terminal: flags give way, then names, which tell one from another; figures stay whole. Pure.

use crate::model::human::{padded, shortened};

/// The column that is cut first, the last one, and what is left of it at least (characters).
const FLAGS: (usize, usize) = (7, 8);
/// The column that is cut then.
const NAME: (usize, usize) = (1, 16);
/// Columns of figures, which end at the same place.
const RIGHT: [usize; 2] = [2, 5];
const GAP: usize = 2;

/// Lines below `titles`, each ended by a newline.
pub(super) fn aligned(titles: &[&str; 8], lines: &[[String; 8]], width: Option<usize>) -> String {
    let titles = titles.map(str::to_string);
    let all = || std::iter::once(&titles).chain(lines);
    let longest = |column: usize| all().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let mut widths: [usize; 8] = std::array::from_fn(longest);
    // A column of which nobody has anything goes, its title with it.
    for (column, width) in widths.iter_mut().enumerate() {
        if lines.iter().all(|line| line[column].is_empty()) {
            *width = 0;
        }
    }
    if let Some(room) = width {
        for (column, least) in [FLAGS, NAME] {
            let wanted: usize = widths.iter().filter(|width| **width > 0).map(|width| width + GAP).sum();
            let over = wanted.saturating_sub(GAP + room);
            widths[column] = widths[column].saturating_sub(over).max(least.min(widths[column]));
        }
    }
    all().map(|line| one(line, &widths)).collect()
}

fn one(line: &[String; 8], widths: &[usize; 8]) -> String {
    let mut text = String::new();
    for (column, (cell, &width)) in line.iter().zip(widths).enumerate() {
        if width == 0 {
            continue;
        }
        let cell = cut(cell, width);
        text.push_str(&padded(&cell, width, RIGHT.contains(&column)));
        text.push_str(&" ".repeat(GAP));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width { cell.into() } else { shortened(cell, width.saturating_sub(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLES: [&str; 8] = ["key", "name", "median", "", "95 % CI", "n", "speed-up", "flags"];

    fn line(name: &str, flags: &str) -> [String; 8] {
        ["3f2a91c0", name, "12.49", "GFLOP/s", "[12.29, 12.61]", "20", "1.67x", flags].map(str::to_string)
    }

    #[test]
    fn flags_give_way_before_names() {
        let lines = [line("gemm compiler=gcc tile=64", "drift, unstable, bimodal, noisy_env:psi_cpu")];
        let text = aligned(&TITLES, &lines, Some(100));
        assert!(
            text.ends_with(
                "gemm compiler=gcc tile=64   12.49  GFLOP/s  [12.29, 12.61]  20  1.67x     drift, unstable…\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn names_give_way_and_figures_do_not() {
        let lines = [line("gemm compiler=gcc tile=64", "drift, unstable"), line("gemm tile=8", "")];
        let wide = "\
key       name                       median           95 % CI          n  speed-up  flags
3f2a91c0  gemm compiler=gcc tile=64   12.49  GFLOP/s  [12.29, 12.61]  20  1.67x     drift, unstable
3f2a91c0  gemm tile=8                 12.49  GFLOP/s  [12.29, 12.61]  20  1.67x
";
        assert_eq!(aligned(&TITLES, &lines, None), wide);
        assert_eq!(aligned(&TITLES, &lines, Some(200)), wide);
        let narrow = "\
key       name              median           95 % CI          n  speed-up  flags
3f2a91c0  gemm compiler=g…   12.49  GFLOP/s  [12.29, 12.61]  20  1.67x     drift, …
3f2a91c0  gemm tile=8        12.49  GFLOP/s  [12.29, 12.61]  20  1.67x
";
        assert_eq!(aligned(&TITLES, &lines, Some(80)), narrow);
        assert_eq!(aligned(&TITLES, &lines, Some(10)), narrow, "no figure is cut");
        let without = "\
key       name         median           95 % CI          n  speed-up
3f2a91c0  gemm tile=8   12.49  GFLOP/s  [12.29, 12.61]  20  1.67x
";
        assert_eq!(aligned(&TITLES, &lines[1..], None), without);
    }
}
