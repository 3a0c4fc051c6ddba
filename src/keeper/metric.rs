//! Figures in what a program prints: by a pattern, at a place in JSON, in a column of CSV.
//!
//! Knows the text of one run; nothing of samples, of how often it runs and of what the figures are for.

use regex::bytes::Regex;
use serde_json::Value as Json;

use super::site::Failure;
use crate::model::{MetricSource, MetricSpec};

/// A larger figure could not be squared and summed.
const LARGEST: f64 = 1e150;

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
                let found = regex.captures(output);
                let found = found.ok_or_else(|| format!("pattern '{pattern}' is not in the output"))?;
                let text = found.get(1).or(found.get(0)).map_or(&b""[..], |group| group.as_bytes());
                number(text).map_err(|text| format!("pattern '{pattern}' gives {text}"))
            }
            Reader::Json(path) => {
                let value = document(output, path).ok_or_else(|| {
                    format!("neither the output nor one of its lines is JSON with '{path}' in it")
                })?;
                match value.as_f64() {
                    Some(figure) if figure.abs() <= LARGEST => Ok(figure),
                    Some(figure) => Err(format!("'{path}' in its JSON is {figure:e}, beyond ±{LARGEST:e}")),
                    None => Err(format!("'{path}' in its JSON is {value}, which is not a number")),
                }
            }
            Reader::Csv(column) => {
                let lines: Vec<&[u8]> = output.split(|byte| *byte == b'\n').collect();
                let (rows, at) = table(&lines, column)
                    .ok_or_else(|| format!("no line of the output has a column '{column}'"))?;
                let last = rows.last().filter(|_| rows.len() > 1);
                let last = last.ok_or_else(|| format!("there is no row below the column '{column}'"))?;
                let cell = last.get(at).map_or(&b""[..], Vec::as_slice);
                number(cell).map_err(|text| format!("column '{column}' has {text} in its last row"))
            }
        }
    }

    /// Empties the lines that have the figure: they differ from run to run. None is removed, so that line
    /// numbers stay.
    pub fn hide(&self, lines: &mut [&[u8]]) {
        match self {
            Reader::Pattern(regex, _) => {
                lines.iter_mut().filter(|line| regex.is_match(line)).for_each(|line| *line = b"");
            }
            Reader::Json(path) => {
                let is_one = parsed(&lines.join(&b'\n'), path).is_some();
                let hidden = lines.iter_mut().filter(|line| is_one || parsed(line, path).is_some());
                hidden.for_each(|line| *line = b"");
            }
            Reader::Csv(column) => {
                let header =
                    lines.iter().position(|line| fields(line).iter().any(|f| f == column.as_bytes()));
                let Some(header) = header else { return };
                let width = table(lines, column).map_or(0, |(rows, _)| rows.len());
                lines[header..header + width].fill(b"");
            }
        }
    }
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
    match text.trim().parse::<f64>() {
        Ok(figure) if figure.abs() <= LARGEST => Ok(figure),
        Ok(figure) if figure.is_finite() => Err(format!("'{text}', beyond ±{LARGEST:e}")),
        _ => Err(format!("'{text}', which is not a finite number")),
    }
}

fn document(output: &[u8], path: &str) -> Option<Json> {
    parsed(output, path).or_else(|| output.rsplit(|byte| *byte == b'\n').find_map(|line| parsed(line, path)))
}

/// What is at the path, if this is JSON that has it. Items of a list are numbered from 1, as in Lua.
fn parsed(text: &[u8], path: &str) -> Option<Json> {
    // Most lines are not JSON: look before parsing.
    if !matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut value: Json = serde_json::from_slice(text).ok()?;
    for step in path.split('.') {
        value = match value {
            Json::Object(mut fields) => fields.remove(step)?,
            Json::Array(mut items) => {
                let at = step.parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < items.len())?;
                items.swap_remove(at)
            }
            _ => return None,
        };
    }
    Some(value)
}

/// The first line that has the column and the lines below it with as many fields, and where the column is.
fn table(lines: &[&[u8]], column: &str) -> Option<(Vec<Vec<Vec<u8>>>, usize)> {
    let mut rows = lines.iter().map(|line| fields(line));
    let header = rows.find(|row| row.iter().any(|field| field == column.as_bytes()))?;
    let at = header.iter().position(|field| field == column.as_bytes())?;
    let width = header.len();
    let is_row = |row: &Vec<Vec<u8>>| row.len() == width && !(width == 1 && row[0].is_empty());
    Some((std::iter::once(header).chain(rows.take_while(is_row)).collect(), at))
}

/// The fields of a line of CSV, without white space around them; quoted ones may have commas in them.
fn fields(line: &[u8]) -> Vec<Vec<u8>> {
    let (mut all, mut field, mut quoted) = (Vec::new(), Vec::new(), false);
    let mut rest = line.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' if quoted && rest.peek() == Some(&b'"') => {
                rest.next();
                field.push(b'"');
            }
            b'"' => quoted = !quoted,
            b',' if !quoted => all.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    all.push(field);
    all.into_iter().map(|field| field.trim_ascii().to_vec()).collect()
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

    fn hidden(reader: Reader, output: &str) -> String {
        let mut lines: Vec<&[u8]> = output.as_bytes().split(|byte| *byte == b'\n').collect();
        reader.hide(&mut lines);
        String::from_utf8(lines.join(&b'\n')).unwrap()
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
    fn lines_with_the_figure_are_hidden_and_no_others() {
        assert_eq!(hidden(Reader::Csv("t".into()), "x\nn,t\n1,2\n3,4\nsum 5"), "x\n\n\n\nsum 5");
        assert_eq!(hidden(Reader::Json("t".into()), "x\n{\"t\":1}\n{\"u\":1}"), "x\n\n{\"u\":1}");
        assert_eq!(hidden(Reader::Json("t".into()), "{\n\"t\":1\n}"), "\n\n");
        let pattern = Reader::Pattern(Regex::new("t=([0-9]+)").unwrap(), String::new());
        assert_eq!(hidden(pattern, "a\nt=4\nb"), "a\n\nb");
    }
}
