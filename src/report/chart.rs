//! Samples as text: a histogram, and the runs in their order. Characters alone, so that it reads the same in a file, on a
//! terminal and without colours. Pure.

use crate::model::median;
use crate::model::units::Unit;
use crate::stats::bins;

/// A histogram has at most so many bars.
const MOST_BARS: usize = 16;
/// Of so many characters is the longest bar.
const BAR_CHARS: usize = 40;
/// More runs than this share characters.
const STRIP_CHARS: usize = 64;
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A line for each bar: where it begins and ends, the bar, how many samples.
pub(super) fn histogram(values: &[f64], unit: &Unit) -> Vec<String> {
    let bars = bins(values, MOST_BARS);
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(1).max(1);
    let edges: Vec<[String; 2]> =
        bars.iter().map(|bar| [unit.digits(bar.from), unit.digits(bar.to)]).collect();
    let chars = edges.iter().flatten().map(|edge| edge.chars().count()).max().unwrap_or(0);
    let counts = most.to_string().len();
    let line = |(bar, [from, to]): (&crate::stats::Bin, &[String; 2])| {
        let length = self::bar(bar.count, most);
        format!("{from:>chars$} … {to:>chars$} {:>counts$} {length}", bar.count).trim_end().to_string()
    };
    bars.iter().zip(&edges).map(line).collect()
}

/// As long as `count` is of `most`, to an eighth of a character; what is not nothing is seen.
fn bar(count: usize, most: usize) -> String {
    let eighths = (count * BAR_CHARS * 8).div_ceil(most);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend((eighths % 8).checked_sub(1).map(|part| EIGHTHS[part]));
    bar
}

/// A character for each run in order, higher for a larger figure; of very many runs one for the median of several.
pub(super) fn strip(values: &[f64], within: (f64, f64)) -> String {
    let together = values.len().div_ceil(STRIP_CHARS).max(1);
    let (low, high) = within;
    let level = |figure: f64| {
        let part = if high > low { (figure - low) / (high - low) } else { 0.5 };
        LEVELS[((part * 8.0) as usize).min(7)]
    };
    values.chunks(together).filter_map(median).map(level).collect()
}

/// How many runs share a character of [`strip`].
pub(super) fn together(values: &[f64]) -> usize {
    values.len().div_ceil(STRIP_CHARS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_they_are_many() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let lines = histogram(&values, &Unit::of_time(1.0));
        let full = "█".repeat(BAR_CHARS);
        assert_eq!(lines, [format!("1.000 … 4.500 4 {full}"), format!("4.500 … 8.000 4 {full}")]);
        assert_eq!(bar(1, 2), "█".repeat(BAR_CHARS / 2));
        assert_eq!(bar(0, 2), "");
        assert_eq!(bar(1, 100_000), "▏", "what is there is seen");
        assert_eq!(bar(1, 8), "█████");
        assert_eq!(bar(9, 64), "█████▋");
        assert!(histogram(&[], &Unit::of_time(1.0)).is_empty());
    }

    #[test]
    fn a_strip_shows_the_order() {
        assert_eq!(strip(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], (0.0, 7.0)), "▁▂▃▄▅▆▇█");
        assert_eq!(strip(&[2.0, 2.0], (2.0, 2.0)), "▅▅");
        let many: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!((together(&many), strip(&many, (0.0, 999.0)).chars().count()), (16, 63));
        assert_eq!(strip(&[], (0.0, 0.0)), "");
        assert_eq!(strip(&[9.0], (0.0, 3.0)), "█", "a warm-up may lie outside");
        assert_eq!(strip(&[-9.0], (0.0, 3.0)), "▁");
    }
}
