//! Is the output what was demanded? Text, pattern, hash, or a reference with tolerances for numbers. How two texts are
//! compared is said here; files that a run wrote are the affair of `files`, functions that look at it of `inspection`.

use std::borrow::Cow;
use std::path::Path;

use regex::bytes::Regex;

use super::capture::{Captured, end_of, last_lines};
use super::files::Files;
use super::metric::Reader;
use super::site::Failure;
use crate::model::{Hash, VerifyResult, VerifySpec};

/// What is demanded of an output.
pub struct Verify {
    stdout: Option<Vec<u8>>,
    pattern: Option<(Regex, String)>,
    hash: Option<Hash>,
    reference: Option<Vec<u8>>,
    tolerance: Tolerance,
    /// Their figures differ from run to run: a reference is compared without them.
    metrics: Vec<Reader>,
    exit_code: Option<i32>,
    files: Files,
    /// A function has a say too, after all this.
    has_function: bool,
}

/// Two numbers agree within `atol + rtol * |expected|`.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Relative to the expected one.
    pub rtol: f64,
    /// Absolute.
    pub atol: f64,
}

impl Tolerance {
    fn of(self, expected: f64) -> f64 {
        self.atol + self.rtol * expected.abs()
    }
}

/// Any two numbers agree.
const ANY: Tolerance = Tolerance { rtol: 0.0, atol: f64::MAX };

/// Times and rates differ from run to run, and are no wrong results. What is read from the output is left out.
const NO_METRIC: &str = " (if it is a time or a rate, declare it in `metrics`)";
/// They do not differ by as little as sums do that were added up in another order.
const OF_A_SUM: f64 = 1e-4;

/// A result that is not a number proves nothing.
const NO_RESULT: &str = " (NaN is equal to nothing: what is expected is no result)";

/// What a check found.
pub struct Found {
    /// For the record.
    pub result: VerifyResult,
    /// Why it failed.
    pub failure: Option<String>,
    /// Of the whole output, if it was looked at.
    pub output_hash: Option<Hash>,
}

impl Verify {
    /// `reference` is what `spec.reference` became, `files` what `spec.files` did.
    pub fn new(
        spec: &VerifySpec,
        reference: Option<Vec<u8>>,
        metrics: Vec<Reader>,
        files: Files,
    ) -> Result<Self, Failure> {
        let pattern = match &spec.regex {
            Some(text) => {
                let regex = Regex::new(text).map_err(|e| Failure::refused(format!("verify: {e}")))?;
                Some((regex, spec.pattern.clone().unwrap_or_else(|| text.clone())))
            }
            None => None,
        };
        Ok(Self {
            stdout: spec.stdout.as_ref().map(|bytes| bytes.to_vec()),
            pattern,
            hash: spec.hash,
            reference,
            tolerance: Tolerance { rtol: spec.rtol, atol: spec.atol },
            metrics,
            exit_code: spec.exit_code,
            files,
            has_function: spec.function.is_some(),
        })
    }

    /// What it demands of files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Has a function a say?
    pub fn has_function(&self) -> bool {
        self.has_function
    }

    /// Must the output be kept?
    pub fn reads_output(&self) -> bool {
        self.stdout.is_some() || self.pattern.is_some() || self.hash.is_some() || self.reference.is_some()
    }

    /// What is compared, for the record.
    pub fn method(&self) -> String {
        let parts = [
            ("exit_code", self.exit_code.is_some()),
            ("stdout", self.stdout.is_some()),
            ("pattern", self.pattern.is_some()),
            ("hash", self.hash.is_some()),
            ("reference", self.reference.is_some()),
            ("files", !self.files.is_empty()),
            ("fn", self.has_function),
        ];
        parts.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect::<Vec<_>>().join("+")
    }

    /// Checks an output, and the files in the folder of the run.
    pub fn check(&self, output: &Captured, folder: &Path) -> Found {
        let mut result = VerifyResult { status: "none".into(), method: self.method(), max_abs_err: None };
        if result.method.is_empty() {
            return Found { result, failure: None, output_hash: None };
        }
        let mut failure = self.failure(output, &mut result.max_abs_err);
        if failure.is_none() {
            let files = self.files.check(folder);
            result.max_abs_err = result.max_abs_err.into_iter().chain(files.max_abs_err).reduce(f64::max);
            failure = files.difference;
        }
        result.status = if failure.is_some() { "failed" } else { "ok" }.into();
        let looked_at = (self.reads_output() || self.has_function) && output.is_whole();
        Found { result, failure, output_hash: looked_at.then(|| Hash::of(&output.bytes)) }
    }

    fn failure(&self, output: &Captured, max_abs_err: &mut Option<f64>) -> Option<String> {
        if self.reads_output() && !output.is_whole() {
            return Some(format!("its output of {} B is too long to be verified", output.total));
        }
        let bytes = &output.bytes;
        let wants_some =
            |expected: &Option<Vec<u8>>| expected.as_ref().is_some_and(|text| !text.trim_ascii().is_empty());
        if bytes.trim_ascii().is_empty() && (wants_some(&self.stdout) || wants_some(&self.reference)) {
            return Some("it printed nothing".into());
        }
        if let Some(expected) = self.stdout.as_ref().filter(|expected| *expected != bytes) {
            return compare(lines(expected), lines(bytes), Tolerance { rtol: 0.0, atol: 0.0 })
                .difference
                .map(of_output)
                .or_else(|| Some("the output differs from `verify.stdout` in its white space, or in how a number is written".into()));
        }
        if let Some((_, pattern)) = self.pattern.as_ref().filter(|(regex, _)| !regex.is_match(bytes)) {
            let shown = end_of(bytes);
            return Some(format!("pattern '{pattern}' is not in the output, which ends with:\n{shown}"));
        }
        let hash = Hash::of(bytes);
        if let Some(expected) = self.hash.filter(|expected| *expected != hash) {
            return Some(format!("the hash of the output is {hash}, not {expected}"));
        }
        let reference = self.reference.as_ref()?;
        let ((expected, says_something), (got, _)) =
            (self.without_metrics(reference), self.without_metrics(bytes));
        if !says_something {
            let but = if self.metrics.is_empty() { "" } else { " but the figures of metrics" };
            return Some(format!("the reference has no output to compare with{but}"));
        }
        let mut compared = compare(lines(&expected), lines(&got), self.tolerance);
        if compared.may_be_of_a_metric()
            && let Some(difference) = &mut compared.difference
        {
            difference.push_str(NO_METRIC);
        }
        *max_abs_err = compared.max_abs_err;
        compared.told(self.tolerance).difference.map(of_output)
    }

    /// The output without the figures that are read from it, and whether anything is left that a run could have computed wrong: what
    /// stands beside a figure is its name, unless it has a number in it.
    fn without_metrics(&self, output: &[u8]) -> (Vec<u8>, bool) {
        let mut places: Vec<_> = self.metrics.iter().flat_map(|metric| metric.places(output)).collect();
        places.sort_by_key(|place| place.start);
        let mut places = places.into_iter().peekable();
        let (mut rest, mut says_something, mut line_end, mut at) = (Vec::new(), false, 0, 0);
        for line in output.split_inclusive(|byte| *byte == b'\n') {
            let begin = rest.len();
            line_end += line.len();
            let mut has_figure = false;
            while let Some(place) = places.next_if(|place| place.start < line_end) {
                rest.extend_from_slice(output.get(at..place.start).unwrap_or_default());
                at = at.max(place.end);
                has_figure = true;
            }
            rest.extend_from_slice(output.get(at..line_end).unwrap_or_default());
            at = at.max(line_end);
            let is_word = |token: &Token<'_>| match token {
                Token::Number(_) => true,
                Token::Text(text) if has_figure => text.first().is_some_and(u8::is_ascii_digit),
                Token::Text(text) => text.iter().any(u8::is_ascii_alphanumeric),
            };
            says_something |= tokens(&rest[begin..]).iter().any(is_word);
        }
        (rest, says_something)
    }
}

/// What two texts differ in.
#[derive(Debug, Default, PartialEq)]
pub struct Compared {
    /// The first difference: a sentence without its subject.
    pub difference: Option<String>,
    /// There only numbers differ.
    pub only_numbers: bool,
    /// Over all pairs of numbers.
    pub max_abs_err: Option<f64>,
    /// The largest as a part of the number expected, where that is not 0.
    max_rel_err: f64,
}

impl Compared {
    fn may_be_of_a_metric(&self) -> bool {
        let of_a_sum = self.max_rel_err > 0.0 && self.max_rel_err < OF_A_SUM;
        self.only_numbers && !of_a_sum
    }

    /// With a reference: how far off the numbers are, where nothing else is wrong, and what lets them be.
    pub fn told(mut self, tolerance: Tolerance) -> Self {
        let Tolerance { rtol, atol } = tolerance;
        let off = self.max_rel_err;
        let hint = match rtol > 0.0 {
            true => format!("; the numbers are off by up to {off:.1e} of those expected, rtol is {rtol:e}"),
            false if atol == 0.0 && off > 0.0 => {
                format!("; the numbers are off by up to {off:.1e} of those expected, and there is no `rtol`")
            }
            false => String::new(),
        };
        if let Some(difference) = self.difference.as_mut().filter(|_| self.only_numbers) {
            difference.push_str(&hint);
        }
        self
    }

    /// There was nothing to compare.
    pub fn failed(what: String) -> Self {
        Self { difference: Some(what), ..Self::default() }
    }
}

/// Line by line, word by word; numbers by value, everything else by its bytes. White space does not count, nor do empty
/// lines at the end.
pub fn compare<L: AsRef<[u8]>>(
    mut expected: impl Iterator<Item = L>,
    mut got: impl Iterator<Item = L>,
    tolerance: Tolerance,
) -> Compared {
    let mut compared = Compared::default();
    let mut number = 0;
    loop {
        number += 1;
        let (a, b) = (expected.next(), got.next());
        if a.is_none() && b.is_none() {
            return compared;
        }
        let [left, right] = [&a, &b].map(|line| line.as_ref().map_or(&b""[..], L::as_ref));
        let same = same_line(left, right, tolerance, &mut compared);
        if !same && compared.difference.is_none() {
            let shown = |line: Option<L>| match line {
                Some(line) => format!("`{}`", last_lines(line.as_ref(), 1, 200)),
                None => "no such line".into(),
            };
            compared.only_numbers = same_line(left, right, ANY, &mut Compared::default());
            let is_nan = |token: &Token<'_>| matches!(token, Token::Number(number) if number.value.is_nan());
            let hint = if tokens(left).iter().any(is_nan) { NO_RESULT } else { "" };
            let (a, b) = (shown(a), shown(b));
            compared.difference = Some(format!("differs in line {number}: expected {a}, got {b}{hint}"));
        }
    }
}

fn of_output(difference: String) -> String {
    format!("output {difference}")
}

/// Without the empty ones at the end.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.trim_ascii_end().split(|byte| *byte == b'\n')
}

fn same_line(expected: &[u8], got: &[u8], tolerance: Tolerance, so_far: &mut Compared) -> bool {
    let (left, right) = (tokens(expected), tokens(got));
    let mut same = left.len() == right.len();
    for (a, b) in left.iter().zip(&right) {
        match (a, b) {
            (Token::Number(a), Token::Number(b)) => {
                let error = a.difference(b);
                // An infinite tolerance (of an infinite value) allows nothing.
                same &= error == 0.0 || error.is_finite() && error <= tolerance.of(a.value);
                if error.is_finite() {
                    so_far.max_abs_err = Some(so_far.max_abs_err.unwrap_or(0.0).max(error));
                    if a.value != 0.0 {
                        so_far.max_rel_err = so_far.max_rel_err.max(error / a.value.abs());
                    }
                }
            }
            (a, b) => same &= a == b,
        }
    }
    same
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Number(Number<'a>),
    Text(&'a [u8]),
}

/// A number as it was written: its nearest f64 alone would make different numbers equal.
#[derive(Debug, PartialEq)]
struct Number<'a> {
    text: Cow<'a, str>,
    value: f64,
}

impl<'a> Number<'a> {
    fn read(word: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(word).ok()?;
        if let Ok(value) = text.parse() {
            return Some(Self { text: text.into(), value });
        }
        // Fortran's doubles, which always have a point: `0d12` may be anything.
        let (mantissa, exponent) =
            text.split_once(['d', 'D']).filter(|(mantissa, _)| mantissa.contains('.'))?;
        let text = format!("{mantissa}e{exponent}");
        Some(Self { value: text.parse().ok()?, text: text.into() })
    }

    /// 0 for equal numbers only; of integers exact. Infinite where one of them is not finite; what is not a number is equal to nothing.
    fn difference(&self, other: &Self) -> f64 {
        if self.value.is_nan() {
            return f64::INFINITY;
        }
        if self.text == other.text {
            return 0.0;
        }
        if let (Ok(a), Ok(b)) = (self.text.parse::<i128>(), other.text.parse::<i128>()) {
            return a.abs_diff(b) as f64;
        }
        match (decimal(&self.text), decimal(&other.text)) {
            (Some(a), Some(b)) if a == b => 0.0,
            // Rounded to the same f64, they differ by less than its distance to the next.
            (Some(_), Some(_)) if self.value == other.value && self.value.is_finite() => {
                (self.value.abs() * f64::EPSILON).max(f64::MIN_POSITIVE)
            }
            (Some(_), Some(_)) if self.value.is_finite() && other.value.is_finite() => {
                (self.value - other.value).abs()
            }
            (None, None) if self.value == other.value => 0.0,
            _ => f64::INFINITY,
        }
    }
}

/// Sign, digits without zeros at either end, and the power of ten of the last: equal for equal numbers.
/// None for what is not finite.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let negative = whole.starts_with('-');
    let digits = format!("{}{fraction}", whole.trim_start_matches(['+', '-']));
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = digits.trim_end_matches('0');
    let zeros = digits.len() - kept.len();
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() {
        return Some((false, String::new(), 0));
    }
    let last = exponent.parse::<i64>().ok()?.checked_sub(fraction.len() as i64)?.checked_add(zeros as i64)?;
    Some((negative, kept.into(), last))
}

/// Numbers, and what is between them without white space.
fn tokens(line: &[u8]) -> Vec<Token<'_>> {
    let separators = |byte: &u8| byte.is_ascii_whitespace() || b",;:=()[]{}|\"'".contains(byte);
    let mut tokens = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.first() {
        let length = match separators(first) {
            true => 1,
            false => rest.iter().position(separators).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(length);
        rest = after;
        if word.trim_ascii().is_empty() {
            continue;
        }
        tokens.push(Number::read(word).map_or(Token::Text(word), Token::Number));
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> Captured {
        Captured { bytes: text.into(), total: text.len() as u64, cut: None }
    }

    fn verify(spec: VerifySpec, reference: Option<&str>, got: &str) -> Found {
        let metrics = vec![Reader::Pattern(Regex::new("GFLOPS: ([0-9.]+)").unwrap(), String::new())];
        let reference = reference.map(|text| text.into());
        let verify = Verify::new(&spec, reference, metrics, Files::default()).unwrap();
        verify.check(&output(got), Path::new("/"))
    }

    #[test]
    fn numbers_agree_within_the_tolerances_and_the_largest_error_is_told() {
        let spec = VerifySpec { rtol: 1e-3, ..VerifySpec::default() };
        let found = verify(spec.clone(), Some("sum=1000.0 (n=3)\n2 x\n"), "sum=1000.5  (n=3)\n2 x");
        assert_eq!(found.failure, None);
        assert_eq!(
            found.result,
            VerifyResult { status: "ok".into(), method: "reference".into(), max_abs_err: Some(0.5) }
        );
        let found = verify(spec, Some("a 1\nb 2\n"), "a 1\nb 2.5\n");
        let off = "(if it is a time or a rate, declare it in `metrics`); the numbers are off by up to 2.5e-1 of those expected, rtol is 1e-3";
        assert_eq!(
            found.failure.unwrap(),
            format!("output differs in line 2: expected `b 2`, got `b 2.5` {off}")
        );
        assert_eq!(found.result.max_abs_err, Some(0.5));
        let found = verify(VerifySpec::default(), Some("sum 2"), "sum 2.00001");
        let off = "; the numbers are off by up to 5.0e-6 of those expected, and there is no `rtol`";
        let failure = format!("output differs in line 1: expected `sum 2`, got `sum 2.00001`{off}");
        assert_eq!(found.failure.unwrap(), failure, "a sum");
    }

    #[test]
    fn words_missing_lines_and_not_a_number_are_differences() {
        let differs = |expected, got| verify(VerifySpec::default(), Some(expected), got).failure;
        assert_eq!(differs("x 1", "x 1"), None);
        assert!(differs("x 1", "y 1").is_some());
        assert_eq!(differs("x 1", " \n").unwrap(), "it printed nothing");
        assert!(differs("x 1", "x nan").is_some());
        assert_eq!(differs("x inf", "x inf"), None);
        let nan = "output differs in line 1: expected `x nan`, got `x nan` (NaN is equal to nothing: what is expected is no result)";
        assert!(differs("x nan", "x nan").unwrap().starts_with(nan));
        let missing = differs("a\nb", "a").unwrap();
        assert_eq!(missing, "output differs in line 2: expected `b`, got no such line");
    }

    #[test]
    fn different_numbers_are_not_equal_because_a_double_holds_both_alike() {
        let agree = |rtol, atol, expected: &str, got: &str| {
            let spec = VerifySpec { rtol, atol, ..VerifySpec::default() };
            verify(spec, Some(expected), got).failure.is_none()
        };
        assert!(!agree(0.0, 0.0, "9007199254740993", "9007199254740992"));
        assert!(agree(0.0, 1.0, "9007199254740993", "9007199254740994"));
        assert!(!agree(0.0, 0.0, &format!("1{:050}", 1), &format!("1{:050}", 2)));
        assert!(agree(1e-9, 0.0, &format!("1{:050}", 1), &format!("1{:050}", 2)));
        assert!(!agree(0.0, 0.0, "0.1", "0.10000000000000000000001"));
        assert!(!agree(0.5, 0.0, "1e-400", "1e-500"));
        for same in ["1e400 1.0E+400", "-1e400 -10e399", "1.50 15e-1", "0 -0.0", "+7 7", "inf Infinity"] {
            let (a, b) = same.split_once(' ').unwrap();
            assert!(agree(0.0, 0.0, a, b), "{same}");
        }
        assert!(agree(0.0, 0.0, "1.5D-03", "0.0015") && agree(0.0, 0.0, "1.5d3", "1.5D+03"));
        assert!(agree(1e-3, 0.0, "E = 0.1234D+02", "E = 0.1235D+02"));
        for other in ["3.10. 3.1.", "0d12 0d34", "1d1 10", "12.2-100 12.2-101"] {
            let (a, b) = other.split_once(' ').unwrap();
            assert!(!agree(0.0, 1e-6, a, b), "{other}");
        }
        for other in [
            "1e400 1e500",
            "1e400 inf",
            "inf 5",
            "1e400 5",
            "5 inf",
            "inf -inf",
            "1e400 -1e400",
            "nan inf",
            "nan nan",
        ] {
            let (a, b) = other.split_once(' ').unwrap();
            assert!(!agree(0.5, 1.0, a, b), "{other}");
        }
    }

    #[test]
    fn figures_of_metrics_are_not_compared_but_something_must_be() {
        let found = |expected, got| verify(VerifySpec::default(), Some(expected), got).failure;
        assert_eq!(found("sum 1\nGFLOPS: 2.5", "sum 1\nGFLOPS: 7.5"), None);
        assert_eq!(found("GFLOPS: 2.5, sum 1", "GFLOPS: 7.5, sum 1"), None);
        assert!(
            found("GFLOPS: 2.5, sum 1", "GFLOPS: 7.5, sum 2").unwrap().contains("if it is a time or a rate")
        );
        assert!(found("GFLOPS: 2.5", "GFLOPS: 7.5").unwrap().contains("no output to compare"));
        assert!(found("fp64 GFLOPS: 2.5", "fp64 GFLOPS: 7.5").unwrap().contains("no output to compare"));
        assert!(found("sum=7.5s GFLOPS: 2.5", "sum=7.6s GFLOPS: 2.5").unwrap().contains("differs in line 1"));
        assert!(found("\nGFLOPS: 2.5\n\n", "GFLOPS: 7.5").unwrap().contains("no output to compare"));
        for (reader, text) in
            [(Reader::Csv("t".into()), "t\n2.5\n"), (Reader::Json("t".into()), "{\n  \"t\": 2.5\n}\n")]
        {
            let spec = VerifySpec::default();
            let verify = Verify::new(&spec, Some(text.into()), vec![reader], Files::default()).unwrap();
            let found = verify.check(&output(text), Path::new("/")).failure;
            assert!(found.unwrap().contains("no output to compare"), "{text}");
        }
        let again = found("sum 1\nGFLOPS: 2.5\nGFLOPS: 3", "sum 1\nGFLOPS: 7.5\nGFLOPS: 4").unwrap();
        assert!(again.contains("differs in line 3"), "{again}: of several only the first is read");
    }

    #[test]
    fn a_pattern_that_finds_more_than_its_figure_hides_no_wrong_result() {
        let metrics = |regex: &str| vec![Reader::Pattern(Regex::new(regex).unwrap(), String::new())];
        let right = "0.5 s\n# i x\n1 10.0\n2 20.0\n";
        for regex in ["^([0-9.]+)", "([0-9.]+)"] {
            let spec = VerifySpec { rtol: 1e-9, ..VerifySpec::default() };
            let verify = Verify::new(&spec, Some(right.into()), metrics(regex), Files::default()).unwrap();
            let found = |text: &str| verify.check(&output(text), Path::new("/")).failure;
            assert_eq!(found(&right.replace("0.5", "7")), None);
            assert!(found(&right.replace("20.0", "999")).unwrap().contains("differs in line 4"), "{regex}");
        }
    }

    #[test]
    fn a_figure_on_another_line_than_its_name_takes_nothing_else_with_it() {
        let metrics = vec![Reader::Pattern(Regex::new(r"time:([\s0-9.]+)").unwrap(), String::new())];
        let right = "time:\n  2.5\nsum 700000000\n";
        let spec = VerifySpec::default();
        let verify = Verify::new(&spec, Some(right.into()), metrics, Files::default()).unwrap();
        let found = |text: &str| verify.check(&output(text), Path::new("/")).failure;
        assert_eq!(found(&right.replace("2.5", "13.5")), None);
        assert!(found(&right.replace("700000000", "709999999")).unwrap().contains("differs in line 3"));
    }

    #[test]
    fn text_pattern_and_hash() {
        let stdout = |text: &str| VerifySpec {
            stdout: Some(serde_bytes::ByteBuf::from(text)),
            ..VerifySpec::default()
        };
        assert_eq!(verify(stdout("a\n"), None, "a\n").failure, None);
        assert!(verify(stdout("a\n"), None, "a").failure.unwrap().contains("white space"));
        assert!(verify(stdout("a\n"), None, "b\n").failure.unwrap().contains("expected `a`, got `b`"));
        let pattern = |text: &str| VerifySpec {
            regex: Some(text.into()),
            pattern: Some("PATTERN".into()),
            ..VerifySpec::default()
        };
        assert_eq!(verify(pattern("o+k"), None, "ook").failure, None);
        assert!(verify(pattern("o+k"), None, "no").failure.unwrap().contains("'PATTERN'"));
        let hash = |text: &[u8]| VerifySpec { hash: Some(Hash::of(text)), ..VerifySpec::default() };
        let found = verify(hash(b"a"), None, "a");
        assert_eq!((found.failure, found.output_hash), (None, Some(Hash::of(b"a"))));
        assert!(verify(hash(b"b"), None, "a").failure.is_some());
    }

    #[test]
    fn an_output_that_was_cut_cannot_be_verified() {
        let spec = VerifySpec { regex: Some("a".into()), ..VerifySpec::default() };
        let cut = Captured { bytes: b"a".to_vec(), total: 99, cut: Some(1..1) };
        let verify = Verify::new(&spec, None, Vec::new(), Files::default()).unwrap();
        let found = verify.check(&cut, Path::new("/"));
        assert!(found.failure.unwrap().contains("too long"));
    }

    #[test]
    fn where_nothing_is_demanded_nothing_is_claimed() {
        let found = verify(VerifySpec::default(), None, "x");
        assert_eq!((found.result.status.as_str(), found.output_hash), ("none", None));
    }
}
