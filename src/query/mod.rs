//! Journals that are asked and exported: SQL over tables, and rows, documents and files for other programs.
//!
//! Everything here follows from journals alone and takes no lock, so it may be asked while a campaign runs. Says what is in
//! them and judges nothing; it neither prints nor decides where a file goes.

mod asked;
mod cell;
mod columnar;
mod columns;
mod database;
mod functions;
mod hyperfine;
mod journal;
mod ours;
mod overview;
mod run;
mod surroundings;
mod text;
mod trace;
mod wide;
mod wrong;

use std::path::{Path, PathBuf};

pub use cell::{Cell, Head, Rows, Type};
pub use hyperfine::{Timing, hyperfine_json, hyperfine_rows};
pub use ours::{BEGINNING, is_export};
pub use overview::overview;
pub use text::TextFormat;
pub use wrong::Unfit;

use self::asked::Asked;
use self::database::{Database, Wanted, tables};
use self::journal::{Journal, names};
use self::wide::Wide;
use crate::journal::JournalError;
use crate::model::human::count;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// A journal cannot be read.
    #[error("{}", .0.to_reader())]
    Journal(#[from] JournalError),
    /// What was asked cannot be.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// SQLite failed by itself: memory, a full disk.
    #[error("SQLite: {0}")]
    Database(#[from] rusqlite::Error),
    /// A Parquet file could not be made.
    #[error("Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
}

/// What was made of journals, and what its reader should hear of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen<T> {
    /// It.
    pub it: T,
    /// Each a sentence.
    pub notes: Vec<String>,
}

/// The answer of these journals to a question in SQL, for which SQLite has `limit_s`. Only what it reads is loaded.
pub fn ask(journals: &[PathBuf], sql: &str, limit_s: f64) -> Result<Chosen<Rows>, QueryError> {
    let database = Database::in_memory(journals.len() > 1)?;
    database.judge(sql)?;
    let mut asked = Asked::of(sql);
    fill(&database, journals, &Wanted::of(sql), |journal| asked.look_in(journal))?;
    database.bound(limit_s)?;
    Ok(Chosen { it: database.rows(sql)?, notes: asked.notes() })
}

fn fill(
    database: &Database,
    journals: &[PathBuf],
    wanted: &Wanted,
    mut look: impl FnMut(&Journal),
) -> Result<(), QueryError> {
    for (path, name) in journals.iter().zip(names(journals)) {
        let journal = Journal::read(path, name)?;
        look(&journal);
        database.fill(&journal, wanted)?;
    }
    Ok(())
}

/// A file of SQLite with all tables, at a path where there is nothing yet; how many tasks are in it.
pub fn save(journals: &[PathBuf], to: &Path) -> Result<usize, QueryError> {
    let database = Database::at(to, journals.len() > 1)?;
    fill(&database, journals, &Wanted::all(), |_| {})?;
    Ok(database.number("select count(*) from tasks")? as usize)
}

/// The names of the tables.
pub fn table_names() -> Vec<&'static str> {
    tables().into_iter().map(|table| table.name).collect()
}

/// The rows of a table, for other programs, `all` of them or the current ones; measurements and samples with a column for
/// each parameter and metric.
pub fn rows(journals: &[PathBuf], table: &str, all: bool) -> Result<Chosen<Rows>, QueryError> {
    match table {
        "measurements" => chosen(journals, all, Journal::measured, |all| Wide::new(all).measurements()),
        "samples" => chosen(journals, all, Journal::measured, |all| Wide::new(all).samples()),
        other => of_table(journals, other, all),
    }
}

fn of_table(journals: &[PathBuf], table: &str, all: bool) -> Result<Chosen<Rows>, QueryError> {
    let database = Database::in_memory(journals.len() > 1)?;
    let every = format!("select * from {table}");
    fill(&database, journals, &Wanted::of(&every), |_| {})?;
    let has_versions = database.judge(&format!("select current from {table}")).is_ok();
    if all || !has_versions {
        return Ok(Chosen { it: database.rows(&every)?, notes: Vec::new() });
    }
    let left_out = database.number(&format!("select count(*) from {table} where not current"))?;
    let rows = database.rows(&format!("{every} where current"))?;
    Ok(Chosen { it: rows, notes: without(left_out as usize, "row").into_iter().collect() })
}

/// A row for each measurement, for people: medians with their intervals.
pub fn summary(journals: &[PathBuf], all: bool) -> Result<Chosen<Rows>, QueryError> {
    chosen(journals, all, Journal::measured, |all| Wide::new(all).summary())
}

/// Rows as a Parquet file.
pub fn parquet(rows: &Rows) -> Result<Vec<u8>, QueryError> {
    Ok(columnar::parquet(rows)?)
}

/// Timings in hyperfine's form, and how many; what has no figures is not among them.
pub fn hyperfine(journals: &[PathBuf], all: bool) -> Result<Chosen<(String, usize)>, QueryError> {
    let mut chosen = chosen(journals, all, Journal::timed, hyperfine::timings)?;
    let (timings, failed) = chosen.it;
    if failed > 0 {
        let are = if failed == 1 { "is" } else { "are" };
        chosen.notes.push(format!(
            "{} that failed {are} not in it: hyperfine's form has no place for what has no figures",
            count(failed, "measurement")
        ));
    }
    Ok(Chosen { it: (hyperfine_json(&timings), timings.len()), notes: chosen.notes })
}

/// Who ran what when, as a trace; and how many tasks are in it.
pub fn trace(journals: &[PathBuf]) -> Result<(String, usize), QueryError> {
    let journals = read(journals)?;
    let started = |journal: &Journal| trace::started(journal).count();
    Ok((trace::trace(&journals), journals.iter().map(started).sum()))
}

/// Made of `all` records, or of the current ones; `of_interest` counts those whose absence is told.
fn chosen<T>(
    journals: &[PathBuf],
    all: bool,
    of_interest: fn(&Journal) -> usize,
    make: impl FnOnce(&[Journal]) -> T,
) -> Result<Chosen<T>, QueryError> {
    let mut journals = read(journals)?;
    let number = |journals: &[Journal]| journals.iter().map(of_interest).sum::<usize>();
    let before = number(&journals);
    if !all {
        journals.iter_mut().for_each(Journal::keep_current);
    }
    let left_out = before - number(&journals);
    Ok(Chosen { it: make(&journals), notes: without(left_out, "measurement").into_iter().collect() })
}

fn without(left_out: usize, what: &str) -> Option<String> {
    (left_out > 0).then(|| {
        format!(
            "without {} of an earlier version of the script or its sources (--all: with them)",
            count(left_out, what)
        )
    })
}

fn read(journals: &[PathBuf]) -> Result<Vec<Journal>, JournalError> {
    journals.iter().zip(names(journals)).map(|(path, name)| Journal::read(path, name)).collect()
}
