//! Text in two columns below headings: what is said of one task. Pure.

use std::fmt::Write;

/// Labels are as wide as this (characters).
const LABEL_CHARS: usize = 13;

/// See the module.
#[derive(Default)]
pub(super) struct Sheet {
    text: String,
    /// The heading of what follows; written with the first row below it.
    heading: Option<&'static str>,
}

impl Sheet {
    /// A line of its own.
    pub(super) fn line(&mut self, text: &str) {
        self.begin();
        let _ = writeln!(self.text, "{}", text.trim_end());
    }

    /// Rows below it follow, or nothing is said of it.
    pub(super) fn heading(&mut self, heading: &'static str) {
        self.heading = Some(heading);
    }

    /// A label, and what is said beside it: further lines below the first. Without a text there is no row.
    pub(super) fn row(&mut self, label: &str, text: &str) {
        let mut lines = text.lines().map(str::trim_end);
        let Some(first) = lines.next().filter(|_| !text.trim().is_empty()) else { return };
        self.begin();
        let _ = writeln!(self.text, "  {label:<LABEL_CHARS$} {first}");
        for line in lines {
            let line = format!("  {:<LABEL_CHARS$} {line}", "");
            let _ = writeln!(self.text, "{}", line.trim_end());
        }
    }

    /// The same for what may not be known.
    pub(super) fn known(&mut self, label: &str, text: Option<impl ToString>) {
        if let Some(text) = text {
            self.row(label, &text.to_string());
        }
    }

    /// All of it.
    pub(super) fn end(self) -> String {
        self.text
    }

    fn begin(&mut self) {
        if let Some(heading) = self.heading.take() {
            let _ = writeln!(self.text, "\n{heading}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_stands_only_above_what_is_said() {
        let mut sheet = Sheet::default();
        sheet.line("gemm");
        sheet.heading("nothing");
        sheet.row("empty", " ");
        sheet.known("unknown", None::<u32>);
        sheet.heading("where");
        sheet.row("node", "node1\n\nnode2  ");
        sheet.known("cores", Some(4));
        let text = "gemm\n\nwhere\n  node          node1\n\n                node2\n  cores         4\n";
        assert_eq!(sheet.end(), text);
    }
}
