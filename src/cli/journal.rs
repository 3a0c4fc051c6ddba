//! `harness journal`: is a journal whole, leave out of it what does not count any more, make one of several.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::journals::{WhichJournal, journal_of};
use super::print::print_line;
use crate::journal::{self, Checked, Compacted, Damage, JournalError, Merged};
use crate::model::exit;
use crate::model::human::{bytes, count};
use crate::say::say;

/// So many damaged lines are listed.
const LISTED: usize = 20;

#[derive(Args)]
pub(super) struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Subcommand)]
enum JournalCommand {
    /// Read all of a journal: is it whole, which lines are damaged, and what is to be done about it.
    #[command(after_help = "Exit codes: 0 it is whole · 4 it is damaged, or cannot be read.")]
    Check {
        /// The campaign, by its script or its journal (default: the journal in this folder).
        #[arg(value_name = "FILE.lua|JOURNAL")]
        campaign: Option<PathBuf>,
    },
    /// Leave out records that a later one of the same task has superseded; the old file is kept as `….journal.N`.
    Compact {
        /// The campaign, by its script or its journal (default: the journal in this folder).
        #[arg(value_name = "FILE.lua|JOURNAL")]
        campaign: Option<PathBuf>,
    },
    /// Make one journal of several of the same script; those stay as they are.
    Merge {
        /// The journals.
        #[arg(value_name = "JOURNAL", required = true, num_args = 2..)]
        journals: Vec<PathBuf>,
        /// The new one.
        #[arg(short, long, value_name = "NEW")]
        output: PathBuf,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
enum UpkeepError {
    #[error(transparent)]
    Which(#[from] WhichJournal),
    #[error("journal: {}", .0.to_reader())]
    Journal(#[from] JournalError),
}

/// Does it; the exit code.
pub(super) fn journal(arguments: &JournalArgs) -> ExitCode {
    match done(&arguments.command) {
        Ok((text, code)) => print_line("journal", &text, code),
        Err(error) => {
            say(format_args!("harness: {error}"));
            ExitCode::from(match error {
                UpkeepError::Which(_) => exit::USAGE,
                UpkeepError::Journal(_) => exit::JOURNAL,
            })
        }
    }
}

/// What there is to say, and the exit code.
fn done(command: &JournalCommand) -> Result<(String, u8), UpkeepError> {
    Ok(match command {
        JournalCommand::Check { campaign } => {
            let path = journal_of(campaign.as_deref(), "journal", "harness journal check")?;
            let checked = journal::check(&path)?;
            let code = if checked.damaged.is_empty() { exit::OK } else { exit::JOURNAL };
            (of_check(&path, &checked), code)
        }
        JournalCommand::Compact { campaign } => {
            let path = journal_of(campaign.as_deref(), "journal", "harness journal compact")?;
            let compacted = journal::compact(&path)?;
            notes(&compacted.notes);
            (of_compact(&path, &compacted), exit::OK)
        }
        JournalCommand::Merge { journals, output } => {
            let merged = journal::merge(journals, output)?;
            notes(&merged.notes);
            (of_merge(output, &merged), exit::OK)
        }
    })
}

fn notes(notes: &[String]) {
    notes.iter().for_each(|note| say(format_args!("harness: {note}")));
}

fn of_check(path: &Path, checked: &Checked) -> String {
    let Checked { header, sessions, records, superseded, damaged, torn, is_held } = checked;
    let mut text = format!(
        "{}: {} of {}, {}: {}\n",
        path.display(),
        lines(*records, "record"),
        lines(*sessions, "run"),
        header.schema,
        if damaged.is_empty() { "whole".into() } else { lines(damaged.len() as u64, "damaged line") },
    );
    for Damage { line, reason } in damaged.iter().take(LISTED) {
        let _ = writeln!(text, "  line {line}: {reason}");
    }
    if damaged.len() > LISTED {
        let _ = writeln!(text, "  and {} more", damaged.len() - LISTED);
    }
    if *torn > 0 {
        let _ = writeln!(
            text,
            "  behind the last line {} that {}",
            bytes(*torn),
            if *is_held {
                "are being written"
            } else {
                "were not written completely: the next run cuts them off"
            },
        );
    }
    if !damaged.is_empty() && *is_held {
        let _ = writeln!(
            text,
            "{} is writing to it: wait until it ends, and check again; what mends it would lose what is recorded meanwhile",
            journal::holder(path)
        );
    } else if !damaged.is_empty() {
        let _ = writeln!(text, "{}", without(path, damaged));
    } else if *superseded > 0 {
        let _ = writeln!(
            text,
            "  {} superseded; `harness journal compact {}` leaves {} out",
            if *superseded == 1 { "1 line is".into() } else { format!("{superseded} lines are") },
            quoted(path),
            if *superseded == 1 { "it" } else { "them" },
        );
    }
    text
}

/// How to go on without the damaged lines.
fn without(path: &Path, damaged: &[Damage]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for Damage { line, .. } in damaged {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == *line => *end = *line,
            _ => ranges.push((*line, *line)),
        }
    }
    let range = |(begin, end): &(u64, u64)| {
        if begin == end { format!("{begin}d") } else { format!("{begin},{end}d") }
    };
    let delete: Vec<String> = ranges.iter().map(range).collect();
    format!(
        "mend them, or go on without them (what they recorded is done again; the old file stays as ….damaged):\n  \
         sed -i.damaged '{}' {}",
        delete.join(";"),
        quoted(path)
    )
}

fn of_compact(path: &Path, compacted: &Compacted) -> String {
    let Compacted { kept, dropped, bytes: (before, after), aside, .. } = compacted;
    let path = path.display();
    match aside {
        None => format!("{path}: nothing is superseded in its {}; it stays as it is", lines(*kept, "line")),
        Some(aside) => format!(
            "{path}: {} left out, {} kept; {} instead of {}; the old one is {}",
            lines(*dropped, "line"),
            kept,
            bytes(*after),
            bytes(*before),
            aside.display()
        ),
    }
}

fn of_merge(path: &Path, merged: &Merged) -> String {
    let Merged { sessions, kept, dropped, conflicts, .. } = merged;
    let mut text = format!("{}: {} of {}", path.display(), lines(*kept, "line"), lines(*sessions, "run"));
    if *dropped > 0 {
        let _ = write!(text, "; {dropped} left out: others have the same, or a later record of the task");
    }
    if *conflicts > 0 {
        let _ = write!(
            text,
            "\n{} in several journals, and not alike: what ended last counts, and what failed for reasons outside the \
             program only if it never ended otherwise",
            if *conflicts == 1 { "1 task was".into() } else { format!("{conflicts} tasks were") }
        );
    }
    text
}

fn lines(number: u64, what: &str) -> String {
    count(number as usize, what)
}

fn quoted(path: &Path) -> String {
    shell_words::quote(&path.to_string_lossy()).into_owned()
}
