//! Figures in what a program prints: by a pattern, at a place in JSON, in a column of CSV.
//!
//! Knows the text of one run; nothing of samples, of how often it runs and of what the figures are for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use regex::bytes::{Captures, Regex};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::site::Failure;
use crate::model::human::shortened;
use crate::model::{MetricSource, MetricSpec};

/// A larger figure could not be squared and summed.
const LARGEST: f64 = 1e150;
/// So many bytes on either side of a figure may be of the same number (B).
const SHOWN: usize = 20;
/// Of what is no number so much is shown (characters).
const SHOWN_CHARS: usize = 60;

/// Finds one figure.
#[derive(Clone, Debug)]
pub enum Reader {
    /// The first capture of a regular expression, and the pattern as the author wrote it.
    Pattern(Regex, String),
    /// `a.b` in the whole output, or in the last of its lines that is JSON and has it.
    Json(String),
    /// The column of this name, in the last row.
    Csv(String),
}

impl Reader {
    /// Of the metric called `name`; none if its figure is not read but said by a function.
    pub fn new(name: &str, spec: &MetricSpec) -> Result<Option<Self>, Failure> {
        Ok(Some(match &spec.source {
            MetricSource::Pattern { regex, pattern } => {
                let regex =
                    Regex::new(regex).map_err(|e| Failure::refused(format!("metric `{name}`: {e}")))?;
                Reader::Pattern(regex, pattern.clone())
            }
            MetricSource::Json(path) => Reader::Json(path.clone()),
            MetricSource::Csv(column) => Reader::Csv(column.clone()),
            MetricSource::Function(_) => return Ok(None),
        }))
    }

    /// The figure, or what is wrong with this output.
    pub fn figure(&self, output: &[u8]) -> Result<f64, String> {
        match self {
            Reader::Pattern(regex, pattern) => {
                let captures = regex.captures(output);
                let captures = captures.ok_or_else(|| format!("pattern '{pattern}' is not in the output"))?;
                let (found, whole) = figure_of(pattern, &captures, output);
                let shown =
                    |place: &Range<usize>| String::from_utf8_lossy(&output[place.clone()]).into_owned();
                match number(&output[found.clone()]) {
                    Ok(_) if whole != found => Err(format!(
                        "pattern '{pattern}' gives '{}', which is a part of '{}': let it read the whole number (`[-+%d.eE]+`; one \
                         with commas a function reads), or say what stands beside the figure",
                        shown(&found),
                        shown(&whole)
                    )),
                    other => other.map_err(|text| format!("pattern '{pattern}' gives {text}")),
                }
            }
            Reader::Json(path) => {
                if let Some(line) = broken_after(output, path) {
                    return Err(format!(
                        "`{}` has '{path}' and is no JSON (NaN and Infinity are none)",
                        shortened(&String::from_utf8_lossy(line), SHOWN_CHARS)
                    ));
                }
                let found = document(output, path).ok_or_else(|| {
                    format!("neither the output nor one of its lines is JSON with '{path}' in it")
                })?;
                match serde_json::from_str(found).ok().and_then(|value: Json| value.as_f64()) {
                    Some(figure) if figure.abs() <= LARGEST => Ok(figure),
                    Some(figure) => Err(format!("'{path}' in its JSON is {figure:e}, beyond ±{LARGEST:e}")),
                    None => Err(format!(
                        "'{path}' in its JSON is {}, which is not a number",
                        shortened(found, SHOWN_CHARS)
                    )),
                }
            }
            Reader::Csv(column) => {
                let cells = cells(output, column)
                    .ok_or_else(|| format!("no line of the output has a column '{column}'"))?;
                if let Some(line) = broken_row(output, column) {
                    return Err(format!(
                        "`{}` has not as many fields as the line with the column '{column}'",
                        shortened(&line, SHOWN_CHARS)
                    ));
                }
                let last = cells.last().filter(|_| cells.len() > 1);
                let last = last.ok_or_else(|| format!("there is no row below the column '{column}'"))?;
                number(&last.text).map_err(|text| format!("column '{column}' has {text} in its last row"))
            }
        }
    }

    /// Where in the output that is which differs from run to run: the figure that is read, and no other; of CSV all of its column,
    /// its name too.
    pub fn places(&self, output: &[u8]) -> Vec<Range<usize>> {
        match self {
            Reader::Pattern(regex, pattern) => {
                let captures = regex.captures(output);
                captures.iter().map(|captures| figure_of(pattern, captures, output).1).collect()
            }
            Reader::Json(path) => {
                document(output, path).and_then(|found| within(output, found)).into_iter().collect()
            }
            Reader::Csv(column) => {
                cells(output, column).into_iter().flatten().map(|cell| cell.place).collect()
            }
        }
    }
}

/// What a pattern reads, its first capture or all it found, without white space around it; and the whole of the number of which that is
/// only a part, if so. It is where there is a sign, digits, an exponent, or more behind a comma, beside it that the pattern does not ask
/// for: at an end of what it found, or where something beside the capture repeats (`.*` eats digits).
fn figure_of(pattern: &str, captures: &Captures<'_>, output: &[u8]) -> (Range<usize>, Range<usize>) {
    let all = captures.get_match();
    let found = captures.get(1).unwrap_or(all);
    let text = found.as_bytes();
    let begin = found.start() + (text.len() - text.trim_ascii_start().len());
    let figure = begin..begin + text.trim_ascii().len();
    let (before, behind) = (&output[..figure.start], &output[figure.end..]);
    let may_begin_before = figure.start == all.start() || repeats_before_capture(pattern);
    let cut_before =
        may_begin_before && has_digits_last(before) || figure.start == all.start() && has_sign_last(before);
    let may_end_behind = figure.end == all.end() || repeats_behind_capture(pattern);
    let cut_behind = may_end_behind && goes_on_behind(text.trim_ascii(), behind);
    let is_of_it = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.,:_'".contains(byte);
    let left = before.iter().rev().take(SHOWN).take_while(is_of_it).count();
    let right = behind.iter().take(SHOWN).take_while(is_of_it).count();
    let whole =
        figure.start - if cut_before { left } else { 0 }..figure.end + if cut_behind { right } else { 0 };
    (figure, whole)
}

/// Does what stands before the capture end with something that may be there many times?
fn repeats_before_capture(pattern: &str) -> bool {
    let (mut escaped, mut repeats) = (false, false);
    for c in pattern.chars() {
        match c {
            _ if escaped => (escaped, repeats) = (false, false),
            '%' => escaped = true,
            '(' => return repeats,
            other => repeats = "*+-?".contains(other),
        }
    }
    false
}

/// Does what stands behind the capture begin with something that is not one character, or may be there many times?
fn repeats_behind_capture(pattern: &str) -> bool {
    let Some((_, behind)) = pattern.split_once(')') else { return false };
    match behind.as_bytes() {
        [b'.' | b'[', ..] => true,
        [b'%', class, ..] if class.is_ascii_alphabetic() => !matches!(class, b's' | b'p'),
        [_, b'*' | b'-' | b'?', ..] => true,
        [b'%', _, b'*' | b'-' | b'?', ..] => true,
        _ => false,
    }
}

fn has_digits_last(before: &[u8]) -> bool {
    matches!(before, [.., digit] | [.., digit, b'.'] if digit.is_ascii_digit())
}

/// In `3-5` and `tile-5` it is none.
fn has_sign_last(before: &[u8]) -> bool {
    before.strip_suffix(b"-").is_some_and(|before| !before.last().is_some_and(u8::is_ascii_alphanumeric))
}

fn goes_on_behind(figure: &[u8], behind: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_whole = !figure.contains(&b'.');
    match behind {
        [digit, ..] if digit.is_ascii_digit() => true,
        [b'.', digit, ..] if digit.is_ascii_digit() => true,
        // C's and Fortran's, which leaves the letter out where the exponent has three digits.
        [b'e' | b'E' | b'd' | b'D', digit, ..] if digit.is_ascii_digit() => true,
        [b'e' | b'E' | b'd' | b'D', b'+' | b'-', digit, ..] if digit.is_ascii_digit() => true,
        [b'+' | b'-', exponent @ ..] => !is_whole && digits(exponent) == 3,
        // Thousands, or what others have for a point; in some languages with a mark between.
        [b',' | b'_' | b'\'', digit, ..] if digit.is_ascii_digit() => true,
        [b':', minutes @ ..] => is_whole && digits(minutes) == 2,
        [b'x' | b'X', hex, ..] => figure == b"0" && hex.is_ascii_hexdigit(),
        _ => false,
    }
}

/// Where a part of the output is in it.
fn within(output: &[u8], part: &str) -> Option<Range<usize>> {
    let begin = part.as_ptr().addr().checked_sub(output.as_ptr().addr())?;
    Some(begin..begin + part.len())
}

/// A number as the figure it is to be, or what is wrong with it.
pub fn figure(number: f64) -> Result<f64, String> {
    match number {
        figure if figure.abs() <= LARGEST => Ok(figure),
        figure if figure.is_finite() => Err(format!("{figure:e}, beyond ±{LARGEST:e}")),
        other => Err(format!("{}, which is not a finite number", other.to_string().to_lowercase())),
    }
}

fn number(text: &[u8]) -> Result<f64, String> {
    let text = String::from_utf8_lossy(text);
    match text.trim().replace(['d', 'D'], "e").parse::<f64>() {
        Ok(figure) if figure.abs() <= LARGEST => Ok(figure),
        Ok(figure) if figure.is_finite() => Err(format!("'{text}', beyond ±{LARGEST:e}")),
        _ => Err(format!("'{text}', which is not a finite number")),
    }
}

/// What is at the path, as it stands in the output: in all of it, or in the last of its lines that is JSON and has it.
fn document<'o>(output: &'o [u8], path: &str) -> Option<&'o str> {
    at_path(output, path)
        .or_else(|| output.rsplit(|byte| *byte == b'\n').find_map(|line| at_path(line, path)))
}

/// The last line that has the last name of the path and looks like JSON but is none, behind all that are: it was to be read.
fn broken_after<'o>(output: &'o [u8], path: &str) -> Option<&'o [u8]> {
    let name = format!("\"{}\"", path.rsplit('.').next().unwrap_or_default());
    let has_name = |line: &&[u8]| line.windows(name.len()).any(|part| part == name.as_bytes());
    if serde_json::from_slice::<&RawValue>(output).is_ok() {
        return None;
    }
    let mut lines = output.rsplit(|byte| *byte == b'\n');
    let last = lines.find(|line| line.trim_ascii_start().starts_with(b"{") && has_name(line))?;
    let is_whole = last.trim_ascii_end().ends_with(b"}");
    (is_whole && serde_json::from_slice::<&RawValue>(last).is_err()).then_some(last)
}

/// The same of one text. Items of a list are numbered from 1, as in Lua.
fn at_path<'o>(text: &'o [u8], path: &str) -> Option<&'o str> {
    // Most lines are not JSON: look before parsing.
    if !matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut value: &RawValue = serde_json::from_slice(text).ok()?;
    for step in path.split('.') {
        value = if value.get().starts_with('{') {
            serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(value.get()).ok()?.remove(step)?
        } else {
            let at = step.parse::<usize>().ok()?.checked_sub(1)?;
            serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()?.get(at)?
        };
    }
    Some(value.get())
}

/// A field of CSV, without white space around it: where it stands, quotes left aside, and its text.
#[derive(Default)]
struct Cell {
    place: Range<usize>,
    text: Vec<u8>,
}

/// The cells of a column: in the first line that has it, its name, and below that in as many lines as have as many fields. None without
/// such a line.
fn cells(output: &[u8], column: &str) -> Option<Vec<Cell>> {
    let mut begin = 0;
    let mut rows = output.split(|byte| *byte == b'\n').map(|line| {
        let at = begin;
        begin += line.len() + 1;
        fields(line, at)
    });
    let header = rows.find(|row| row.iter().any(|field| field.text == column.as_bytes()))?;
    let at = header.iter().position(|field| field.text == column.as_bytes())?;
    let width = header.len();
    let is_row = |row: &Vec<Cell>| row.len() == width && !(width == 1 && row[0].text.is_empty());
    let rows = std::iter::once(header).chain(rows.take_while(is_row));
    Some(rows.map(|mut row| row.swap_remove(at)).collect())
}

/// The line behind the rows if it looks like one, with a number in front or commas, and has another number of fields.
fn broken_row(output: &[u8], column: &str) -> Option<String> {
    let cells = cells(output, column)?;
    let last = cells.last()?.place.end;
    let line = output.get(last..)?.split(|byte| *byte == b'\n').nth(1)?;
    let fields = fields(line, 0);
    let is_row = fields.len() > 1 || fields.first().is_some_and(|field| number(&field.text).is_ok());
    is_row.then(|| String::from_utf8_lossy(line).into_owned())
}

/// The fields of a line of CSV that begins at `begin`; quoted ones may have commas in them.
fn fields(line: &[u8], begin: usize) -> Vec<Cell> {
    let (mut all, mut field, mut quoted) = (Vec::new(), Vec::new(), false);
    let mut from = 0;
    let cell = |text: &mut Vec<u8>, place: Range<usize>| {
        let trimmed = line[place.clone()].trim_ascii();
        let before = line[place.clone()].len() - line[place.clone()].trim_ascii_start().len();
        let at = begin + place.start + before;
        let text = std::mem::take(text).trim_ascii().to_vec();
        Cell { place: at..at + trimmed.len(), text }
    };
    let mut rest = line.iter().copied().enumerate().peekable();
    while let Some((at, byte)) = rest.next() {
        match byte {
            b'"' if quoted && rest.peek().is_some_and(|(_, next)| *next == b'"') => {
                rest.next();
                field.push(b'"');
            }
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                all.push(cell(&mut field, from..at));
                from = at + 1;
            }
            other => field.push(other),
        }
    }
    all.push(cell(&mut field, from..line.len()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(path: &str, output: &str) -> Result<f64, String> {
        Reader::Json(path.into()).figure(output.as_bytes())
    }

    fn csv(column: &str, output: &str) -> Result<f64, String> {
        Reader::Csv(column.into()).figure(output.as_bytes())
    }

    fn pattern(regex: &str, output: &str) -> Result<f64, String> {
        Reader::Pattern(Regex::new(regex).unwrap(), regex.into()).figure(output.as_bytes())
    }

    /// What is left out where outputs are compared, as text.
    fn hidden(reader: Reader, output: &str) -> Vec<&str> {
        reader.places(output.as_bytes()).into_iter().map(|place| &output[place]).collect()
    }

    #[test]
    fn json_is_the_whole_output_or_its_last_line_that_has_the_path() {
        assert_eq!(json("a.b", "{\n \"a\": { \"b\": 2.5 }\n}\n"), Ok(2.5));
        assert_eq!(json("t", "hello\n{\"t\": 1}\n{\"t\": 2}\n{\"u\": 3}\nbye {\n"), Ok(2.0));
        assert_eq!(json("runs.2.t", r#"{"runs": [{"t": 1}, {"t": 7}]}"#), Ok(7.0));
    }

    #[test]
    fn what_json_does_not_have_is_said() {
        let absent = "neither the output nor one of its lines is JSON with 'a.b' in it";
        for output in ["", "{", "{}", r#"{"a": 1}"#, r#"{"a": [1]}"#, r#""a.b""#] {
            assert_eq!(json("a.b", output), Err(absent.into()), "{output}");
        }
        assert!(json("runs.0", r#"{"runs": [1]}"#).is_err());
        let far = "'t' in its JSON is 1e999, which is not a number";
        assert_eq!(json("t", r#"{"t": 1e999}"#), Err(far.into()));
        let text = json("t", r#"{"t": "1.5"}"#);
        assert_eq!(text, Err(r#"'t' in its JSON is "1.5", which is not a number"#.into()));
    }

    #[test]
    fn csv_is_the_last_row_below_the_line_with_the_column() {
        let output = "start\nsize,\"GB/s\", time\n1,\"2.5\",3\n2,\"4.5\",6\n\ndone, 7, 8, 9\n";
        assert_eq!(csv("GB/s", output), Ok(4.5));
        assert_eq!(csv("time", output), Ok(6.0));
        assert_eq!(csv("a, \"b\"", "\"a, \"\"b\"\"\",c\r\n5,6\r\n"), Ok(5.0));
        assert_eq!(csv("t", "t\n1\n2\n"), Ok(2.0));
    }

    #[test]
    fn what_was_to_be_read_and_is_broken_is_no_reason_to_read_something_else() {
        let python = "{\"t\": 100.0}\n{\"t\": 2.5, \"err\": NaN}\n";
        assert!(
            json("t", python).unwrap_err().starts_with("`{\"t\": 2.5, \"err\": NaN}` has 't' and is no JSON")
        );
        assert_eq!(json("t", "{\"t\": 1}\n{\"u\": NaN}\n[INFO] {done}\n"), Ok(1.0));
        assert_eq!(json("t", "{\"t\": NaN}\n{\"t\": 2}\n"), Ok(2.0));
        for broken in ["size,t\n1,100\n2,3,5\n", "t,u\n1,2\n3\n", "t\n1\n3,5\n"] {
            assert!(csv("t", broken).unwrap_err().contains("has not as many fields"), "{broken}");
        }
        assert_eq!(csv("t", "size,t\n1,100\nsum of all\n"), Ok(100.0));
        assert_eq!(csv("t", "size,t\r\n1,100\r\n\r\n1,2,3\r\n"), Ok(100.0));
    }

    #[test]
    fn what_csv_does_not_have_is_said() {
        assert_eq!(csv("t", "a,b\n1,2\n"), Err("no line of the output has a column 't'".into()));
        assert_eq!(csv("a", "a,b\n"), Err("there is no row below the column 'a'".into()));
        let odd = "column 'a' has 'x', which is not a finite number in its last row";
        assert_eq!(csv("a", "a,b\nx,2\n"), Err(odd.into()));
        assert!(csv("a", "a,b\ninf,2\n").is_err());
        let far = "column 'a' has '-1e308', beyond ±1e150 in its last row";
        assert_eq!(csv("a", "a,b\n-1e308,2\n"), Err(far.into()));
        assert_eq!(json("t", r#"{"t": 2e200}"#), Err("'t' in its JSON is 2e200, beyond ±1e150".into()));
    }

    #[test]
    fn a_part_of_a_number_is_no_figure() {
        for (output, whole) in [
            ("GFLOPS: 1.234e+03", "1.234e+03"),
            ("GFLOPS: 1.5E-7 s", "1.5E-7"),
            ("GFLOPS: 1.2D+03", "1.2D+03"),
            ("GFLOPS: 1.2-103", "1.2-103"),
            ("GFLOPS: 0,25 s", "0,25"),
            ("GFLOPS: 1.234,5", "1.234,5"),
            ("GFLOPS: 1_000", "1_000"),
            ("GFLOPS: 1:23.5", "1:23.5"),
            ("GFLOPS: 0x1F", "0x1F"),
            ("GFLOPS: 1,234.5", "1,234.5"),
            ("GFLOPS: 12.", "12."),
        ] {
            let said = pattern("GFLOPS: ([0-9.]+)", output);
            match whole.parse::<f64>() {
                Ok(number) if whole.ends_with('.') => assert_eq!(said, Ok(number)),
                _ => assert!(
                    said.unwrap_err().contains(&format!("a part of '{whole}': let it read")),
                    "{output}"
                ),
            }
        }
        assert!(pattern("([0-9.]+)", "t -1.5").unwrap_err().contains("a part of '-1.5'"));
        assert!(
            pattern("t.*([0-9.]+)", "t=12.5").unwrap_err().contains("gives '5', which is a part of '12.5'")
        );
        assert!(pattern("t ([0-9])", "t 12").is_err());
        assert_eq!(pattern("([0-9.]+)", "3-5"), Ok(3.0));
        assert_eq!(pattern("-([0-9]+)", "3-5"), Ok(5.0));
        assert_eq!(pattern("([0-9.]+)", "tile-5 1e3"), Ok(5.0));
        assert_eq!(pattern("([0-9]+),", "1,234"), Ok(1.0), "it says what follows");
        assert_eq!(pattern("([0-9.]+)", "1.5GB 2"), Ok(1.5));
        assert_eq!(pattern("([0-9.]+)", "2.5 end. Of all, 3"), Ok(2.5));
    }

    #[test]
    fn the_figure_is_left_out_and_nothing_else() {
        assert_eq!(hidden(Reader::Csv("t".into()), "x\nn,t\n1,2\n3, \"4\" \nsum 5"), ["t", "2", "\"4\""]);
        assert_eq!(hidden(Reader::Csv("n".into()), "n\n1\n2"), ["n", "1", "2"]);
        assert_eq!(hidden(Reader::Json("t".into()), "x\n{\"t\":1}\n{\"t\" : 2,\"u\":1}\n{\"u\":3}"), ["2"]);
        assert_eq!(hidden(Reader::Json("t.1".into()), "{\n\"t\": [ 1.5, 2 ]\n}"), ["1.5"]);
        let pattern = Reader::Pattern(Regex::new("^([0-9]+)").unwrap(), String::new());
        assert_eq!(hidden(pattern.clone(), "5 s\n1 10\n2 20"), ["5"]);
        assert_eq!(
            hidden(pattern, "5.25 s"),
            ["5.25"],
            "a run whose figure is read in part fails; a reference does not"
        );
        assert_eq!(hidden(Reader::Csv("t".into()), "nothing"), [""; 0]);
    }
}
