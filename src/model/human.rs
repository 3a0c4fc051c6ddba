//! How figures and outcomes read: the one place that decides digits, units and words.
//!
//! The script's `tostring`, the final table and the reports all say the same. Pure text; it never decides
//! what is good or bad.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::units::Unit;
use super::{CompareResult, Compared, Detail, MeasureResult, Outcome, Status, Summary};

/// A longer message is cut (B).
pub const MESSAGE_BYTES: usize = 8 << 10;
/// Fewer samples have no interval of the median.
const MIN_FOR_INTERVAL: u32 = 7;
/// What follows it in a reason is the whole search path.
const SEARCHED: &str = " (PATH is ";
/// So many lines of what a program said are on the one line about it.
const LAST_LINES: usize = 3;
/// Longer reasons are cut here (characters).
const REASON_CHARS: usize = 200;

/// One line on a measurement: `gemm tile=32: median 1.234 s, 95 % CI [1.221, 1.250], n = 15, precise`.
/// What failed says its status and reason instead; flags come last, after a semicolon.
pub fn measurement_line(name: &str, params: &Value, outcome: &Outcome) -> String {
    let subject = subject(Some(name), Some(params));
    match &outcome.detail {
        Detail::Measure(result) if outcome.ok() => format!("{subject}: {}", result_text(result)),
        _ => format!("{subject}: {}", status_text(outcome)),
    }
}

/// A comparison, a line for each variant, the base first, and one more where events were counted:
/// `gemm tiled: faster, 1.25x the base, 95 % CI [1.24, 1.26], 24 rounds`.
pub fn comparison_lines(subject: &str, result: &CompareResult) -> Vec<String> {
    let base = result.variants.first().and_then(|base| base.result.counters.as_ref());
    let lines = result.variants.iter().flat_map(|variant| {
        let own = self::subject(Some(&variant.name), variant.params.as_ref());
        let name = [subject, &own].into_iter().filter(|word| !word.is_empty());
        let name = name.collect::<Vec<_>>().join(" ");
        let counters = variant.result.counters.as_ref().filter(|_| variant.comparison.is_some());
        let counted = base.zip(counters).map(|(base, own)| super::changes::line(base, own));
        let texts = [Some(compared_text(variant)), counted].into_iter().flatten();
        texts.map(|text| format!("{name}: {text}")).collect::<Vec<_>>()
    });
    lines.collect()
}

fn compared_text(variant: &Compared) -> String {
    if variant.status != Status::Ok {
        return status_text(&Outcome::failed(variant.status, variant.reason.clone().unwrap_or_default()));
    }
    let Some(found) = &variant.comparison else { return result_text(&variant.result) };
    let interval = match &found.ci {
        Some(ci) => {
            format!("{} % CI [{}, {}]", (ci.level * 100.0).round(), ratio_digits(ci.lo), ratio_digits(ci.hi))
        }
        None => "too few rounds for an interval".into(),
    };
    format!(
        "{}, {}x the base, {interval}, {}{}",
        found.verdict.word(),
        ratio_digits(found.ratio),
        count(found.rounds as usize, "round"),
        flags_text(&variant.result)
    )
}

/// A ratio: three decimals, of a very small or large one four digits.
fn ratio_digits(ratio: f64) -> String {
    let exponent = if ratio > 0.0 && ratio.is_finite() { ratio.log10().floor() as i32 } else { 0 };
    let decimals = if (-1..3).contains(&exponent) { 3 } else { (3 - exponent).max(0) as usize };
    format!("{ratio:.decimals$}")
}

/// The figures of a measurement in digits that fit each other, and what unit they are in.
pub struct Figures {
    /// The median.
    pub median: String,
    /// The ends of its interval; none with too few samples.
    pub interval: Option<(String, String)>,
    /// Samples.
    pub n: u32,
    /// The unit; empty if it has none.
    pub unit: String,
}

/// Those of the objective; none if there are none.
pub fn figures(detail: &Detail) -> Option<Figures> {
    let Detail::Measure(result) = detail else { return None };
    let stats = result.stats.as_ref()?;
    // Of a median of 0 the others say how large it would be.
    let typical = [stats.median, stats.max, stats.min].into_iter().find(|figure| *figure != 0.0);
    let unit = Unit::of(result, typical.unwrap_or_default());
    let interval = stats.ci.as_ref().map(|ci| (unit.digits(ci.lo), unit.digits(ci.hi)));
    Some(Figures { median: unit.digits(stats.median), interval, n: stats.n, unit: unit.name().into() })
}

/// What a task is called, on one line: its name and its search point.
pub fn subject(name: Option<&str>, params: Option<&Value>) -> String {
    let params = params.map(params_line).unwrap_or_default();
    let words = [name.unwrap_or_default(), &params];
    visible(&words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}

/// The same text on one line: what would not be seen, or would move the cursor, as escapes.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push(' '),
            c if c.is_control() => {
                let _ = write!(shown, "\\x{:02x}", u32::from(c));
            }
            c if turns_text(c) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Words as one types them in a shell (bash, zsh), on one line: what would not be seen is an escape in `$'…'`.
pub fn typed(words: &[String]) -> String {
    words.iter().map(|word| typed_word(word)).collect::<Vec<_>>().join(" ")
}

fn typed_word(word: &str) -> String {
    let is_unseen = |c: char| c.is_control() || turns_text(c);
    if !word.contains(is_unseen) {
        return shell_words::quote(word).into_owned();
    }
    let mut typed = String::from("$'");
    for c in word.chars() {
        match c {
            '\n' => typed.push_str("\\n"),
            '\t' => typed.push_str("\\t"),
            '\\' | '\'' => typed.extend(['\\', c]),
            c if is_unseen(c) => {
                let _ = write!(typed, "\\u{:04x}", u32::from(c));
            }
            c => typed.push(c),
        }
    }
    typed + "'"
}

/// Has what follows it, or stands before it, shown in another order, or on another line: a name could seem to be another.
fn turns_text(c: char) -> bool {
    let marks = ['\u{61c}', '\u{200e}', '\u{200f}'];
    marks.contains(&c) || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Not more than so many characters of it.
pub fn shortened(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.into(),
    }
}

/// As a cell of a table, so many characters wide; `format!` has no wider ones than 65535.
pub fn padded(text: &str, chars: usize, is_number: bool) -> String {
    let gap = " ".repeat(chars.saturating_sub(text.chars().count()));
    if is_number { gap + text } else { text.to_owned() + &gap }
}

/// A message, without its middle where it is longer than anybody reads or the journal should keep: what it is
/// about stands at its beginning, where it came from at its end.
pub fn bounded(message: String) -> String {
    if message.len() <= MESSAGE_BYTES {
        return message;
    }
    // A character has at most 4 bytes, so a boundary is never far.
    let boundary = |near: usize| (near..near + 4).find(|at| message.is_char_boundary(*at)).unwrap_or(near);
    let (head, tail) = (boundary(MESSAGE_BYTES / 4 * 3), boundary(message.len() - MESSAGE_BYTES / 4));
    format!("{}… ({} cut) …{}", &message[..head], bytes((tail - head) as u64), &message[tail..])
}

/// How a task ended, on one line: `timeout: ran into its limit of 60 s`. What a function raised may say the most
/// anywhere: all of its lines are in it.
fn status_text(outcome: &Outcome) -> String {
    status_line(outcome, if outcome.status == Status::Error { usize::MAX } else { 1 })
}

/// The same from the first line of the reason alone, without the search path that a program was not found in.
pub fn status_in_short(outcome: &Outcome) -> String {
    let whole = status_line(outcome, 1);
    whole.split_once(SEARCHED).map_or(whole.clone(), |(short, _)| short.into())
}

fn status_line(outcome: &Outcome, most: usize) -> String {
    let reason = outcome.reason.as_deref().unwrap_or_default();
    let mut lines = reason.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut line = lines.by_ref().take(most).collect::<Vec<_>>().join(" ");
    // It announces what follows: an error raised in Lua goes on with it, the output of a program mostly says the
    // most in its last lines.
    if line.ends_with(':') {
        let more = match outcome.status {
            Status::Error => lines.next().map(str::to_string),
            _ => Some(last_of(&lines.collect::<Vec<_>>(), REASON_CHARS.saturating_sub(line.chars().count()))),
        };
        line.extend(more.iter().flat_map(|more| [" ", more]));
    }
    let word = outcome.status.word();
    if line.is_empty() {
        return word.into();
    }
    format!("{word}: {}", shortened(&visible(&line), REASON_CHARS))
}

/// The last line, and those before it that there is room for (characters).
fn last_of(lines: &[&str], room: usize) -> String {
    let mut text = lines.last().copied().unwrap_or_default().to_string();
    for line in lines.iter().rev().skip(1).take(LAST_LINES - 1) {
        let longer = format!("{line} | {text}");
        if longer.chars().count() >= room {
            break;
        }
        text = longer;
    }
    text
}

/// A search point: `tile=32 flags="-O3 -g"`. Anything but an object is shown as JSON, null as nothing.
fn params_line(params: &Value) -> String {
    let pair = |(name, value): (&String, &Value)| match value {
        Value::String(text) if is_plain(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    };
    match params {
        Value::Null => String::new(),
        Value::Object(fields) => fields.iter().map(pair).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Seconds as people say them, to four digits: `1.234 s`, `12.3 ms`, `4.56 µs`, `2 min 5 s`.
pub fn duration(seconds: f64) -> String {
    if seconds.is_finite() && seconds.abs() >= 120.0 {
        let (sign, whole) = (if seconds < 0.0 { "-" } else { "" }, seconds.abs().round() as u64);
        let (hours, minutes) = (whole / 3600, whole / 60 % 60);
        return if hours > 0 {
            format!("{sign}{hours} h {minutes} min")
        } else {
            format!("{sign}{minutes} min {} s", whole % 60)
        };
    }
    let unit = Unit::of_time(seconds);
    format!("{} {}", trimmed(&unit.digits(seconds)), unit.name())
}

/// Reads what people write for a duration: `2 s`, `90min`, `1.5 h`; a number alone is seconds. None for anything
/// else, and for what is not above zero.
pub fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (figure, unit) = text.split_at(digits);
    let scale = match unit.trim() {
        "ms" => 1e-3,
        "" | "s" | "sec" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    figure.parse::<f64>().ok().map(|figure| figure * scale).filter(|seconds| *seconds > 0.0)
}

/// A size, to four digits: `512 B`, `64 MiB`, `1.5 GiB`.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut amount = size as f64;
    // 1023.95 is the first that rounds to 1024.0.
    while amount >= 1023.95 && unit < UNITS.len() - 1 {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{} {}", trimmed(&format!("{amount:.1}")), UNITS[unit])
}

/// `1 task`, `24 tasks`.
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// `20 ok, 3 compile_failed, 1 timeout`: in the order of [`Status`], nothing that did not occur.
pub fn tally(counts: &BTreeMap<Status, usize>) -> String {
    let words: Vec<_> = counts.iter().map(|(status, n)| format!("{n} {}", status.word())).collect();
    words.join(", ")
}

/// What a measurement came to, without its name.
pub fn result_text(result: &MeasureResult) -> String {
    let mut text = match &result.same_as {
        Some(same_as) => format!("same program as {}: ", same_as.what),
        None => String::new(),
    };
    text += &match &result.stats {
        Some(stats) => stats_text(stats, &Unit::of(result, stats.median)),
        None => "no figures".into(),
    };
    let _ = write!(text, ", {}{}", result.stop_reason.word(), flags_text(result));
    text
}

fn flags_text(result: &MeasureResult) -> String {
    if result.flags.is_empty() { String::new() } else { format!("; {}", result.flags.join(", ")) }
}

fn stats_text(stats: &Summary, unit: &Unit) -> String {
    let mut text = format!("median {}", unit.with_name(stats.median));
    let _ = match &stats.ci {
        Some(ci) => write!(
            text,
            ", {} % CI [{}, {}], n = {}",
            (ci.level * 100.0).round(),
            unit.digits(ci.lo),
            unit.digits(ci.hi),
            stats.n
        ),
        None => write!(
            text,
            ", min {}, max {}, n = {} (n < {MIN_FOR_INTERVAL}, no interval)",
            unit.digits(stats.min),
            unit.digits(stats.max),
            stats.n
        ),
    };
    text
}

fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'=".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Better, Interval, Metric, StopReason};
    use serde_json::json;

    fn measured(median: f64, lo: f64, hi: f64) -> MeasureResult {
        let ci = Interval { lo, hi, level: 0.95, exact_level: 0.965 };
        let stats = Summary { n: 15, min: lo, median, max: hi, ci: Some(ci), ..Summary::default() };
        MeasureResult::sample(stats, StopReason::Precise)
    }

    fn line(result: MeasureResult) -> String {
        let outcome = Outcome {
            status: Status::Ok,
            reason: None,
            host: "n".into(),
            detail: Detail::Measure(Box::new(result)),
            elapsed_s: 20.0,
            conditions: None,
        };
        measurement_line("gemm", &json!({"tile": 32}), &outcome)
    }

    #[test]
    fn a_measurement_reads_as_the_manual_says() {
        assert_eq!(
            line(measured(1.2341, 1.2214, 1.2496)),
            "gemm tile=32: median 1.234 s, 95 % CI [1.221, 1.250], n = 15, precise"
        );
        assert_eq!(
            line(measured(0.012_3, 0.012_25, 0.012_4)),
            "gemm tile=32: median 12.30 ms, 95 % CI [12.25, 12.40], n = 15, precise"
        );
        let mut shared = measured(1.2341, 1.2214, 1.2496);
        shared.same_as = Some(crate::model::SameAs { id: String::new(), what: "gemm tile=16".into() });
        assert_eq!(
            line(shared),
            "gemm tile=32: same program as gemm tile=16: median 1.234 s, 95 % CI [1.221, 1.250], n = 15, precise"
        );
        let mut short = measured(1.0, 0.9, 1.1);
        short.stats = short.stats.map(|stats| Summary { n: 3, ci: None, ..stats });
        short.stop_reason = StopReason::Fixed;
        short.flags = vec!["drift".into(), "near_floor".into()];
        assert_eq!(
            line(short),
            "gemm tile=32: median 1.000 s, min 0.900, max 1.100, n = 3 (n < 7, no interval), fixed; drift, near_floor"
        );
    }

    #[test]
    fn objectives_have_their_own_units() {
        let mut rate = measured(123.4, 120.0, 125.01);
        let metric = Metric {
            unit: Some("GFLOP/s".into()),
            better: Better::More,
            value: vec![],
            stats: Some(Summary::default()),
        };
        rate.objective = "gflops".into();
        rate.metrics.insert("gflops".into(), metric);
        assert_eq!(
            line(rate.clone()),
            "gemm tile=32: median 123.4 GFLOP/s, 95 % CI [120.0, 125.0], n = 15, precise"
        );
        let small = |unit: &str, by: f64| {
            let mut small = rate.clone();
            small.metrics.get_mut("gflops").unwrap().unit = Some(unit.into());
            let stats = small.stats.as_mut().unwrap();
            stats.median *= by;
            if let Some(ci) = &mut stats.ci {
                (ci.lo, ci.hi) = (ci.lo * by, ci.hi * by);
            }
            line(small)
        };
        for (unit, by, shown) in [
            ("s", 1e-6, "123.4 µs, 95 % CI [120.0, 125.0]"),
            ("V", 1e-4, "0.0123 V, 95 % CI [0.0120, 0.0125]"),
            ("V", -1e-9, "-1.234e-7 V, 95 % CI [-1.200e-7, -1.250e-7]"),
            ("V", 1e10, "1.234e12 V, 95 % CI [1.200e12, 1.250e12]"),
            ("V", 1e4, "1234000 V, 95 % CI [1200000, 1250100]"),
        ] {
            assert!(small(unit, by).contains(shown), "{}", small(unit, by));
        }
        rate.metrics.clear();
        rate.objective = "misses".into();
        assert_eq!(line(rate), "gemm tile=32: median 123.4, 95 % CI [120.0, 125.0], n = 15, precise");
        let mut memory = measured(3.0 * 1048576.0, 2.5 * 1048576.0, 4.0 * 1048576.0);
        memory.objective = "maxrss_bytes".into();
        memory.maxrss_floor_bytes = Some(1 << 20);
        assert_eq!(
            line(memory.clone()),
            "gemm tile=32: median 3.000 MiB, 95 % CI [2.500, 4.000], n = 15, precise"
        );
        memory.maxrss_floor_bytes = Some(2 << 20);
        assert_eq!(
            line(memory),
            "gemm tile=32: median ≤ 3.000 MiB, 95 % CI [≤ 2.500, 4.000], n = 15, precise"
        );
    }

    #[test]
    fn what_is_0_or_far_from_1_has_digits() {
        let figures = |median: f64, lo: f64, hi: f64| {
            let ci = Some(Interval { lo, hi, level: 0.95, exact_level: 0.97 });
            let stats = Summary { n: 9, median, min: lo, max: hi, ci, ..Summary::default() };
            let found =
                figures(&Detail::Measure(Box::new(MeasureResult::sample(stats, StopReason::Fixed)))).unwrap();
            (found.median, found.interval.unwrap().1, found.unit)
        };
        assert_eq!(figures(0.0, 0.0, 0.04), ("0.00".into(), "40.00".into(), "ms".into()));
        assert_eq!(figures(0.0, 0.0, 0.0), ("0".into(), "0".into(), "s".into()));
        for (ratio, shown) in [
            (1.0, "1.000"),
            (0.95, "0.950"),
            (123.456_7, "123.457"),
            (0.000_2, "0.0002000"),
            (10_000.0, "10000"),
            (1234.56, "1235"),
            (0.0, "0.000"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(ratio_digits(ratio), shown);
        }
        assert!(!Unit::of_metric(None, 1e-320).with_name(1e-320).contains("inf"));
    }

    #[test]
    fn a_failure_says_its_status_and_the_first_line_of_its_reason() {
        let failed = Outcome::failed(Status::Timeout, "\nran into its limit of 60 s\nmore");
        assert_eq!(
            measurement_line("gemm", &Value::Null, &failed),
            "gemm: timeout: ran into its limit of 60 s"
        );
        let quoting = Outcome::failed(Status::NonzeroExit, "exit code 3; it said:\none\n two\n");
        assert_eq!(status_text(&quoting), "nonzero_exit: exit code 3; it said: one | two");
        let raised = Outcome::failed(Status::Error, "c.lua:1: bad shape:\n  3 x 4\nwanted 4 x 4");
        assert_eq!(status_text(&raised), "error: c.lua:1: bad shape: 3 x 4 wanted 4 x 4");
        assert_eq!(status_in_short(&raised), "error: c.lua:1: bad shape: 3 x 4");
        let plain = Outcome::failed(Status::Error, "c.lua:1: no\nstack traceback:\n\tc.lua:1: in f");
        assert_eq!(status_in_short(&plain), "error: c.lua:1: no");
        let colourful = Outcome::failed(Status::Signal, "it said: \x1b[2J\ra\tb\u{85}.");
        assert_eq!(status_text(&colourful), "signal: it said: \\x1b[2J\\x0da b\\x85.");
        assert_eq!(
            visible("gemm\u{202e}8=elit\u{2069} é\u{200f}"),
            "gemm\\u{202e}8=elit\\u{2069} é\\u{200f}"
        );
        let long = Outcome::failed(Status::Error, "ü".repeat(300));
        assert_eq!(status_text(&long), format!("error: {}…", "ü".repeat(200)));
        assert_eq!(status_text(&Outcome::failed(Status::Cancelled, "")), "cancelled");
    }

    #[test]
    fn a_long_message_keeps_its_ends_and_says_how_much_is_gone() {
        assert_eq!(bounded("short".into()), "short");
        let cut = bounded(format!("x{}traceback", "ü".repeat(MESSAGE_BYTES)));
        assert!(cut.starts_with("xü") && cut.ends_with("ütraceback"), "{cut}");
        assert!(cut.len() < MESSAGE_BYTES + 30 && cut.contains("ü… (8 KiB cut) …ü"), "{cut}");
    }

    #[test]
    fn durations() {
        let cases = [
            (1.234, "1.234 s"),
            (0.0123, "12.3 ms"),
            (4.56e-6, "4.56 µs"),
            (0.0, "0 s"),
            (60.0, "60 s"),
            (119.5, "119.5 s"),
            (125.0, "2 min 5 s"),
            (3599.9, "1 h 0 min"),
            (5400.0, "1 h 30 min"),
            (0.999_99, "1 s"),
            (0.001, "1 ms"),
            (123.4e-9, "123.4 ns"),
            (-0.5, "-500 ms"),
            (1e-12, "0.001 ns"),
            (f64::NAN, "NaN s"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn durations_are_read() {
        let cases = [("2 s", 2.0), ("90min", 5400.0), (" 1.5 h ", 5400.0), ("1 d", 86400.0), ("7", 7.0)];
        for (text, read) in cases {
            assert_eq!(seconds(text), Some(read), "{text}");
        }
        for bad in ["", "s", "2 x", "-1 s", "0", "17:30", "1e3", "1.2.3 s"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn words_are_typed_as_a_shell_takes_them() {
        let words = ["python3", "-c", "s = 0\nprint('é\\n')", "a b", "\x1b[31m", "it's"].map(String::from);
        let line = r"python3 -c $'s = 0\nprint(\'é\\n\')' 'a b' $'\u001b[31m' 'it'\''s'";
        assert_eq!(typed(&words), line);
    }

    #[test]
    fn sizes() {
        let cases = [
            (0, "0 B"),
            (512, "512 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (64 << 20, "64 MiB"),
            (3 << 29, "1.5 GiB"),
            ((1 << 20) - 1, "1 MiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (size, text) in cases {
            assert_eq!(bytes(size), text, "{size}");
        }
    }

    #[test]
    fn search_points() {
        let params =
            json!({"tile": 32, "opt": "O3", "flags": "-O3 -g", "f": 0.5, "list": [1, 2], "on": true});
        assert_eq!(params_line(&params), r#"f=0.5 flags="-O3 -g" list=[1,2] on=true opt=O3 tile=32"#);
        assert_eq!(params_line(&Value::Null), "");
        assert_eq!(params_line(&json!({"s": ""})), r#"s="""#);
        assert_eq!(subject(Some("a\nb"), Some(&json!({"k\n": "v\n"}))), r#"a\x0ab k\x0a="v\n""#);
    }
}
