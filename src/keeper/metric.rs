//! Figures in what a program prints: by a pattern, at a place in JSON, in a column of CSV.
//!
//! Knows the text of one run; nothing of samples, of how often it runs and of what the figures are for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use regex::bytes::{Captures, Regex};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::numerals;
use super::site::Failure;
use crate::model::human::shortened;
use crate::model::{MetricSource, MetricSpec};

/// A larger figure could not be squared and summed.
const LARGEST: f64 = 1e150;
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
                let found = read_at(&captures);
                let shown = |place: Range<usize>| String::from_utf8_lossy(&output[place]).into_owned();
                match (number(&output[found.clone()]), numerals::whole(output, found.clone(), pattern)) {
                    (Ok(_), Some((whole, advice))) => {
                        let (found, whole) = (shown(found), shown(whole));
                        Err(format!(
                            "pattern '{pattern}' gives '{found}', which is a part of '{whole}': {advice}"
                        ))
                    }
                    (number, _) => number.map_err(|text| format!("pattern '{pattern}' gives {text}")),
                }
            }
            Reader::Json(path) => {
                let found = document(output, path).map_err(|absent| match absent {
                    Absent::Nowhere => {
                        format!("neither the output nor one of its lines is JSON with '{path}' in it")
                    }
                    Absent::Broken(line) => format!(
                        "`{}` should have '{path}' and is no JSON (NaN and Infinity are none)",
                        shortened(&String::from_utf8_lossy(line), SHOWN_CHARS)
                    ),
                })?;
                match serde_json::from_str(found).ok().and_then(|value: Json| value.as_f64()) {
                    Some(figure) if is_lost(found, figure) => {
                        Err(format!("'{path}' in its JSON is {found}, {TOO_SMALL}"))
                    }
                    Some(figure) if figure.abs() <= LARGEST => Ok(figure),
                    Some(figure) => Err(format!("'{path}' in its JSON is {figure:e}, beyond ±{LARGEST:e}")),
                    None => Err(format!(
                        "'{path}' in its JSON is {}, which is not a number",
                        shortened(found, SHOWN_CHARS)
                    )),
                }
            }
            Reader::Csv(column) => {
                let sheet = Sheet::of(output, column)
                    .ok_or_else(|| format!("no line of the output has a column '{column}'"))?;
                if sheet.is_broken() {
                    let line: Vec<_> =
                        sheet.behind.iter().map(|cell| String::from_utf8_lossy(&cell.text)).collect();
                    return Err(format!(
                        "`{}` has not as many fields as the line with the column '{column}'",
                        shortened(&line.join(","), SHOWN_CHARS)
                    ));
                }
                let last = sheet.cells().skip(1).last();
                let last = last.ok_or_else(|| format!("there is no row below the column '{column}'"))?;
                number(&last.text).map_err(|text| format!("column '{column}' has {text} in its last row"))
            }
        }
    }

    /// Is the figure surely the one that is meant, though a part of the output is cut? It stands behind that, where the last counts; a
    /// pattern means the first that there is, unless it begins with all that is before.
    pub fn is_beside(&self, output: &[u8], cut: &Range<usize>) -> bool {
        let means_first = match self {
            Reader::Pattern(_, pattern) => !pattern.trim_start_matches('^').starts_with(".*"),
            Reader::Json(_) | Reader::Csv(_) => false,
        };
        let place = self.places(output).pop();
        place.is_some_and(|place| place.start > cut.end || means_first && place.end < cut.start)
    }

    /// Where in the output that is which differs from run to run: the figure that is read, and no other; of CSV all of its column,
    /// its name too.
    pub fn places(&self, output: &[u8]) -> Vec<Range<usize>> {
        match self {
            Reader::Pattern(regex, pattern) => {
                // A run whose figure is read in part fails; of a reference all of it is left out.
                let whole = |found: Range<usize>| {
                    numerals::whole(output, found.clone(), pattern).map_or(found, |(whole, _)| whole)
                };
                regex.captures(output).iter().map(read_at).map(whole).collect()
            }
            Reader::Json(path) => {
                document(output, path).ok().and_then(|found| within(output, found)).into_iter().collect()
            }
            Reader::Csv(column) => {
                let sheet = Sheet::of(output, column);
                sheet.iter().flat_map(Sheet::cells).map(|cell| cell.place.clone()).collect()
            }
        }
    }
}

/// Where a pattern reads: its first capture, or all it found, without white space around it.
fn read_at(captures: &Captures<'_>) -> Range<usize> {
    let found = captures.get(1).unwrap_or_else(|| captures.get_match());
    let text = found.as_bytes();
    let begin = found.start() + (text.len() - text.trim_ascii_start().len());
    begin..begin + text.trim_ascii().len()
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

/// Fortran's `1.5D-03` and `1.5-103` as C writes them, and without the full stop of a sentence.
fn as_in_c(text: &str) -> String {
    let text = text.replace(['d', 'D'], "e");
    let text = match text.strip_suffix('.') {
        Some(number) if number.contains('.') => number,
        _ => &text,
    };
    // Without the letter the exponent has three digits, and there is a point before it: `3-5` is something else.
    let has_no_letter = |sign: &usize| {
        let (mantissa, exponent) = (&text[..*sign], &text[sign + 1..]);
        let is_mantissa =
            mantissa.contains('.') && mantissa.ends_with(|c: char| c.is_ascii_digit() || c == '.');
        is_mantissa && exponent.len() == 3 && exponent.bytes().all(|byte| byte.is_ascii_digit())
    };
    match text.rfind(['+', '-']).filter(has_no_letter) {
        Some(sign) => format!("{}e{}", &text[..sign], &text[sign..]),
        None => text.to_owned(),
    }
}

/// It would be the best time of all.
const TOO_SMALL: &str = "which is smaller than any number but 0 that a double can hold";

/// Is the figure 0 though what was written is not?
fn is_lost(text: &str, figure: f64) -> bool {
    let mantissa = text.split(['e', 'E', 'd', 'D']).next().unwrap_or_default();
    figure == 0.0 && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

fn number(text: &[u8]) -> Result<f64, String> {
    let text = String::from_utf8_lossy(text);
    match as_in_c(text.trim()).parse::<f64>() {
        Ok(figure) if is_lost(&text, figure) => Err(format!("'{text}', {TOO_SMALL}")),
        Ok(figure) if figure.abs() <= LARGEST => Ok(figure),
        Ok(figure) if figure.is_finite() => Err(format!("'{text}', beyond ±{LARGEST:e}")),
        _ => Err(format!("'{text}', which is not a finite number")),
    }
}

/// Why there is nothing at a path.
enum Absent<'o> {
    /// No JSON has it.
    Nowhere,
    /// What should have it begins in this line and is no JSON.
    Broken(&'o [u8]),
}

/// What is at the path, as it stands in the output: in all of it, or in the last of its lines that is JSON and has it; also in what begins
/// with a line that has only a bracket. What looks like having it, behind that, and is broken is not passed over.
fn document<'o>(output: &'o [u8], path: &str) -> Result<&'o str, Absent<'o>> {
    if let Some(found) = at_path(output, path) {
        return Ok(found);
    }
    let mut end = output.len();
    for line in output.rsplit(|byte| *byte == b'\n') {
        let begin = end - line.len();
        let is_bracket = matches!(line.trim_ascii(), b"{" | b"[");
        let text = if is_bracket { &output[begin..] } else { line };
        if let Some(found) = at_path(text, path) {
            return Ok(found);
        }
        if seems_to_have(text, path) && serde_json::from_slice::<&RawValue>(text).is_err() {
            return Err(Absent::Broken(line));
        }
        end = begin.saturating_sub(1);
    }
    Err(Absent::Nowhere)
}

/// Does a text that begins as JSON have all names of the path, each in as many brackets as it should be?
fn seems_to_have(text: &[u8], path: &str) -> bool {
    if !matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return false;
    }
    let is_name = |step: &&str| step.parse::<usize>().is_err();
    let mut names = path.split('.').enumerate().filter(|(_, step)| is_name(step)).peekable();
    if names.peek().is_none() {
        return false;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while let (Some((step, name)), Some(byte)) = (names.peek(), text.get(at)) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let length = string_length(&text[at + 1..]);
                let behind = text.get(at + length + 2..).unwrap_or_default().trim_ascii_start();
                let is_it = text.get(at + 1..at + 1 + length) == Some(name.as_bytes())
                    && behind.first() == Some(&b':');
                if is_it && depth == step + 1 {
                    names.next();
                }
                at += length + 1;
            }
            _ => {}
        }
        at += 1;
    }
    names.peek().is_none()
}

/// Of a string of JSON, behind its first quote.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let ends = |byte: &u8| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    };
    text.iter().position(ends).unwrap_or(text.len())
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

/// A table of CSV: from a line that has the column on, all lines with as many fields, and the line behind them.
struct Sheet {
    rows: Vec<Vec<Cell>>,
    behind: Vec<Cell>,
    column: usize,
}

impl Sheet {
    /// The first that has the column and a row below it, else the first that has the column.
    fn of(output: &[u8], column: &str) -> Option<Self> {
        let mut begin = 0;
        let lines = output.split(|byte| *byte == b'\n').map(|line| {
            let at = begin;
            begin += line.len() + 1;
            fields(line, at)
        });
        let mut lines: Vec<Vec<Cell>> = lines.collect();
        let table = |(at, header): (usize, &Vec<Cell>)| {
            let column = header.iter().position(|field| field.text == column.as_bytes())?;
            let width = header.len();
            let is_row = |row: &&Vec<Cell>| row.len() == width && !(width == 1 && row[0].text.is_empty());
            Some((at, column, lines[at..].iter().take_while(is_row).count()))
        };
        let mut tables = lines.iter().enumerate().filter_map(table);
        let first = tables.next()?;
        let found = std::iter::once(first).chain(tables).find(|(_, _, rows)| *rows > 1);
        let (at, column, number) = found.unwrap_or(first);
        let mut rows = lines.split_off(at);
        let behind = rows.drain(number..).next().unwrap_or_default();
        Some(Self { rows, behind, column })
    }

    /// The cells of the column, its name first.
    fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.rows.iter().map(|row| &row[self.column])
    }

    /// Is the line behind the rows one of them that is broken? It begins as they do, and has another number of fields.
    fn is_broken(&self) -> bool {
        let is_number = |cell: &Cell| number(&cell.text).is_ok();
        let Some(last) = self.rows.get(1..).and_then(<[_]>::last) else { return false };
        let (Some(head), Some(like)) = (self.behind.first(), last.first()) else { return false };
        let is_word =
            |cell: &Cell| !cell.text.is_empty() && !cell.text.contains(&b' ') && cell.text[0] != b'#';
        let others = &self.behind[1..];
        let begins_alike = is_number(head) == is_number(like) && is_word(head);
        begins_alike && (others.iter().any(is_number) || others.is_empty() && is_number(head))
    }
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
        let says = "`{\"t\": 2.5, \"err\": NaN}` should have 't' and is no JSON (NaN and Infinity are none)";
        assert_eq!(json("t", python), Err(says.into()));
        for (path, output) in [
            ("t", "{\"t\": 100}\n{\"t\": 2.5, \"e\""),
            ("t.1", "{\"t\": [100]}\n{\"t\": [NaN]}"),
            ("1.t", "[{\"t\": 100}]\n[{\"t\": NaN}]"),
            ("t", "{\"t\": 100}\n{\n  \"t\": NaN\n}"),
            ("t", "{\"t\": 100}\n{\"t\": NaN}\n{\"cfg\": {\"t\": 3}}"),
        ] {
            assert!(json(path, output).is_err_and(|said| said.contains("is no JSON")), "{output}");
        }
        for (path, output, figure) in [
            ("t", "{\"t\": 1}\n{\"u\": NaN}\n[INFO] {done}\n", 1.0),
            ("t", "{\"t\": NaN}\n{\"t\": 2}\n", 2.0),
            ("t", "{\"t\": 2.5}\n{\"cfg\": {\"t\": Infinity}}", 2.5),
            ("a.b", "{\"a\":{\"b\":2.5}}\n{\"b\": NaN}", 2.5),
            ("t", "{\"t\": 2.5}\n{log} wrote \"t\" to {file}", 2.5),
            ("t", "{\"t\": 100}\n{\n  \"t\": 2\n}\n", 2.0),
        ] {
            assert_eq!(json(path, output), Ok(figure), "{output}");
        }
        for broken in ["size,t\n1,100\n2,3,5\n", "t,u\n1,2\n3\n", "t\n1\n3,5\n"] {
            assert!(csv("t", broken).unwrap_err().contains("has not as many fields"), "{broken}");
        }
        assert_eq!(csv("t", "size,t\n1,100\nsum of all\n"), Ok(100.0));
        assert_eq!(csv("t", "size,t\r\n1,100\r\n\r\n1,2,3\r\n"), Ok(100.0));
        assert_eq!(csv("t", "size,t\n1,2.5\na,b,c\n1,2,3\n"), Ok(2.5), "another table");
        assert_eq!(csv("t", "time, size, t\nsize,t\n1,2.5\n"), Ok(2.5), "what was asked for is told first");
        assert_eq!(csv("t", "size,t\n1,2.5\nDone in 1.2 s, 3 runs, ok\n"), Ok(2.5));
        assert_eq!(csv("t", "size,t\nsmall,2.5\n# 3, 4, 5\n"), Ok(2.5));
        assert!(csv("t", "size,t\nsmall,2.5\nlarge,3,5\n").is_err());
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
        let lost = "column 'a' has '1.5D-999', which is smaller than any number but 0 that a double can hold in its last row";
        assert_eq!(csv("a", "a\n1.5D-999\n"), Err(lost.into()));
        assert!(json("t", r#"{"t": 1e-999}"#).unwrap_err().contains("smaller than any number but 0"));
        assert_eq!((csv("a", "a\n0.0e-3\n"), csv("a", "a\n-0\n")), (Ok(0.0), Ok(0.0)));
    }

    #[test]
    fn a_part_of_a_number_is_no_figure() {
        let says = |regex: &str, output: &str| pattern(regex, output).unwrap_err();
        let read = "pattern 'GFLOPS: ([0-9.]+)' gives '1.2', which is a part of '1.2e+03': `[-+%d.eE]+` reads all of it";
        assert_eq!(says("GFLOPS: ([0-9.]+)", "GFLOPS: 1.2e+03"), read);
        assert!(
            says("([0-9.]+) s", "0,25 s")
                .contains("gives '25', which is a part of '0,25': a function (`fn`)")
        );
        assert_eq!(pattern("GFLOPS: ([0-9.]+)", "GFLOPS: 12."), Ok(12.0));
        assert_eq!(pattern("time ([0-9.]+)", "in a time 12.5."), Ok(12.5));
        assert_eq!(pattern("([-+0-9.eEdD]+)", "1.2D+03"), Ok(1200.0));
        assert_eq!(pattern("([-+0-9.]+)", "1.25-103"), Ok(1.25e-103));
        assert_eq!(pattern("([-+0-9.eE]+)", "-1.25e-3"), Ok(-1.25e-3));
        assert!(pattern("([-+0-9]+)", "3-5").is_err());
    }

    #[test]
    fn a_figure_that_what_was_cut_may_have_is_none() {
        let first = |pattern: &str| Reader::Pattern(Regex::new("t=([0-9]+)").unwrap(), pattern.into());
        let beside = |reader: Reader, head: &str, tail: &str| {
            let output = format!("{head}\n[cut]\n{tail}");
            reader.is_beside(output.as_bytes(), &(head.len()..output.len() - tail.len()))
        };
        assert!(beside(first("t=(%d+)"), "t=12 s", "") && beside(first("t=(%d+)"), "", "a t=12"));
        assert!(!beside(first("t=(%d+)"), "t=12", "34 s"), "cut in two");
        assert!(
            !beside(first(".*t=(%d+)"), "t=12 s", "")
                && beside(first(".*t=(%d+)"), "t=1", "2\nt=3").eq(&false)
        );
        let (csv, json) = (|| Reader::Csv("t".into()), || Reader::Json("t".into()));
        assert!(!beside(csv(), "i,t\n1,15", "00\n2,3\n") && beside(csv(), "x", "y\ni,t\n1,2\n"));
        assert!(!beside(json(), "{\"t\": 1}\n", "more") && beside(json(), "{\"t\": 1}\n", "\n{\"t\": 2}\n"));
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
