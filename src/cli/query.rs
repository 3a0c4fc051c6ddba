//! `harness query`: a question in SQL to one or several journals, or what can be asked of them.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::journals::{WhichJournal, journals_of};
use super::print::print;
use crate::model::exit;
use crate::query::{self, Chosen, QueryError, TextFormat};
use crate::say::say;

#[derive(Args)]
pub(super) struct QueryArgs {
    /// Campaigns, by their scripts or journals (default: the journal in this folder), then `select …`; without it the
    /// tables and columns are listed.
    #[arg(value_name = "FILE.lua|JOURNAL… SELECT")]
    words: Vec<PathBuf>,
    /// table, csv, json, jsonl, markdown, latex or tsv (default: table on a terminal, else csv).
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Option<TextFormat>,
    /// How long SQLite may take to answer (default: 60 s).
    #[arg(long, value_name = "DURATION", default_value = "60 s", hide_default_value = true, value_parser = super::usage::duration)]
    timeout: f64,
}

fn format(word: &str) -> Result<TextFormat, String> {
    let all = TextFormat::ALL;
    all.into_iter().find(|it| it.word() == word).ok_or_else(|| all.map(TextFormat::word).join(", "))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Which(#[from] WhichJournal),
    #[error("query: {0}")]
    Query(#[from] QueryError),
}

/// Answers; the exit code.
pub(super) fn query(arguments: &QueryArgs) -> ExitCode {
    match answer(arguments) {
        Ok(text) => print("query", &text, exit::OK),
        Err(error) => {
            say(format_args!("harness: {error}"));
            ExitCode::from(match error {
                Failed::Which(_) => exit::USAGE,
                Failed::Query(error) => code(&error),
            })
        }
    }
}

fn answer(arguments: &QueryArgs) -> Result<String, Failed> {
    let (campaigns, sql) = match arguments.words.split_last() {
        Some((last, before)) if is_sql(last) => (before, Some(last.to_string_lossy())),
        _ => (&arguments.words[..], None),
    };
    let journals = journals_of(campaigns, "query", "harness query")?;
    let Some(sql) = sql else { return Ok(query::overview(&journals)?) };
    let Chosen { it: rows, notes } = query::ask(&journals, &sql, arguments.timeout)?;
    for note in notes {
        say(format_args!("harness: query: {note}"));
    }
    let usual = if io::stdout().is_terminal() { TextFormat::Table } else { TextFormat::Csv };
    Ok(arguments.format.unwrap_or(usual).write(&rows))
}

/// Several words are no file that is there.
fn is_sql(word: &Path) -> bool {
    word.to_string_lossy().trim().contains(char::is_whitespace) && !word.exists()
}

pub(super) fn code(error: &QueryError) -> u8 {
    match error {
        QueryError::Journal(_) => exit::JOURNAL,
        QueryError::Unfit(_) => exit::USAGE,
        QueryError::Database(_) | QueryError::Parquet(_) => exit::SCRIPT,
    }
}
