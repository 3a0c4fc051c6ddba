//! `harness history`: what became of each measurement over time. What is told is found in `report`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::compare::read;
use super::journals::WhichJournal;
use super::own;
use crate::journal::JournalError;
use crate::model::exit;
use crate::report::{Campaign, History};
use crate::say::say;

#[derive(Args)]
pub(super) struct HistoryArgs {
    /// Journals of one campaign, in any order; each by itself or by its script.
    #[arg(value_name = "JOURNAL", required = true)]
    journals: Vec<PathBuf>,
    /// The least relative step that is told.
    #[arg(long, value_name = "PART", default_value_t = 0.01, value_parser = super::usage::part)]
    min_effect: f64,
    /// One object of JSON on stdout.
    #[arg(long)]
    json: bool,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
enum HistoryError {
    #[error(transparent)]
    Which(#[from] WhichJournal),
    #[error("history: {}", .0.to_reader())]
    Journal(#[from] JournalError),
    #[error(
        "history: there is no measurement in any of the journals: is what the campaign times a `measure`?"
    )]
    Nothing,
}

/// Tells it; the exit code.
pub(super) fn history(arguments: &HistoryArgs) -> ExitCode {
    match told(arguments) {
        Ok(history) => {
            own::show(&history, arguments.json);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(format_args!("harness: {error}"));
            ExitCode::from(match error {
                HistoryError::Journal(_) => exit::JOURNAL,
                HistoryError::Which(_) | HistoryError::Nothing => exit::USAGE,
            })
        }
    }
}

fn told(arguments: &HistoryArgs) -> Result<History, HistoryError> {
    let read = |path: &PathBuf| read::<HistoryError>(path, "history", "harness history JOURNAL");
    let campaigns = arguments.journals.iter().map(read).collect::<Result<Vec<Campaign>, _>>()?;
    let history = History::of(&campaigns, arguments.min_effect);
    if history.is_empty() { Err(HistoryError::Nothing) } else { Ok(history) }
}
