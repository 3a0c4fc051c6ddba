//! `harness show`: the measurements of a journal as a table, or one task whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::find::{FindError, find_task};
use super::journals::{WhichJournal, journal_of};
use super::print::print;
use crate::journal::{self, JournalError};
use crate::model::{Status, exit};
use crate::report::{Campaign, Choice, Glob, Listing, Sort, whole};
use crate::say::say;

#[derive(Args)]
pub(super) struct ShowArgs {
    /// The campaign, by its script or its journal (default: the journal in this folder).
    #[arg(value_name = "FILE.lua|JOURNAL")]
    campaign: Option<PathBuf>,
    /// One task alone: its name, its name and parameters, or the beginning of its key or id.
    #[arg(value_name = "KEY", conflicts_with_all = ["sort", "name", "status"])]
    key: Option<String>,
    /// The order: as they ended, by name and parameters, or within each name the best first.
    #[arg(long, value_enum, default_value_t = Order::Time)]
    sort: Order,
    /// Only what has such a name, or name and parameters: "gemm*", "*tile=8*".
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    name: Option<Glob>,
    /// Only what ended so: ok, timeout, compile_failed …; several with commas.
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = ended)]
    status: Vec<Status>,
    /// Also what is outdated: a later version of the script or its sources was recorded under its name and parameters.
    #[arg(long, conflicts_with = "key")]
    all: bool,
    /// The lines of the journal themselves, for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Order {
    Time,
    Name,
    Median,
}

fn glob(pattern: &str) -> Result<Glob, String> {
    Glob::new(pattern).map_err(|error| error.to_string())
}

fn ended(word: &str) -> Result<Status, String> {
    let known = serde_json::from_value(word.into());
    known.map_err(|_| format!("one of {}", Status::ALL.map(Status::word).join(", ")))
}

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error(transparent)]
    Which(#[from] WhichJournal),
    #[error("show: {}", .0.to_reader())]
    Journal(#[from] JournalError),
    #[error("show: {0}")]
    Find(#[from] FindError),
    #[error("show: cannot read {journal}: {source}")]
    Lines { journal: String, source: io::Error },
    #[error("{which}; one task of a campaign: `harness show {journal} {key}`")]
    Key { which: WhichJournal, journal: String, key: String },
}

/// Shows it; the exit code.
pub(super) fn show(arguments: &ShowArgs) -> ExitCode {
    match shown(arguments) {
        Ok(text) => print("show", &text, exit::OK),
        Err(error) => {
            say(format_args!("harness: {error}"));
            ExitCode::from(match error {
                ShowError::Journal(_) | ShowError::Lines { .. } => exit::JOURNAL,
                ShowError::Which(_) | ShowError::Key { .. } | ShowError::Find(_) => exit::USAGE,
            })
        }
    }
}

fn shown(arguments: &ShowArgs) -> Result<String, ShowError> {
    let path = journal_of(arguments.campaign.as_deref(), "show", "harness show").map_err(|which| {
        let Some(key) = arguments.campaign.as_deref().filter(|path| !path.exists()) else {
            return which.into();
        };
        // In the other order, or the key alone.
        let file = arguments.key.as_deref().map(Path::new).filter(|path| path.is_file());
        match journal_of(file, "show", "harness show") {
            Ok(journal) => {
                let here = PathBuf::from(journal.file_name().unwrap_or_default());
                let quoted = |path: &Path| shell_words::quote(&path.to_string_lossy()).into_owned();
                ShowError::Key { which, journal: quoted(file.unwrap_or(&here)), key: quoted(key) }
            }
            Err(_) => which.into(),
        }
    })?;
    let of_lines = |source| ShowError::Lines { journal: path.display().to_string(), source };
    if let Some(key) = &arguments.key {
        let contents = journal::read(&path)?;
        let record = find_task(&contents.records, key)?;
        let ids: Vec<&str> = record.facts().iter().map(|facts| facts.id.as_str()).collect();
        return match arguments.json {
            true => lines_of(&path, &ids).map_err(of_lines),
            false => Ok(whole(record, &contents.records)),
        };
    }
    let sort = match arguments.sort {
        Order::Time => Sort::Time,
        Order::Name => Sort::Name,
        Order::Median => Sort::Median,
    };
    let choice = Choice { sort, name: arguments.name.clone(), status: arguments.status.clone() };
    let campaign = if arguments.all { Campaign::read(&path)? } else { Campaign::current(&path)? };
    let listing = Listing::of(campaign, &choice);
    if arguments.json {
        return lines_of(&path, &listing.ids().collect::<Vec<_>>()).map_err(of_lines);
    }
    Ok(listing.text(width()))
}

/// Of the terminal, if somebody looks at one.
fn width() -> Option<usize> {
    let size = io::stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(io::stdout()).ok())??;
    (size.ws_col > 0).then(|| size.ws_col.into())
}

/// The lines of these records as they stand in the journal, in the order of `ids`.
fn lines_of(path: &Path, ids: &[&str]) -> io::Result<String> {
    #[derive(Deserialize)]
    struct Named {
        id: Option<String>,
    }
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, id) in ids.iter().enumerate() {
        places.entry(id).or_default().push(place);
    }
    let mut found = vec![String::new(); ids.len()];
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        // A line that is just being written is none yet.
        let Ok(Named { id: Some(id) }) = serde_json::from_str(&line) else { continue };
        for place in places.get(id.as_str()).into_iter().flatten() {
            found[*place].clone_from(&line);
        }
    }
    Ok(found.iter().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect())
}
