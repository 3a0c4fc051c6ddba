//! `harness export`: journals as files for other programs.
//!
//! A file is there whole or not at all, and none is replaced unless that is asked for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::files::NewFile;
use super::journals::{WhichJournal, journals_of};
use super::print::print;
use super::query::code;
use crate::journal::is_journal;
use crate::model::exit;
use crate::model::human::count;
use crate::query::{self, Chosen, QueryError, Rows, TextFormat};
use crate::say::say;

#[derive(Args)]
pub(super) struct ExportArgs {
    /// Campaigns, by their scripts or journals (default: the journal in this folder).
    #[arg(value_name = "FILE.lua|JOURNAL")]
    campaigns: Vec<PathBuf>,
    /// The file; `-` is stdout.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What it is (default: by the ending of FILE).
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Of csv, tsv, json, jsonl and parquet: `measurements` (the default), `samples`, or another table of `harness query`; of
    /// markdown and latex one of them instead of the summary.
    #[arg(long, value_name = "TABLE", value_parser = table)]
    rows: Option<String>,
    /// Also what is outdated: a later version of the script or its sources was recorded under its name and parameters.
    #[arg(long)]
    all: bool,
    /// Replace FILE, if it is there.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Rows, to be read by anything (.csv).
    Csv,
    /// The same with tabs (.tsv).
    Tsv,
    /// The same as one list of objects (.json).
    Json,
    /// The same, an object to a line (.jsonl).
    Jsonl,
    /// The same for data frames (.parquet).
    Parquet,
    /// All tables (.sqlite, .db).
    Sqlite,
    /// Medians with their intervals, for a page (.md).
    Markdown,
    /// The same for a paper (.tex).
    Latex,
    /// Timings as `hyperfine --export-json` writes them.
    Hyperfine,
    /// Who ran what when, for ui.perfetto.dev.
    Trace,
}

/// By the ending of a file.
const ENDINGS: [(&str, Format); 12] = [
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
    ("json", Format::Json),
    ("jsonl", Format::Jsonl),
    ("ndjson", Format::Jsonl),
    ("parquet", Format::Parquet),
    ("sqlite", Format::Sqlite),
    ("sqlite3", Format::Sqlite),
    ("db", Format::Sqlite),
    ("md", Format::Markdown),
    ("tex", Format::Latex),
    ("trace", Format::Trace),
];

fn table(word: &str) -> Result<String, String> {
    let names = query::table_names();
    if names.contains(&word) { Ok(word.into()) } else { Err(names.join(", ")) }
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Which(#[from] WhichJournal),
    #[error("export: {0}")]
    Query(#[from] QueryError),
    #[error("export: {} does not say what it is to be: csv, tsv, json, jsonl, parquet, sqlite, markdown, latex, hyperfine or trace, with --format", .0.display())]
    WhichFormat(PathBuf),
    #[error("export: --rows is for csv, tsv, json, jsonl, parquet, markdown and latex")]
    NoRows,
    #[error("export: parquet and sqlite are no text, and go to a file only")]
    NoText,
    #[error("export: {} is there already: --force replaces it", .0.display())]
    There(PathBuf),
    #[error("export: {} is a journal, and would be lost: name another file after -o", .0.display())]
    Journal(PathBuf),
    #[error(
        "export: {} is no regular file: name another one after -o, or `-` for the standard output", .0.display()
    )]
    NoFile(PathBuf),
    #[error("export: cannot write {}: {source}", path.display())]
    Unwritten { path: PathBuf, source: io::Error },
}

/// Does it; the exit code.
pub(super) fn export(arguments: &ExportArgs) -> ExitCode {
    exported(arguments).unwrap_or_else(|error| {
        say(format_args!("harness: {error}"));
        ExitCode::from(match error {
            Failed::Query(error) => code(&error),
            Failed::Unwritten { .. } => exit::SCRIPT,
            _ => exit::USAGE,
        })
    })
}

fn exported(arguments: &ExportArgs) -> Result<ExitCode, Failed> {
    let to = &arguments.output;
    let to_stdout = to.as_os_str() == "-";
    let format = arguments.format.or_else(|| by_ending(to)).ok_or_else(|| Failed::WhichFormat(to.clone()))?;
    if arguments.rows.is_some() && matches!(format, Format::Sqlite | Format::Hyperfine | Format::Trace) {
        return Err(Failed::NoRows);
    }
    if to_stdout && matches!(format, Format::Parquet | Format::Sqlite) {
        return Err(Failed::NoText);
    }
    if !to_stdout {
        may_be_written(to, arguments.force)?;
    }
    let journals = journals_of(&arguments.campaigns, "export", "harness export -o FILE")?;
    if to_stdout {
        let text = content(&journals, format, arguments)?;
        return Ok(print("export", &String::from_utf8_lossy(&text), exit::OK));
    }
    let unwritten = |source| Failed::Unwritten { path: to.clone(), source };
    let mut new = NewFile::beside(to).map_err(unwritten)?;
    match format {
        Format::Sqlite => query::save(&journals, new.path())?,
        _ => new.write(&content(&journals, format, arguments)?).map_err(unwritten)?,
    }
    new.put(arguments.force).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists if !arguments.force => Failed::There(to.clone()),
        _ => unwritten(source),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `--force` replaces what an export wrote, and neither journals nor what is no file.
fn may_be_written(to: &Path, force: bool) -> Result<(), Failed> {
    let Ok(there) = fs::symlink_metadata(to) else { return Ok(()) };
    if !there.is_file() {
        return Err(Failed::NoFile(to.into()));
    }
    if is_journal(to) {
        return Err(Failed::Journal(to.into()));
    }
    if force { Ok(()) } else { Err(Failed::There(to.into())) }
}

fn by_ending(path: &Path) -> Option<Format> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    ENDINGS.iter().find(|(word, _)| *word == ending).map(|(_, format)| *format)
}

fn content(journals: &[PathBuf], format: Format, arguments: &ExportArgs) -> Result<Vec<u8>, Failed> {
    let all = arguments.all;
    let table = arguments.rows.as_deref().unwrap_or("measurements");
    let found = |chosen: Chosen<Rows>| -> Result<Rows, QueryError> {
        let rows = told(chosen);
        if arguments.rows.is_none() && rows.rows.is_empty() {
            say_what_there_is(journals, all)?;
        }
        Ok(rows)
    };
    let rows = || query::rows(journals, table, all).and_then(found);
    let summary = || match arguments.rows {
        Some(_) => rows(),
        None => query::summary(journals, all).and_then(found),
    };
    let text = match format {
        Format::Csv => TextFormat::Csv.write(&rows()?),
        Format::Tsv => TextFormat::Tsv.write(&rows()?),
        Format::Json => TextFormat::Json.write(&rows()?),
        Format::Jsonl => TextFormat::Jsonl.write(&rows()?),
        Format::Parquet => return Ok(query::parquet(&rows()?)?),
        Format::Markdown => TextFormat::Markdown.write(&summary()?),
        Format::Latex => TextFormat::Latex.write(&summary()?),
        Format::Hyperfine => told(query::hyperfine(journals, all)?),
        Format::Trace => query::trace(journals)?,
        // A file by itself: SQLite writes it.
        Format::Sqlite => return Err(Failed::NoText),
    };
    Ok(text.into_bytes())
}

/// Nothing was measured: what else there may be.
fn say_what_there_is(journals: &[PathBuf], all: bool) -> Result<(), QueryError> {
    let comparisons = query::rows(journals, "comparisons", all)?.it.rows.len();
    match comparisons {
        0 => say(format_args!("harness: export: there is no measurement in it: the table is empty")),
        _ => say(format_args!(
            "harness: export: there is no measurement in it: the table is empty; --rows comparisons exports {}",
            count(comparisons, "row")
        )),
    }
    Ok(())
}

/// Says what is not in it.
fn told<T>(Chosen { it, notes }: Chosen<T>) -> T {
    for note in notes {
        say(format_args!("harness: export: {note}"));
    }
    it
}
