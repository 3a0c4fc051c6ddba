//! What was tested as JUnit's XML, which GitLab, Jenkins and others show.
//!
//! The format is a handful of elements that never change: this file is all there is to know of it, and tests read it back
//! with a parser of XML. Knows nothing of what a test is.

use std::fmt::Write;

/// Tests that belong together.
pub struct Suite {
    /// What they are called together.
    pub name: String,
    /// The tests, in order.
    pub cases: Vec<Case>,
    /// What is to be said of all of them; empty: nothing.
    pub said: String,
}

/// One test.
pub struct Case {
    /// What it is called.
    pub name: String,
    /// What it is part of.
    pub class: String,
    /// How long it took, s.
    pub seconds: Option<f64>,
    /// How it ended.
    pub became: Became,
}

/// How a test ended.
pub enum Became {
    /// Well; what is to be said of it.
    Good(String),
    /// Not.
    Failed {
        /// In one word.
        kind: String,
        /// In a line.
        message: String,
        /// All of it.
        text: String,
    },
    /// Not done, or not to be decided, and why.
    Skipped(String),
}

/// All suites as one document.
pub fn document(name: &str, suites: &[Suite]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all = || suites.iter().flat_map(|suite| &suite.cases);
    let _ = writeln!(text, "<testsuites name=\"{}\" {}>", escaped(name), counts(all()));
    for suite in suites {
        let skipped = suite.cases.iter().filter(|case| matches!(case.became, Became::Skipped(_))).count();
        let (name, counts) = (escaped(&suite.name), counts(suite.cases.iter()));
        let _ = writeln!(text, "  <testsuite name=\"{name}\" {counts} skipped=\"{skipped}\">");
        for case in &suite.cases {
            test(&mut text, case);
        }
        if !suite.said.is_empty() {
            let _ = writeln!(text, "    <system-out>{}</system-out>", escaped(&suite.said));
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn counts<'a>(cases: impl Iterator<Item = &'a Case> + Clone) -> String {
    let failures = cases.clone().filter(|case| matches!(case.became, Became::Failed { .. })).count();
    format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\"", cases.count())
}

fn test(text: &mut String, case: &Case) {
    let (name, class) = (escaped(&case.name), escaped(&case.class));
    let time = case.seconds.map(|seconds| format!(" time=\"{seconds:.3}\"")).unwrap_or_default();
    let _ = write!(text, "    <testcase name=\"{name}\" classname=\"{class}\"{time}");
    let _ = match &case.became {
        Became::Failed { kind, message, text: whole } => {
            let (kind, message, whole) = (escaped(kind), escaped(message), escaped(whole));
            writeln!(text, "><failure type=\"{kind}\" message=\"{message}\">{whole}</failure></testcase>")
        }
        Became::Skipped(why) => writeln!(text, "><skipped message=\"{}\"/></testcase>", escaped(why)),
        Became::Good(said) if said.is_empty() => writeln!(text, "/>"),
        Became::Good(said) => {
            writeln!(text, "><system-out>{}</system-out></testcase>", escaped(said))
        }
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
