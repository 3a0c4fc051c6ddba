//! `harness history`: what became of each measurement over time. What is told is found in `report`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::journals::{NoCampaign, campaign_of, journals_of};
use super::print::{print, text};
use crate::model::exit;
use crate::report::{Campaign, History};
use crate::say::say;

#[derive(Args)]
pub(super) struct HistoryArgs {
    /// Journals of one campaign, in any order; each by itself or by its script (default: the journal in this folder).
    #[arg(value_name = "JOURNAL")]
    journals: Vec<PathBuf>,
    /// The least relative step that is told.
    #[arg(long, value_name = "PART", default_value_t = 0.01, value_parser = super::usage::part)]
    min_effect: f64,
    /// One object of JSON on stdout.
    #[arg(long)]
    json: bool,
}

/// Why nothing is told.
#[derive(Debug, thiserror::Error)]
enum HistoryError {
    #[error(transparent)]
    NoCampaign(#[from] NoCampaign),
}

impl HistoryError {
    fn code(&self) -> u8 {
        match self {
            HistoryError::NoCampaign(NoCampaign::Journal { .. } | NoCampaign::Empty { .. }) => exit::JOURNAL,
            HistoryError::NoCampaign(NoCampaign::Which(_) | NoCampaign::NoMeasurement(_)) => exit::USAGE,
        }
    }
}

/// Tells it; the exit code.
pub(super) fn history(arguments: &HistoryArgs) -> ExitCode {
    match told(arguments) {
        Ok(history) => print("history", &text(&history, arguments.json), exit::OK),
        Err(error) => {
            say(format_args!("harness: {error}"));
            ExitCode::from(error.code())
        }
    }
}

fn told(arguments: &HistoryArgs) -> Result<History, HistoryError> {
    let line = "harness history";
    let journals = journals_of(&arguments.journals, "history", line).map_err(NoCampaign::from)?;
    let read = |path: &PathBuf| campaign_of(path, "history", line);
    let campaigns = journals.iter().map(read).collect::<Result<Vec<Campaign>, _>>()?;
    let history = History::of(&campaigns, arguments.min_effect);
    if history.is_empty() {
        return Err(NoCampaign::NoMeasurement("history").into());
    }
    Ok(history)
}
