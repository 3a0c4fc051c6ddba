//! Which files were made by an export, as far as their beginning tells: nothing else is replaced by one.
//!
//! Knows the forms, and no file system.

use std::collections::BTreeSet;

use super::database::{APPLICATION, tables};

/// So much of a file is enough (B).
pub const BEGINNING: u64 = 4096;
/// Where SQLite's files have the number of the application (B).
const APPLICATION_AT: std::ops::Range<usize> = 68..72;

/// Does a file that begins so come from an export, or is nothing in it?
pub fn is_export(beginning: &[u8]) -> bool {
    if beginning.is_empty() || beginning.starts_with(b"PAR1") {
        return true;
    }
    if beginning.starts_with(b"SQLite format 3\0") {
        return beginning.get(APPLICATION_AT) == Some(&APPLICATION.to_be_bytes()[..]);
    }
    let text = String::from_utf8_lossy(beginning);
    is_document(&text) || first_columns().iter().any(|column| begins_with_column(&text, column))
}

/// What has no columns of its own, or none at its beginning.
fn is_document(text: &str) -> bool {
    let latex = text.strip_prefix("% \\usepackage{").and_then(|rest| rest.split_once('\n'));
    text.trim_end() == "[]"
        || text.starts_with("{\n  \"results\": [")
        || text.starts_with("{\"displayTimeUnit\":\"ms\",\"otherData\":{")
        || latex.is_some_and(|(_, rest)| rest.starts_with("\\begin{tabular}"))
}

/// What the first column of rows is called.
fn first_columns() -> BTreeSet<&'static str> {
    let of_tables = tables().into_iter().filter_map(|table| Some(table.columns.first()?.0));
    of_tables.chain(["journal", "name"]).collect()
}

fn begins_with_column(text: &str, column: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    let separated = |between| line.split_once(between).is_some_and(|(first, _)| first == column);
    let object = format!("{{\"{column}\":");
    separated(',')
        || separated('\t')
        || text.starts_with(&object)
        || text.starts_with(&format!("[\n{object}"))
        || text.starts_with(&format!("| {column} |"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_otherwise_is_somebodys() {
        for theirs in [
            "local harness = require 'harness'\n",
            "# Notes\n",
            "{\n  \"name\": \"app\"\n}\n",
            "mine",
            "% \\usepackage{graphicx}\n\\section{One}\n",
            "SQLite format 3\0 of another program",
            "{\"type\":\"header\",\"schema\":\"harness.journal/1\"}\n",
        ] {
            assert!(!is_export(theirs.as_bytes()), "{theirs}");
        }
        assert!(is_export(b"") && is_export(b"name,tile,status\n") && is_export(b"[]\n"));
    }
}
