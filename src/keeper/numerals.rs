//! Numbers as programs print them: of which whole number is it that a pattern reads a part?
//!
//! `1.2` of `1.2e+03` would be a figure a thousand times off. What the whole is follows from what stands beside the part, in the
//! notations of C, Fortran and people; that the author names what stands there, as in `(%d+):`, says that a part is meant. Knows
//! texts and patterns, nothing of metrics.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;

/// So far on either side of a part its whole is looked for (B).
const REACH: usize = 64;
/// What to do where no pattern reads the whole.
const NO_PATTERN: &str = "a function (`fn`) reads it; if these are several numbers, say what stands between them, as in `([%d.]+),`";

/// How numbers are written.
struct Notation {
    shape: Regex,
    /// It is something else if this byte stands before it, or this text behind it.
    is_no_beginning: fn(u8) -> bool,
    is_no_end: fn(&[u8]) -> bool,
    /// What reads all of it.
    advice: &'static str,
}

static NOTATIONS: LazyLock<Vec<Notation>> = LazyLock::new(|| {
    let all = [
        Notation::of(
            r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?",
            any,
            all_ends,
            "`[-+%d.eE]+` reads all of it",
        ),
        Notation::of(r"[-+]?[0-9]*\.?[0-9]*[dD][-+]?[0-9]+", any, all_ends, "`[-+%d.eEdD]+` reads all of it"),
        // Fortran's, without the letter where the exponent has three digits.
        Notation::of(
            r"[-+]?[0-9]*\.[0-9]*[-+][0-9]{3}",
            any,
            is_fraction_or_digit,
            "`[-+%d.]+` reads all of it",
        ),
        // Thousands.
        Notation::of(r"[0-9]{1,3}([,_'][0-9]{3})+(\.[0-9]+)?", is_of_number, is_list, NO_PATTERN),
        Notation::of(r"[0-9]{1,3}(\.[0-9]{3})+,[0-9]+", is_of_number, is_list, NO_PATTERN),
        // With a comma for a point.
        Notation::of(r"[0-9]+,[0-9]+", is_of_number, is_list_or_fraction, NO_PATTERN),
        // Hours, minutes, seconds.
        Notation::of(r"[0-9]+(:[0-9]{2})+\.[0-9]+|[0-9]+(:[0-9]{2}){2,}", is_of_number, is_list, NO_PATTERN),
        Notation::of(r"0[xX][0-9a-fA-F]+", is_of_word, all_ends, NO_PATTERN),
    ];
    all.into_iter().flatten().collect()
});

impl Notation {
    fn of(
        shape: &str,
        is_no_beginning: fn(u8) -> bool,
        is_no_end: fn(&[u8]) -> bool,
        advice: &'static str,
    ) -> Option<Self> {
        Some(Self { shape: Regex::new(shape).ok()?, is_no_beginning, is_no_end, advice })
    }
}

fn any(_: u8) -> bool {
    false
}

fn all_ends(_: &[u8]) -> bool {
    false
}

fn is_of_number(before: u8) -> bool {
    before.is_ascii_digit() || b".,".contains(&before)
}

fn is_of_word(before: u8) -> bool {
    before.is_ascii_alphanumeric()
}

fn is_list(behind: &[u8]) -> bool {
    behind.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b',')
}

fn is_fraction_or_digit(behind: &[u8]) -> bool {
    matches!(behind, [digit, ..] | [b'.', digit, ..] if digit.is_ascii_digit())
}

fn is_list_or_fraction(behind: &[u8]) -> bool {
    is_list(behind) || is_fraction_or_digit(behind)
}

/// The whole number that `part` of the text is a part of, and how to read it. None if it is whole, or if `pattern`, one of Lua's,
/// names what stands beside its first capture.
pub fn whole(text: &[u8], part: Range<usize>, pattern: &str) -> Option<(Range<usize>, &'static str)> {
    let from = part.start.saturating_sub(REACH);
    let to = (part.end + REACH).min(text.len());
    let is_line = |byte: &u8| *byte == b'\n';
    let from = text[from..part.start].iter().rposition(is_line).map_or(from, |at| from + at + 1);
    let to = text[part.end..to].iter().position(is_line).map_or(to, |at| part.end + at);
    let beside = Beside::of(pattern);
    let mut found: Option<(Range<usize>, &'static str)> = None;
    for notation in NOTATIONS.iter() {
        for one in notation.shape.find_iter(&text[from..to]) {
            let mut whole = from + one.start()..from + one.end();
            if b"+-".contains(&text[whole.start]) && whole.start > 0 && is_of_word(text[whole.start - 1]) {
                whole.start += 1; // in `3-5` and `tile-5` it is no sign
            }
            let before = whole.start.checked_sub(1).map(|at| text[at]);
            let is_number =
                !before.is_some_and(notation.is_no_beginning) && !(notation.is_no_end)(&text[whole.end..]);
            let has_more = whole.start < part.start || whole.end > part.end;
            if is_number && whole.start <= part.start && part.end <= whole.end && has_more {
                let is_wider = found.as_ref().is_none_or(|(so_far, _)| so_far.len() < whole.len());
                if is_wider && !beside.says(text, &part, &whole) {
                    found = Some((whole, notation.advice));
                }
            }
        }
    }
    found
}

/// One place of a pattern.
#[derive(Clone, Copy, PartialEq)]
enum Item {
    /// This character, or one of a set: what is there was asked for.
    Named,
    /// A class, anything, or what may be there many times.
    Open,
}

/// What a pattern has on either side of its first capture; of one without, nothing.
struct Beside {
    before: Option<Item>,
    behind: Option<Item>,
}

impl Beside {
    fn of(pattern: &str) -> Self {
        let mut beside = Self { before: None, behind: None };
        let bytes = pattern.as_bytes();
        let (mut at, mut depth, mut last) = (0, 0, None);
        while at < bytes.len() {
            match bytes[at] {
                b'(' => {
                    if depth == 0 {
                        beside.before = last;
                    }
                    depth += 1;
                    at += 1;
                }
                b')' if depth == 1 => {
                    beside.behind = (at + 1 < bytes.len()).then(|| item(bytes, at + 1).0);
                    return beside;
                }
                b')' => {
                    depth -= 1;
                    at += 1;
                }
                _ => {
                    let (item, next) = item(bytes, at);
                    if depth == 0 {
                        last = Some(item);
                    }
                    at = next;
                }
            }
        }
        Self { before: None, behind: None }
    }

    /// Is all that the whole has more than the part on a side that the pattern names?
    fn says(&self, text: &[u8], part: &Range<usize>, whole: &Range<usize>) -> bool {
        let named = |item: Option<Item>, byte: Option<&u8>| {
            item == Some(Item::Named) && byte.is_some_and(|byte| !byte.is_ascii_digit())
        };
        let before =
            part.start == whole.start || named(self.before, part.start.checked_sub(1).map(|at| &text[at]));
        let behind = part.end == whole.end || named(self.behind, text.get(part.end));
        before && behind
    }
}

/// The item at a place of a pattern, and where the next one begins.
fn item(pattern: &[u8], at: usize) -> (Item, usize) {
    let end = match pattern[at] {
        b'%' | b'\\' => at + 2,
        b'[' => {
            // A `]` that comes first, or behind a `^`, is one of the set.
            let first = at + 1 + usize::from(pattern.get(at + 1) == Some(&b'^'));
            let closing = pattern.iter().skip(first + 1).position(|byte| *byte == b']');
            closing.map_or(pattern.len(), |length| first + 1 + length + 1)
        }
        _ => at + 1,
    }
    .min(pattern.len());
    let quantified = pattern.get(end).is_some_and(|byte| b"*+-?".contains(byte));
    let is_open = match pattern[at] {
        b'.' => true,
        b'%' | b'\\' => pattern.get(at + 1).is_some_and(u8::is_ascii_alphabetic),
        b'[' => pattern.get(at + 1) == Some(&b'^'),
        _ => false,
    };
    (if quantified || is_open { Item::Open } else { Item::Named }, end + usize::from(quantified))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first capture of a pattern is a part of. The pattern is one for both, Lua and regular expressions.
    fn of(pattern: &str, text: &str) -> Option<String> {
        let regex =
            Regex::new(&pattern.replace("%d", "0-9").replace("%", "\\").replace(".-", ".*?")).unwrap();
        let part = regex.captures(text.as_bytes()).expect("it is there").get(1).unwrap().range();
        whole(text.as_bytes(), part, pattern).map(|(whole, _)| text[whole].to_owned())
    }

    #[test]
    fn each_notation_is_a_regular_expression() {
        assert_eq!(NOTATIONS.len(), 8);
    }

    #[test]
    fn a_part_of_a_number_has_its_whole_whatever_the_pattern_eats_beside_it() {
        for (pattern, text, whole) in [
            ("GFLOPS: ([%d.]+)", "GFLOPS: 1.234e+03", "1.234e+03"),
            ("GFLOPS: ([%d.]+)", "GFLOPS: 1.5E-7 s", "1.5E-7"),
            ("GFLOPS: ([%d.]+)", "GFLOPS: 1.2D+03", "1.2D+03"),
            ("([-+%d.eE]+)", "1.25D-03", "1.25D-03"),
            ("t ([%d.]+)", "t 1.2-103", "1.2-103"),
            ("t ([%d.]+)", "t 0.15+101 s", "0.15+101"),
            ("t ([%d.]+)", "t 1,234.5", "1,234.5"),
            ("t ([%d.]+)", "t 1.234,5 s", "1.234,5"),
            ("t ([%d.]+)", "t 0,25 s", "0,25"),
            ("([%d.]+) s", "0,25 s", "0,25"),
            ("t ([%d.]+)", "t 1_000", "1_000"),
            ("t ([%d.]+)", "t 1'000", "1'000"),
            ("([%d.]+) elapsed", "1:23.5 elapsed", "1:23.5"),
            ("t ([%d.]+)", "t 1:02:03", "1:02:03"),
            ("t ([-+%d.eE]+)", "t 0x1F", "0x1F"),
            ("([%d.]+)", "t -1.5", "-1.5"),
            ("x = .-([%d.]+)", "x = -5.5", "-5.5"),
            ("t.*([%d.]+)", "t=12.5", "12.5"),
            ("t [%d]*([%d]+)", "t 125", "125"),
            ("t ([%d])", "t 12", "12"),
            ("([%d]+)[ ]+cycles", "1,234,567      cycles", "1,234,567"),
            ("([%d.]+) GB/s", "rate 1,234.5 GB/s", "1,234.5"),
            ("([%d.]+) MB/s", "Triad: 1.2e+04 MB/s", "1.2e+04"),
            ("([%d.]+) s", "1.5e03 s", "1.5e03"),
            ("t: ([%d.]+).-s", "t: 1.5e-3 s", "1.5e-3"),
            ("t: ([-+%d.eE]+).*s", "t: 1,234 s", "1,234"),
            ("=([%d.]+)[^ ]* total", "GB/s=1e3 total", "1e3"),
            ("f%(x%) = ([%d.]+).*", "f(x) = 1.5e3", "1.5e3"),
            ("avg[^(]*([%d.]+)", "avg 12.5", "12.5"),
            ("t ([%d]+)", "t 100,200,300", "100,200,300"),
        ] {
            assert_eq!(of(pattern, text).as_deref(), Some(whole), "{pattern} of {text}");
        }
    }

    #[test]
    fn what_is_whole_or_named_by_the_pattern_is_left_alone() {
        for (pattern, text) in [
            ("GFLOPS: ([%d.]+)", "GFLOPS: 12.5 (best)"),
            ("([%d.]+)", "3-5"),
            ("-([%d]+)", "3-5"),
            ("([%d.]+)", "tile-5 1e3"),
            ("([%d]+),", "1,234"),
            ("([%d]+):", "8080:15"),
            ("([%d]+)[,;]", "1,5"),
            ("at [%d]+%.([%d]+)", "at 12.05"),
            ("([%d]+)%.", "1.5"),
            ("([%d.]+)", "1.5GB 2"),
            ("([%d.]+)", "2.5 end. Of all, 3"),
            ("dgemm,([%d.]+)", "dgemm,12.5,0.3"),
            ("dgemm,([%d]+)", "dgemm,1024,12.5"),
            ("dgemm,[%d]+,([%d.]+)", "dgemm,1024,12.5"),
            ("times:%[([%d.]+)", "times:[1.5,2.5]"),
            ("ranks: ([%d]+)", "ranks: 8,16,32 bw 5"),
            ("iter ([%d]+)", "iter 10:55 ms"),
            ("bw ([%d.]+)", "bw 12.5-130.0 GB/s"),
            ("a ([%d.]+)", "a 1.5,200 calls"),
            ("Time %(s%)[=: ]+([%d.]+),", "Time (s)= 1.5,2.5"),
            ("([-+%d.eE]+)", "x -1.5e-3 s"),
            ("([%d]+)", "2026-11-30"),
            ("K=([%d]+)x", "K=32x64"),
        ] {
            assert_eq!(of(pattern, text), None, "{pattern} of {text}");
        }
    }
}
