//! A comparison of sessions as JUnit's XML, which GitLab, Jenkins and others show: a test for each row.
//!
//! The format is a handful of elements that never change: this file is all there is to know of it, and a test reads it back
//! with a parser of XML.

use std::fmt::Write;

use super::{Gate, Row};

impl Gate {
    /// A regression is a failure; what is open is skipped, as JUnit has no word for it, and says why.
    pub fn junit(&self) -> String {
        let number = |is: fn(&Row) -> bool| self.rows.iter().filter(|row| is(row)).count();
        let (failures, skipped) =
            (number(|row| row.verdict.is_regression()), number(|row| row.verdict.is_open()));
        let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\"", self.rows.len());
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = writeln!(text, "<testsuites name=\"harness compare\" {counts}>");
        let _ =
            writeln!(text, "  <testsuite name=\"{}\" {counts} skipped=\"{skipped}\">", escaped(&self.new));
        for row in &self.rows {
            test(&mut text, row);
        }
        let said = [&self.summary()].into_iter().chain(&self.notes).cloned().collect::<Vec<_>>().join("\n");
        let _ = writeln!(text, "    <system-out>{}</system-out>", escaped(&said));
        text.push_str("  </testsuite>\n</testsuites>\n");
        text
    }
}

fn test(text: &mut String, row: &Row) {
    let (name, metric, word) = (escaped(&row.name), escaped(&row.metric), row.verdict.word());
    let line = escaped(&row.line());
    let _ = write!(text, "    <testcase name=\"{name}\" classname=\"{metric}\"");
    let _ = if row.verdict.is_regression() {
        writeln!(text, "><failure type=\"{word}\" message=\"{line}\">{line}</failure></testcase>")
    } else if row.verdict.is_open() {
        writeln!(text, "><skipped message=\"{word}: {line}\"/></testcase>")
    } else {
        writeln!(text, "><system-out>{word}: {line}</system-out></testcase>")
    };
}

/// Text in an attribute or an element; what XML cannot hold is shown as such.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\n' | '\t' => shown.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => shown.push('\u{fffd}'),
            c => shown.push(c),
        }
    }
    shown
}
