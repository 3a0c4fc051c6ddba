//! Journals that are asked and exported: SQL over tables, and rows, documents and files for other programs.
//!
//! Everything here follows from journals alone and takes no lock, so it may be asked while a campaign runs. Says what is in
//! them and judges nothing; it neither prints nor decides where a file goes.

mod cell;
mod columnar;
mod columns;
mod database;
mod functions;
mod hyperfine;
mod journal;
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
pub use overview::overview;
pub use text::TextFormat;
pub use wrong::Unfit;

use self::database::{Database, Wanted, tables};
use self::journal::{Journal, names};
use self::wide::Wide;
use crate::journal::JournalError;

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

/// The answer of these journals to a question in SQL. Only what it reads is loaded.
pub fn ask(journals: &[PathBuf], sql: &str) -> Result<Rows, QueryError> {
    let database = Database::in_memory(journals.len() > 1)?;
    database.judge(sql)?;
    let wanted = Wanted::of(sql);
    for (path, name) in journals.iter().zip(names(journals)) {
        database.fill(&Journal::read(path, name)?, &wanted)?;
    }
    database.rows(sql)
}

/// A file of SQLite with all tables, at a path where there is nothing yet.
pub fn save(journals: &[PathBuf], to: &Path) -> Result<(), QueryError> {
    let database = Database::at(to, journals.len() > 1)?;
    for (path, name) in journals.iter().zip(names(journals)) {
        database.fill(&Journal::read(path, name)?, &Wanted::all())?;
    }
    Ok(())
}

/// The names of the tables.
pub fn table_names() -> Vec<&'static str> {
    tables().into_iter().map(|table| table.name).collect()
}

/// The rows of a table, for other programs; measurements and samples with a column for each parameter and metric.
pub fn rows(journals: &[PathBuf], table: &str) -> Result<Rows, QueryError> {
    match table {
        "measurements" => Ok(Wide::new(&read(journals)?).measurements()),
        "samples" => Ok(Wide::new(&read(journals)?).samples()),
        other => ask(journals, &format!("select * from {other}")),
    }
}

/// A row for each measurement, for people: medians with their intervals.
pub fn summary(journals: &[PathBuf]) -> Result<Rows, QueryError> {
    Ok(Wide::new(&read(journals)?).summary())
}

/// Rows as a Parquet file.
pub fn parquet(rows: &Rows) -> Result<Vec<u8>, QueryError> {
    Ok(columnar::parquet(rows)?)
}

/// Timings in hyperfine's form.
pub fn hyperfine(journals: &[PathBuf]) -> Result<String, QueryError> {
    Ok(hyperfine_json(&hyperfine::timings(&read(journals)?)))
}

/// Who ran what when, as a trace.
pub fn trace(journals: &[PathBuf]) -> Result<String, QueryError> {
    Ok(trace::trace(&read(journals)?))
}

fn read(journals: &[PathBuf]) -> Result<Vec<Journal>, JournalError> {
    journals.iter().zip(names(journals)).map(|(path, name)| Journal::read(path, name)).collect()
}
