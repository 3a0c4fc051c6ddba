//! `harness status`: how far a campaign is, and why the rest of it is not running.
//!
//! Asks the campaign itself where it runs on this host; says how to ask it where it runs on another; and reads the
//! journal where nothing runs.

mod ask;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

pub(super) use self::ask::{AskError, Asker};
pub(super) use self::text::{how_it_ended, of_waiting};
use self::text::{of_campaign, of_journal};
use super::journals::{WhichJournal, journal_of};
use super::print::print_line;
use crate::journal::JournalError;
use crate::model::{
    CampaignStatus, FailureStatus, HowEnded, Kind, Outcome, Record, Row, STATUS_SCHEMA, Session, SessionEnd,
    Status, TaskFacts, exit, failures,
};
use crate::report::Campaign;
use crate::root::default_journal;
use crate::say::say;

#[derive(Args)]
pub(super) struct StatusArgs {
    /// The campaign, by its script or its journal (default: the journal in this folder).
    #[arg(value_name = "FILE.lua|JOURNAL")]
    campaign: Option<PathBuf>,
    /// Answer at once, also beside a measurement on the root's node, whose figures that may disturb.
    #[arg(long)]
    now: bool,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error(transparent)]
    Which(#[from] WhichJournal),
    #[error("status: {}", .0.to_reader())]
    Journal(#[from] JournalError),
    #[error("status: {0}")]
    Ask(#[from] AskError),
}

/// What a journal says, where nothing runs.
#[derive(Debug, Serialize)]
struct Recorded {
    schema: &'static str,
    state: &'static str,
    journal: String,
    script: String,
    /// Runs of the script.
    sessions: usize,
    last_session: Option<Session>,
    /// How that ended; none if it was killed.
    end: Option<SessionEnd>,
    written_unix_s: f64,
    kinds: BTreeMap<Kind, usize>,
    ended: BTreeMap<Status, usize>,
    /// Records that are in none of these: a later version of the script or its sources took their place.
    outdated: usize,
    failures: Vec<FailureStatus>,
    /// What goes on from there; none if the script came to its end.
    again: Option<Again>,
}

/// A command for a shell.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Again {
    command: String,
    /// With the arguments of the script, which are not known of runs of earlier versions.
    #[serde(skip)]
    has_args: bool,
}

/// Answers; the exit code.
pub(super) fn status(arguments: &StatusArgs) -> ExitCode {
    match answer(arguments) {
        Ok(text) => print_line("status", &text, exit::OK),
        Err(error) => {
            say(format_args!("harness: {error}"));
            ExitCode::from(match error {
                StatusError::Journal(_) => exit::JOURNAL,
                StatusError::Ask(_) => exit::SCRIPT,
                StatusError::Which(_) => exit::USAGE,
            })
        }
    }
}

fn answer(arguments: &StatusArgs) -> Result<String, StatusError> {
    let path = journal_of(arguments.campaign.as_deref(), "status", "harness status")?;
    let asker = Asker { command: "status", terminal: false, now: arguments.now };
    let mut waits = || {
        say(
            "harness: a measurement has this node, and nothing of ours runs beside it: the answer comes when it ends \
             (--now asks all the same)",
        );
    };
    if let Some(line) = asker.ask(&path, &mut waits)? {
        let read = serde_json::from_str::<CampaignStatus>(&line);
        let status = read.map_err(|error| AskError::Strange(error.to_string()))?;
        return Ok(if arguments.json { line } else { of_campaign(&status) });
    }
    let recorded = recorded(&path)?;
    Ok(if arguments.json {
        serde_json::to_string(&recorded).unwrap_or_default()
    } else {
        of_journal(&recorded)
    })
}

fn recorded(path: &Path) -> Result<Recorded, StatusError> {
    let Campaign { header, sessions, ends, ended: records, outdated, .. } = Campaign::current(path)?;
    let mut runs: Vec<(Session, Option<SessionEnd>)> = sessions.into_iter().zip(ends).collect();
    // One that was asked for its options only, or could not read them, is no news of the campaign where there is another.
    let has_work = |(_, end): &(Session, Option<SessionEnd>)| !end.as_ref().is_some_and(|end| end.is_empty());
    if runs.iter().any(has_work) {
        runs.retain(has_work);
    }
    let count = runs.len();
    let (last_session, end) = runs.pop().unzip();
    let end = end.flatten();
    let written = fs::metadata(path).and_then(|data| data.modified()).ok();
    let written = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    // Several scripts may have one journal.
    let own = last_session.as_ref().and_then(|session| session.script.clone());
    let script = own.or(header.map(|header| header.script));
    let (mut kinds, mut ended) = (BTreeMap::new(), BTreeMap::new());
    for (facts, status) in records.iter().filter_map(|record| record.facts().zip(record.status())) {
        *kinds.entry(facts.kind).or_default() += 1;
        *ended.entry(status).or_default() += 1;
    }
    let failed = records.into_iter().filter(|record| record.status() != Some(Status::Ok));
    let failed: Vec<(TaskFacts, Outcome)> = failed.filter_map(Record::into_task).collect();
    let rows: Vec<Row<'_>> = failed.iter().map(|(facts, outcome)| Row::of(facts, outcome)).collect();
    Ok(Recorded {
        schema: STATUS_SCHEMA,
        state: "not_running",
        journal: path.display().to_string(),
        again: again(script.as_deref(), path, last_session.as_ref(), end.as_ref()),
        // A journal that was only begun does not name its script.
        script: script.unwrap_or_else(|| path.display().to_string()),
        sessions: count,
        last_session,
        end,
        written_unix_s: written.map_or(0.0, |since| since.as_secs_f64()),
        kinds,
        ended,
        outdated: outdated.len(),
        failures: FailureStatus::of_lines(failures(&rows)),
    })
}

/// The command that goes on, if there is something to go on with.
fn again(
    script: Option<&str>,
    journal: &Path,
    last: Option<&Session>,
    end: Option<&SessionEnd>,
) -> Option<Again> {
    if end.is_some_and(|end| end.how == HowEnded::Finished) {
        return None;
    }
    let Some(script) = script else {
        return Some(Again { command: "harness FILE.lua".into(), has_args: false });
    };
    // The folder may have been copied or renamed since.
    let beside = Path::new(script).file_name().map(|name| journal.with_file_name(name));
    let script = beside.filter(|path| path.is_file()).unwrap_or_else(|| script.into());
    let mut words = vec!["harness".to_owned()];
    if default_journal(&script).file_name() != journal.file_name() {
        words.extend(["--journal".into(), journal.display().to_string()]);
    }
    if let Some(retry) = last.map(|session| &session.retry).filter(|retry| !retry.is_empty()) {
        words.extend(["--retry".into(), retry.word()]);
    }
    words.push(script.display().to_string());
    let args = last.and_then(|session| session.args.as_ref());
    // Behind it nothing is taken for an option of harness.
    if args.is_some_and(|args| args.iter().any(|word| word.starts_with('-'))) {
        words.push("--".into());
    }
    words.extend(args.into_iter().flatten().cloned());
    Some(Again { command: shell_words::join(words), has_args: args.is_some() })
}
