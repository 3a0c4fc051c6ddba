//! What is wrong with a question, and what could have been meant.

use super::QueryError;
use super::database::tables;
use super::functions;
use crate::model::nearest;

/// Rows of the longest answer, and what they take of memory (B).
pub(super) const MOST_ROWS: usize = 10_000_000;
pub(super) const MOST_BYTES: usize = 4 << 30;
/// What a question may take beside the tables until it is answered (B).
pub(super) const MOST_MEMORY: i64 = 1 << 30;

/// Why SQL is no question, or has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It would change something.
    #[error("a journal is only read: a question begins with `select` or `with`")]
    Writes,
    /// It has no columns.
    #[error("there is no question in it; one is `select name, median from measurements`")]
    Empty,
    /// It leaves something open.
    #[error("a question has no `?` and no `:name`: write the value there, a text in single quotes")]
    Parameters,
    /// More than one.
    #[error("one question at a time: something stands behind the first `;`")]
    Several,
    /// An answer that would not end, or take all memory.
    #[error("the answer has more than {MOST_ROWS} rows, or {} GiB: add a `limit`, or count and group", MOST_BYTES >> 30)]
    TooLong,
    /// Work that would not end, or take all memory.
    #[error(
        "the question takes more than {} GiB of memory: does a recursive `with` have an end? Else ask for fewer rows, or ask \
         the file that `harness export -o FILE.sqlite` writes", MOST_MEMORY >> 30
    )]
    TooMuch,
    /// Work that takes too long.
    #[error(
        "there is no answer yet, and its time is over: does a recursive `with` have an end, and a join its condition? Else \
         `--timeout \"10 min\"` lets it take longer"
    )]
    TooLate,
    /// What SQLite says, and what to do.
    #[error("{message}{hint}")]
    Wrong {
        /// In SQLite's words.
        message: String,
        /// What could have been meant.
        hint: String,
    },
}

/// An error of SQLite about a question.
pub(super) fn explained(error: &rusqlite::Error) -> QueryError {
    use rusqlite::{Error, ErrorCode};
    let message = match error {
        Error::MultipleStatement => return Unfit::Several.into(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        Error::SqliteFailure(failure, _) if failure.code == ErrorCode::OutOfMemory => {
            return Unfit::TooMuch.into();
        }
        Error::SqliteFailure(failure, _) if failure.code == ErrorCode::OperationInterrupted => {
            return Unfit::TooLate.into();
        }
        Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    };
    Unfit::Wrong { hint: hint(&message), message }.into()
}

fn hint(message: &str) -> String {
    let Some((what, name)) = message.split_once(": ") else { return String::new() };
    let all = tables();
    match what {
        "no such table" => {
            let names: Vec<&str> = all.iter().map(|table| table.name).collect();
            format!("{}; there are {}", meant(name, &names), names.join(" "))
        }
        "ambiguous column name" => {
            let name = name.rsplit('.').next().unwrap_or(name);
            let using = if name == "journal" { "id, journal" } else { "id" };
            format!(
                "; several of the tables have it: `m.{name}` where `m` stands for one of them (`from measurements m`), or \
                 `join … using ({using})`"
            )
        }
        "no such column" if in_json(name).is_some() => {
            let (column, field) = in_json(name).unwrap_or_default();
            format!("; what is in `{column}` is `{column}->>'{field}'`")
        }
        // "x" for 'x': SQLite says so by itself.
        "no such column" if !name.starts_with('"') => {
            let name = name.rsplit('.').next().unwrap_or(name);
            let columns = all.iter().flat_map(|table| &table.columns).map(|(name, _)| *name);
            match meant(name, &columns.collect::<Vec<_>>()) {
                none if none.is_empty() => format!(
                    "; a parameter is `params->>'{name}'`, a figure that the program printed `metrics->>'{name}'`, \
                     and `harness query JOURNAL` lists all columns"
                ),
                near => near,
            }
        }
        "no such function" => format!("; beside those of SQLite there are {}", functions::ABOUT),
        _ => String::new(),
    }
}

/// `params.tile`, which to SQLite is a column of a table `params`.
fn in_json(name: &str) -> Option<(&str, &str)> {
    let (column, field) = name.rsplit_once('.')?;
    let bare = column.rsplit('.').next().unwrap_or(column);
    ["params", "metrics", "placement", "counters", "modules", "slurm", "gpu", "env_delta"]
        .contains(&bare)
        .then_some((column, field))
}

fn meant(name: &str, names: &[&str]) -> String {
    let near = nearest(&name.to_lowercase(), names.iter().copied());
    near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_said() {
        assert!(
            hint("no such table: measurment")
                .starts_with(" (did you mean `measurements`?); there are measurements ")
        );
        assert_eq!(hint("no such column: m.medain"), " (did you mean `median`?)");
        assert!(hint("no such column: tile").starts_with("; a parameter is `params->>'tile'`, "));
        assert_eq!(hint("no such column: params.flag"), "; what is in `params` is `params->>'flag'`");
        assert_eq!(
            hint("no such column: m.metrics.rate"),
            "; what is in `m.metrics` is `m.metrics->>'rate'`"
        );
        assert!(hint("ambiguous column name: journal").ends_with(" or `join … using (id, journal)`"));
        assert!(
            hint("ambiguous column name: m.name")
                .starts_with("; several of the tables have it: `m.name` where")
        );
        assert_eq!(hint("near \"selct\": syntax error"), "");
    }
}
