//! `harness export`: journals as files for other programs.
//!
//! A file is there whole or not at all, and none is replaced unless that is asked for.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::files::{NewFile, precious};
use super::journals::{WhichJournal, journals_of};
use super::print::print;
use super::query::code;
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
    /// Replace FILE, if an export wrote it.
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
    #[error("export: {} is {what}, and would be lost: name another file after -o", path.display())]
    Lost { path: PathBuf, what: &'static str },
    #[error(
        "export: {} is no export of harness, and --force replaces nothing else: remove it, or name another file after -o",
        .0.display()
    )]
    SomebodyElses(PathBuf),
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
            Failed::Unwritten { .. } => exit::CANNOT_WRITE,
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
        let (text, _) = content(&journals, format, arguments)?;
        return Ok(print("export", &String::from_utf8_lossy(&text), exit::OK));
    }
    let unwritten = |source| Failed::Unwritten { path: to.clone(), source };
    let mut new = NewFile::beside(to).map_err(unwritten)?;
    let what = match format {
        Format::Sqlite => {
            let tasks = query::save(&journals, new.path()).map_err(|error| match error {
                QueryError::Database(error) => unwritten(io::Error::other(error)),
                other => other.into(),
            })?;
            format!("{} of {}", count(query::table_names().len(), "table"), count(tasks, "task"))
        }
        _ => {
            let (text, what) = content(&journals, format, arguments)?;
            new.write(&text).map_err(unwritten)?;
            what
        }
    };
    new.put(arguments.force).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists if !arguments.force => Failed::There(to.clone()),
        _ => unwritten(source),
    })?;
    say(format_args!("harness: export: wrote {}: {what}", to.display()));
    Ok(ExitCode::SUCCESS)
}

/// `--force` replaces what an export wrote, and nothing else.
fn may_be_written(to: &Path, force: bool) -> Result<(), Failed> {
    let Ok(there) = fs::symlink_metadata(to) else { return Ok(()) };
    if !there.is_file() {
        return Err(Failed::NoFile(to.into()));
    }
    if let Some(what) = precious(to) {
        return Err(Failed::Lost { path: to.into(), what });
    }
    if !force {
        return Err(Failed::There(to.into()));
    }
    let mut beginning = Vec::new();
    let read = File::open(to).and_then(|file| file.take(query::BEGINNING).read_to_end(&mut beginning));
    match read {
        Ok(_) if query::is_export(&beginning) => Ok(()),
        _ => Err(Failed::SomebodyElses(to.into())),
    }
}

fn by_ending(path: &Path) -> Option<Format> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    ENDINGS.iter().find(|(word, _)| *word == ending).map(|(_, format)| *format)
}

/// What is written, and what that is in words.
fn content(
    journals: &[PathBuf],
    format: Format,
    arguments: &ExportArgs,
) -> Result<(Vec<u8>, String), Failed> {
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
    let form = match format {
        Format::Csv => TextFormat::Csv,
        Format::Tsv => TextFormat::Tsv,
        Format::Json => TextFormat::Json,
        Format::Jsonl => TextFormat::Jsonl,
        Format::Markdown => TextFormat::Markdown,
        Format::Latex => TextFormat::Latex,
        Format::Parquet => {
            let rows = rows()?;
            return Ok((query::parquet(&rows)?, count(rows.rows.len(), "row")));
        }
        Format::Hyperfine => {
            let (text, timings) = told(query::hyperfine(journals, all)?);
            return Ok((text.into_bytes(), count(timings, "timing")));
        }
        Format::Trace => {
            let (text, tasks) = query::trace(journals)?;
            return Ok((text.into_bytes(), count(tasks, "task")));
        }
        // A file by itself: SQLite writes it.
        Format::Sqlite => return Err(Failed::NoText),
    };
    let rows = if matches!(form, TextFormat::Markdown | TextFormat::Latex) { summary()? } else { rows()? };
    Ok((form.write(&rows).into_bytes(), count(rows.rows.len(), "row")))
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
