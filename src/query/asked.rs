//! What a question leaves unsaid, or asks in vain: names that no record has, of which SQL says nothing, and outdated records
//! among those it is answered from.

use std::collections::BTreeSet;

use super::journal::{Journal, What};
use crate::model::human::count;
use crate::model::{Detail, nearest};

/// Columns of names that differ from campaign to campaign, and what one of them is called.
const COLUMNS: [(&str, &str); 2] = [("params", "parameter"), ("metrics", "figure that a program printed")];
/// More names than these are not listed.
const LISTED: usize = 20;

/// See the module.
pub(super) struct Asked {
    /// Of each of the columns: names in the question, and those of the journals.
    names: [(BTreeSet<String>, BTreeSet<String>); 2],
    /// It says itself which records it means.
    is_told: bool,
    outdated: usize,
}

impl Asked {
    /// Of this question.
    pub(super) fn of(sql: &str) -> Self {
        let names = COLUMNS.map(|(column, _)| (named(sql, column), BTreeSet::new()));
        let reads = ["measurements", "samples", "runs", "compiles", "comparisons", "tasks", "repeats"];
        let sql = sql.to_lowercase();
        let is_about_tasks = reads.iter().any(|table| sql.contains(table));
        Self { names, is_told: sql.contains("current") || !is_about_tasks, outdated: 0 }
    }

    /// What this journal has.
    pub(super) fn look_in(&mut self, journal: &Journal) {
        self.outdated += journal.counted().filter(|ended| !ended.current).count();
        let [(params, known_params), (metrics, known_metrics)] = &mut self.names;
        for ended in &journal.ended {
            if !params.is_empty() {
                let point = ended.facts().params.as_ref().and_then(serde_json::Value::as_object);
                know(known_params, point.into_iter().flat_map(serde_json::Map::keys));
            }
            if metrics.is_empty() {
                continue;
            }
            match &ended.what {
                What::Measurement(it) => know(known_metrics, it.metrics.keys()),
                What::Task(it) => {
                    if let Detail::Compare(of) = &it.outcome.detail {
                        know(known_metrics, of.variants.iter().flat_map(|side| side.result.metrics.keys()));
                    }
                }
            }
        }
    }

    /// For people.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for ((asked, known), (column, what)) in self.names.iter().zip(COLUMNS) {
            for name in asked.difference(known) {
                let near = nearest(name, known.iter().map(String::as_str));
                let hint = match near {
                    Some(near) => format!(" (did you mean `{column}->>'{near}'`?)"),
                    None if known.is_empty() => "; there is none at all".into(),
                    None => {
                        let more = if known.len() > LISTED { ", …" } else { "" };
                        let known: Vec<&str> = known.iter().map(String::as_str).take(LISTED).collect();
                        format!("; there are {}{more}", known.join(", "))
                    }
                };
                notes.push(format!("no record has a {what} `{name}`{hint}"));
            }
        }
        if self.outdated > 0 && !self.is_told {
            notes.push(format!(
                "{} outdated, as a later version of the script or its sources was recorded: `where current` leaves out what is",
                if self.outdated == 1 { "1 record is".into() } else { format!("{} are", count(self.outdated, "record")) },
            ));
        }
        notes
    }
}

fn know<'a>(known: &mut BTreeSet<String>, names: impl Iterator<Item = &'a String>) {
    for name in names {
        if !known.contains(name) {
            known.insert(name.clone());
        }
    }
}

/// Names that the question takes from such a column: `params->>'tile'`, `params -> 'tile'`. Paths (`'$.a.b'`) are SQLite's.
fn named(sql: &str, column: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        let rest = rest.trim_start().strip_prefix("->")?;
        let rest = rest.strip_prefix('>').unwrap_or(rest).trim_start();
        let (name, _) = rest.strip_prefix('\'')?.split_once('\'')?;
        (!name.starts_with('$')).then(|| name.to_owned())
    };
    sql.split(column).skip(1).filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_from_the_question_alone() {
        let sql = "select params->>'tile', m.params -> 'n', params->>'$.a', params, metrics->>'rate' from measurements m";
        assert_eq!(named(sql, "params"), ["n".to_owned(), "tile".into()].into());
        assert_eq!(named(sql, "metrics"), ["rate".to_owned()].into());
        assert!(named("select 1", "params").is_empty());
    }
}
