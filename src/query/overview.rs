//! What can be asked of journals: tables with their columns, names of parameters and figures, examples.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use serde_json::Value;

use super::database::{Database, Wanted, tables};
use super::functions;
use super::journal::{Journal, What, names};
use super::{QueryError, table_names};

/// Columns are listed up to here (characters).
const WIDTH: usize = 100;

const EXAMPLES: [&str; 3] = [
    "select name, params, median, unit, ci_lo, ci_hi, n, flags from measurements where current and status = 'ok'",
    "select kind, status, reason, count(*) from tasks where current and status <> 'ok' group by 1, 2, 3",
    "select name, params, median(wall_s), ci_lo(wall_s), ci_hi(wall_s) from samples where current group by 1, 2",
];

/// The text.
pub fn overview(journals: &[PathBuf]) -> Result<String, QueryError> {
    let database = Database::in_memory(journals.len() > 1)?;
    let wanted = Wanted::of(&table_names().join(" "));
    let (mut params, mut metrics) = (BTreeSet::new(), BTreeSet::new());
    for (path, name) in journals.iter().zip(names(journals)) {
        let journal = Journal::read(path, name)?;
        database.fill(&journal, &wanted)?;
        for ended in journal.counted() {
            let point = ended.facts().params.as_ref().and_then(Value::as_object);
            params.extend(point.into_iter().flatten().map(|(name, _)| name.clone()));
            if let What::Measurement(it) = &ended.what {
                metrics.extend(it.metrics.keys().cloned());
            }
        }
    }
    let mut text = String::new();
    for table in tables() {
        let count = database.number(&format!("select count(*) from {}", table.name))?;
        let _ = writeln!(text, "{} ({count}): {}", table.name, table.about);
        if table.name == "repeats" {
            text += "  parent, and those of measurements\n";
            continue;
        }
        let journal = (journals.len() > 1).then_some("journal");
        text += &wrapped(journal.into_iter().chain(table.columns.iter().map(|(name, _)| *name)));
    }
    named(&mut text, "parameters", "params", &params);
    named(&mut text, "figures that programs printed", "metrics", &metrics);
    let _ = writeln!(text, "aggregates beside SQLite's own: {}\n\nfor example", functions::ABOUT);
    for example in EXAMPLES {
        let _ = writeln!(text, "  {example}");
    }
    Ok(text)
}

fn wrapped<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let (mut text, mut line) = (String::new(), String::from(" "));
    for word in words {
        if line.len() + word.len() >= WIDTH {
            let _ = writeln!(text, "{line}");
            line = " ".into();
        }
        line.push(' ');
        line.push_str(word);
    }
    text + &line + "\n"
}

fn named(text: &mut String, what: &str, column: &str, names: &BTreeSet<String>) {
    if let Some(first) = names.first() {
        let all = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "{what}, as `{column}->>'{first}'`: {all}");
    }
}
