//! `harness report`: a page about journals, written as a file or served while the campaign runs.

mod serve;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::files;
use super::journals::{WhichJournal, journals_of};
use super::print::{print, print_line};
use crate::journal::{JournalError, is_held};
use crate::machine;
use crate::model::exit;
use crate::model::human::bytes;
use crate::report::{Campaign, MARKER, Told};
use crate::say::say;

/// A page has said that it is one within its first bytes.
const BEGINNING: u64 = 1024;

#[derive(Args)]
pub(super) struct ReportArgs {
    /// The campaigns, each by its script or its journal (default: the journal in this folder).
    #[arg(value_name = "FILE.lua|JOURNAL")]
    campaigns: Vec<PathBuf>,
    /// The page, `-` for the standard output (default: FILE.lua.html beside the first journal).
    #[arg(short, long, value_name = "FILE.html", conflicts_with = "serve")]
    output: Option<PathBuf>,
    /// Replace a file there that is no report.
    #[arg(long, conflicts_with = "serve")]
    force: bool,
    /// Write no file: serve the page to browsers on this host and renew it while the campaign runs, until Ctrl-C. Not
    /// on a node that is measured on.
    #[arg(long)]
    serve: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error(transparent)]
    Which(#[from] WhichJournal),
    #[error("report: {}", .0.to_reader())]
    Journal(#[from] JournalError),
    #[error(
        "report: {} is there, and no report of harness: name another file with -o, or replace it with --force",
        .0.display()
    )]
    SomebodyElses(PathBuf),
    #[error(
        "report: {} is no regular file: name another one after -o, or `-` for the standard output", .0.display()
    )]
    NoFile(PathBuf),
    #[error("report: cannot write {}: {source}; name another file with -o", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("report: what the journals say cannot be put into a page: {0}")]
    Json(#[from] serde_json::Error),
    #[error("report: cannot serve: {0}")]
    Serve(io::Error),
}

/// Writes it, or serves it; the exit code.
pub(super) fn report(arguments: &ReportArgs) -> ExitCode {
    told(arguments).unwrap_or_else(|error| {
        say(format_args!("harness: {error}"));
        ExitCode::from(match error {
            ReportError::Which(_) | ReportError::SomebodyElses(_) | ReportError::NoFile(_) => exit::USAGE,
            ReportError::Journal(_) => exit::JOURNAL,
            ReportError::Write { .. } => exit::CANNOT_WRITE,
            ReportError::Json(_) | ReportError::Serve(_) => exit::SCRIPT,
        })
    })
}

fn told(arguments: &ReportArgs) -> Result<ExitCode, ReportError> {
    let journals = journals_of(&arguments.campaigns, "report", "harness report")?;
    if arguments.serve {
        return serve::serve(&journals).map(|never| match never {});
    }
    let output = arguments.output.clone().unwrap_or_else(|| beside(&journals[0]));
    if output.as_os_str() == "-" {
        return Ok(print("report", &page(&journals, None)?, exit::OK));
    }
    // Looked at first: opening a pipe would be to wait for somebody.
    if fs::metadata(&output).is_ok_and(|there| !there.is_file()) {
        return Err(ReportError::NoFile(output));
    }
    if !arguments.force && !may_be_replaced(&output) {
        return Err(ReportError::SomebodyElses(output));
    }
    let page = page(&journals, None)?;
    let written = files::write(&output, page.as_bytes());
    written.map_err(|source| ReportError::Write { path: output.clone(), source })?;
    let line = format!("{}: {}, opens in any browser", output.display(), bytes(page.len() as u64));
    Ok(print_line("report", &line, exit::OK))
}

/// `c.lua.journal` is told in `c.lua.html`.
fn beside(journal: &Path) -> PathBuf {
    if journal.extension().is_some_and(|end| end == "journal") {
        return journal.with_extension("html");
    }
    let mut name = journal.as_os_str().to_owned();
    name.push(".html");
    name.into()
}

/// Is nothing there, or a report?
fn may_be_replaced(path: &Path) -> bool {
    let mut beginning = Vec::new();
    match File::open(path).map(|file| file.take(BEGINNING).read_to_end(&mut beginning)) {
        Ok(Ok(0)) => true,
        Ok(Ok(_)) => String::from_utf8_lossy(&beginning).contains(MARKER),
        Ok(Err(_)) => false,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The page, with the state of its journals if a server is behind it.
fn page(journals: &[PathBuf], state: Option<&str>) -> Result<String, ReportError> {
    text_of(journals, state, |told| told.page())
}

/// What there is to tell of journals, made into a text.
fn text_of(
    journals: &[PathBuf],
    state: Option<&str>,
    text: impl Fn(&Told<'_>) -> serde_json::Result<String>,
) -> Result<String, ReportError> {
    let campaigns =
        journals.iter().map(|journal| Campaign::current(journal)).collect::<Result<Vec<_>, _>>()?;
    let now = machine::unix_seconds();
    // Where files have no locks that cannot be told.
    let running = journals.iter().any(|journal| is_held(journal).unwrap_or(false));
    let told = Told { campaigns: &campaigns, running, written_unix_s: now, state };
    Ok(text(&told)?)
}
