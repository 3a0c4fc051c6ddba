//! A comparison of sessions as JUnit's XML: a test for each row.

use super::{Gate, Row};
use crate::report::junit::{Became, Case, Suite, document};

impl Gate {
    /// A regression is a failure; what is open is skipped, as JUnit has no word for it, and says why.
    pub fn junit(&self) -> String {
        let said = [&self.summary()].into_iter().chain(&self.notes).cloned().collect::<Vec<_>>().join("\n");
        let cases = self.rows.iter().map(case).collect();
        document("harness compare", &[Suite { name: self.new.clone(), cases, said }])
    }
}

fn case(row: &Row) -> Case {
    let (word, line) = (row.verdict.word(), row.line());
    let became = if row.verdict.is_regression() {
        Became::Failed { kind: word.into(), message: line.clone(), text: line }
    } else if row.verdict.is_open() {
        Became::Skipped(format!("{word}: {line}"))
    } else {
        Became::Good(format!("{word}: {line}"))
    };
    Case { name: row.name.clone(), class: row.metric.clone(), seconds: None, became }
}
