//! Journals as tables of SQLite, in memory or in a file.
//!
//! A question is put to empty tables first, so that SQLite says at once what is wrong with it. Then only what it names is
//! filled in. Whatever does anything but read is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{Null, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement};

use super::QueryError;
use super::cell::{Cell, Head, Rows, Type};
use super::columns::{self, Built, Column, Measured, Side};
use super::functions;
use super::journal::{Ended, Journal, Standing, What};
use super::run::{runs_of, runs_of_side};
use super::surroundings::{self, Begun};
use super::wrong::{MOST_BYTES, MOST_MEMORY, MOST_ROWS, Unfit, explained};
use crate::model::{CompileResult, Detail, Hash};

/// What of the tables is filled: what a question may read, which is what it names.
pub(super) struct Wanted(Option<String>);

impl Wanted {
    /// Everything.
    pub(super) fn all() -> Self {
        Self(None)
    }

    /// What this text names. A star that counts names nothing; any other, and a natural join, may mean each column.
    pub(super) fn of(sql: &str) -> Self {
        Self(Some(sql.to_lowercase().replace("(*)", "")))
    }

    fn table(&self, name: &str) -> bool {
        let views: &[&str] = if ["tasks", ALL_RUNS].contains(&name) { &["runs", "samples"] } else { &[] };
        let named = |sql: &String| views.iter().chain([&name]).any(|name| sql.contains(name));
        self.0.as_ref().is_none_or(named)
    }

    fn column(&self, name: &str) -> bool {
        // The views are made with these.
        let always = ["task", "phase"].contains(&name);
        let each = ["*", "natural"];
        self.0.as_ref().is_none_or(|sql| always || each.iter().chain([&name]).any(|word| sql.contains(word)))
    }
}

/// A table or a view, for people.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) columns: Vec<(&'static str, Type)>,
}

/// Where runs stand; `runs` and `samples` are views of it.
const ALL_RUNS: &str = "_runs";
/// Of a task, for each of its runs.
const WHOSE: [(&str, Type); 6] = [
    ("id", Type::Text),
    ("current", Type::Integer),
    ("name", Type::Text),
    ("params", Type::Json),
    ("status", Type::Text),
    ("host", Type::Text),
];

/// What can be asked.
pub(super) fn tables() -> Vec<Table> {
    let (runs, task) = (shape(&columns::runs()), 1);
    let whose = |runs: &[(&'static str, Type)]| [&WHOSE[..], runs].concat();
    let samples: Vec<_> =
        runs[task..].iter().copied().filter(|(name, _)| !["run", "phase"].contains(name)).collect();
    let table = |name, about, columns| Table { name, about, columns };
    vec![
        table(
            "measurements",
            "each `measure`, with the summary of its objective",
            shape(&columns::measurements()),
        ),
        table("samples", "each run that counts, of measurements and comparisons", whose(&samples)),
        table("runs", "the same, and warm-up runs", whose(&runs[task..])),
        table("compiles", "each build", shape(&columns::compiles())),
        table("comparisons", "each side of each `compare`", shape(&columns::comparisons())),
        table("tasks", "all that ended, of every kind", shape(&columns::tasks())),
        table(
            "repeats",
            "what `harness rerun` measured again; `parent` is the `id` of what it repeats",
            shape(&columns::repeats()),
        ),
        table("env", "nodes; `env` of a task is the `id`", shape(&surroundings::envs())),
        table(
            "artefacts",
            "built files; `artefact` of a task is the `hash`",
            shape(&surroundings::artefacts()),
        ),
        table(
            "sessions",
            "runs of the script; `session` of a task is the number",
            shape(&surroundings::sessions()),
        ),
    ]
}

fn shape<T>(columns: &[Column<T>]) -> Vec<(&'static str, Type)> {
    columns.iter().map(|column| (column.name, column.kind)).collect()
}

/// The clock is looked at after so many steps of SQLite's machine: some ten microseconds.
const STEPS: i32 = 1000;

/// Whose files they are, as SQLite has it: `harn`.
pub(super) const APPLICATION: u32 = u32::from_be_bytes(*b"harn");

/// See the module.
pub(super) struct Database {
    connection: Connection,
    /// Rows say of which journal they are.
    several: bool,
}

impl Database {
    pub(super) fn in_memory(several: bool) -> rusqlite::Result<Self> {
        Self::new(Connection::open_in_memory()?, several)
    }

    /// In a new file.
    pub(super) fn at(path: &Path, several: bool) -> rusqlite::Result<Self> {
        let database = Self::new(Connection::open(path)?, several)?;
        database.connection.execute_batch(&format!("pragma application_id = {APPLICATION};"))?;
        Ok(database)
    }

    fn new(connection: Connection, several: bool) -> rusqlite::Result<Self> {
        // A misspelt "column" is no text.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.execute_batch("pragma journal_mode = off; pragma synchronous = off;")?;
        functions::register(&connection)?;
        let database = Self { connection, several };
        for table in tables().iter().filter(|table| !is_view(table.name)) {
            database.create(table.name, &table.columns)?;
        }
        database.create(ALL_RUNS, &shape(&columns::runs()))?;
        for table in tables().iter().filter(|table| is_view(table.name)) {
            database.connection.execute_batch(&database.view(table))?;
        }
        Ok(database)
    }

    fn create(&self, name: &str, columns: &[(&str, Type)]) -> rusqlite::Result<()> {
        let journal = self.several.then_some(("journal", Type::Text));
        let columns: Vec<String> =
            journal.iter().chain(columns).map(|(name, kind)| format!("\"{name}\" {}", kind.sql())).collect();
        self.connection.execute_batch(&format!("create table {name} ({})", columns.join(", ")))
    }

    fn view(&self, table: &Table) -> String {
        let mut columns: Vec<String> = WHOSE.iter().map(|(name, _)| format!("tasks.\"{name}\"")).collect();
        if self.several {
            columns.insert(0, "tasks.journal".into());
        }
        columns.extend(table.columns[WHOSE.len()..].iter().map(|(name, _)| format!("{ALL_RUNS}.\"{name}\"")));
        // A cross join is done in this order.
        let condition = if table.name == "samples" { " where phase = 'sample'" } else { "" };
        format!(
            "create view {} as select {} from {ALL_RUNS} cross join tasks on tasks.rowid = {ALL_RUNS}.task{condition}",
            table.name,
            columns.join(", ")
        )
    }

    /// Why this is no question, if it is none.
    pub(super) fn judge(&self, sql: &str) -> Result<(), QueryError> {
        let refused = Arc::new(AtomicBool::new(false));
        let refusal = Arc::clone(&refused);
        self.connection.authorizer(Some(move |context: AuthContext<'_>| match context.action {
            AuthAction::Read { .. }
            | AuthAction::Select
            | AuthAction::Function { .. }
            | AuthAction::Recursive => Authorization::Allow,
            _ => {
                refusal.store(true, Ordering::Relaxed);
                Authorization::Deny
            }
        }))?;
        let prepared = self.connection.prepare(sql).map(|it| (it.column_count(), it.parameter_count()));
        self.connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
        match prepared {
            _ if refused.load(Ordering::Relaxed) => Err(Unfit::Writes.into()),
            Ok((0, _)) => Err(Unfit::Empty.into()),
            Ok((_, 1..)) => Err(Unfit::Parameters.into()),
            Ok(_) => Ok(()),
            Err(error) => Err(explained(&error)),
        }
    }

    /// From now on a question may take so much memory beside what the tables have, and so long: one that never ends ends with
    /// an error.
    pub(super) fn bound(&self, limit_s: f64) -> rusqlite::Result<()> {
        let limit = Duration::try_from_secs_f64(limit_s).unwrap_or(Duration::MAX);
        let until = Instant::now().checked_add(limit);
        let is_over = move || until.is_some_and(|until| Instant::now() >= until);
        self.connection.progress_handler(STEPS, Some(is_over))?;
        let tables = self.number("pragma page_count")? * self.number("pragma page_size")?;
        // What SQLite has of its own for each page is less than an eighth of it.
        let most = tables + tables / 8 + MOST_MEMORY;
        // In memory: there it is counted.
        self.connection
            .execute_batch(&format!("pragma temp_store = memory; pragma hard_heap_limit = {most};"))
    }

    /// An answer that is one number.
    pub(super) fn number(&self, sql: &str) -> rusqlite::Result<i64> {
        self.connection.query_row(sql, (), |row| row.get(0))
    }

    /// The answer.
    pub(super) fn rows(&self, sql: &str) -> Result<Rows, QueryError> {
        self.rows_within(sql, MOST_ROWS, MOST_BYTES)
    }

    fn rows_within(&self, sql: &str, most_rows: usize, most_bytes: usize) -> Result<Rows, QueryError> {
        let mut statement = self.connection.prepare(sql).map_err(|error| explained(&error))?;
        let columns = statement.columns();
        let kinds = columns.iter().map(|column| column.decl_type().and_then(Type::of_sql));
        let names = told_apart(columns.iter().map(|column| column.name()).collect());
        let heads: Vec<Head> = names.into_iter().zip(kinds).map(|(name, kind)| Head { name, kind }).collect();
        let mut answer = Rows { heads, rows: Vec::new() };
        let mut bytes = 0;
        let mut rows = statement.query(()).map_err(|error| explained(&error))?;
        while let Some(row) = rows.next().map_err(|error| explained(&error))? {
            let cell = |column| row.get_ref(column).map(Cell::from);
            let cells: Vec<Cell> = (0..answer.heads.len()).map(cell).collect::<rusqlite::Result<_>>()?;
            bytes += cells.iter().map(Cell::bytes).sum::<usize>();
            if answer.rows.len() == most_rows || bytes > most_bytes {
                return Err(Unfit::TooLong.into());
            }
            answer.rows.push(cells);
        }
        Ok(answer)
    }

    /// Puts a journal in.
    pub(super) fn fill(&self, journal: &Journal, wanted: &Wanted) -> rusqlite::Result<()> {
        self.connection.execute_batch("begin")?;
        self.fill_ended(journal, wanted)?;
        self.fill_others(journal, wanted)?;
        self.connection.execute_batch("commit")
    }

    fn fill_ended(&self, journal: &Journal, wanted: &Wanted) -> rusqlite::Result<()> {
        let mut tasks = self.filling("tasks", columns::tasks(), journal, wanted)?;
        let mut measurements = self.filling("measurements", columns::measurements(), journal, wanted)?;
        let mut repeats = self.filling("repeats", columns::repeats(), journal, wanted)?;
        let mut compiles = self.filling("compiles", columns::compiles(), journal, wanted)?;
        let mut comparisons = self.filling("comparisons", columns::comparisons(), journal, wanted)?;
        let mut runs = self.filling(ALL_RUNS, columns::runs(), journal, wanted)?;
        let before = self.number("select count(*) from tasks")?;
        let repeated = journal.ended.iter().filter(|ended| ended.standing == Standing::Repeat);
        for ended in repeated {
            if let What::Measurement(it) = &ended.what {
                repeats.add(&Measured { ended, it })?;
            }
        }
        for (ended, task) in journal.counted().zip(before + 1..) {
            tasks.add(&ended)?;
            match &ended.what {
                What::Measurement(it) => {
                    measurements.add(&Measured { ended, it })?;
                    if runs.is_wanted() {
                        runs_of(it, task).iter().try_for_each(|run| runs.add(run))?;
                    }
                }
                What::Task(it) => match &it.outcome.detail {
                    Detail::Compare(of) => {
                        for (at, it) in of.variants.iter().enumerate() {
                            comparisons.add(&Side { ended, of, it, is_base: at == 0 })?;
                            let of_side = runs_of_side(&it.result, &it.name, task);
                            of_side.iter().try_for_each(|run| runs.add(run))?;
                        }
                    }
                    _ if columns::is_build(ended) => {
                        compiles.add(&Built { ended, result: built(ended) })?;
                    }
                    _ => {}
                },
            }
        }
        Ok(())
    }

    fn fill_others(&self, journal: &Journal, wanted: &Wanted) -> rusqlite::Result<()> {
        let mut sessions = self.filling("sessions", surroundings::sessions(), journal, wanted)?;
        for (session, number) in journal.sessions.iter().zip(1..) {
            sessions.add(&Begun { number, header: journal.header.as_ref(), session })?;
        }
        let mut envs = self.filling("env", surroundings::envs(), journal, wanted)?;
        journal.envs.iter().try_for_each(|env| envs.add(&env))?;
        let mut artefacts = self.filling("artefacts", surroundings::artefacts(), journal, wanted)?;
        built_files(journal).values().try_for_each(|artefact| artefacts.add(artefact))
    }

    fn filling<T>(
        &self,
        name: &str,
        columns: Vec<Column<T>>,
        journal: &Journal,
        wanted: &Wanted,
    ) -> rusqlite::Result<Filling<'_, T>> {
        if !wanted.table(name) {
            return Ok(Filling::nothing());
        }
        let is_wanted = |column: Column<T>| {
            let is_wanted = wanted.column(column.name);
            (column, is_wanted)
        };
        let columns = columns.into_iter().map(is_wanted).collect();
        Filling::new(self, name, columns, self.several.then(|| journal.name.clone()))
    }
}

/// Objects and data frames have one of a name: the second is `name_2`.
fn told_apart(names: Vec<&str>) -> Vec<String> {
    let given: BTreeSet<&str> = names.iter().copied().collect();
    let mut taken = BTreeSet::new();
    let of = |name: &str| {
        let further =
            (2..).map(|number| format!("{name}_{number}")).filter(|it| !given.contains(it.as_str()));
        let mut all = std::iter::once(name.to_owned()).chain(further);
        let free = all.find(|it| !taken.contains(it)).unwrap_or_default();
        taken.insert(free.clone());
        free
    };
    names.into_iter().map(of).collect()
}

fn is_view(name: &str) -> bool {
    ["runs", "samples"].contains(&name)
}

fn built(ended: &Ended) -> Option<&CompileResult> {
    match &ended.what {
        What::Task(task) => match &task.outcome.detail {
            Detail::Compile(build) => Some(build),
            _ => None,
        },
        What::Measurement(_) => None,
    }
}

/// What builds made, each once.
fn built_files(journal: &Journal) -> BTreeMap<Hash, &CompileResult> {
    let builds = journal.counted().filter_map(built);
    builds.filter_map(|build| Some((build.artefact?, build))).collect()
}

/// A table that is being filled.
struct Filling<'c, T> {
    /// None: nobody wants it.
    statement: Option<Statement<'c>>,
    /// Each, and whether it is wanted.
    columns: Vec<(Column<T>, bool)>,
    journal: Option<String>,
}

impl<'c, T> Filling<'c, T> {
    fn nothing() -> Self {
        Self { statement: None, columns: Vec::new(), journal: None }
    }

    fn new(
        database: &'c Database,
        name: &str,
        columns: Vec<(Column<T>, bool)>,
        journal: Option<String>,
    ) -> rusqlite::Result<Self> {
        let marks = vec!["?"; columns.len() + usize::from(journal.is_some())].join(", ");
        let statement = database.connection.prepare(&format!("insert into {name} values ({marks})"))?;
        Ok(Self { statement: Some(statement), columns, journal })
    }

    fn is_wanted(&self) -> bool {
        self.statement.is_some()
    }

    fn add(&mut self, row: &T) -> rusqlite::Result<()> {
        let Some(statement) = &mut self.statement else { return Ok(()) };
        let mut at = 0;
        if let Some(journal) = &self.journal {
            at += 1;
            statement.raw_bind_parameter(at, journal)?;
        }
        for (column, is_read) in &self.columns {
            at += 1;
            if *is_read {
                statement.raw_bind_parameter(at, (column.of)(row))?;
            } else {
                statement.raw_bind_parameter(at, Null)?;
            }
        }
        statement.raw_execute().map(drop)
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Cell::Null => ValueRef::Null,
            Cell::Integer(number) => ValueRef::Integer(*number),
            Cell::Real(number) => ValueRef::Real(*number),
            Cell::Text(text) | Cell::Json(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Real(number) => Cell::Real(number),
            ValueRef::Text(text) | ValueRef::Blob(text) => {
                Cell::Text(String::from_utf8_lossy(text).into_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_one_name_are_told_apart() {
        assert_eq!(told_apart(vec!["a", "b", "a", "a_2", "a"]), ["a", "b", "a_3", "a_2", "a_4"]);
        assert_eq!(told_apart(vec!["a", "a", "a"]), ["a", "a_2", "a_3"]);
    }

    #[test]
    fn an_answer_has_an_end() {
        let database = Database::in_memory(false).unwrap();
        let numbers = "with recursive n(x) as (select 1 union all select x + 1 from n) select x from n";
        let said = |sql: &str, rows, bytes| {
            let answer = database.rows_within(sql, rows, bytes);
            answer.map(|answer| answer.rows.len()).map_err(|error| error.to_string())
        };
        let long = "the answer has more than 10000000 rows, or 4 GiB: add a `limit`, or count and group";
        assert_eq!(said(numbers, 10, MOST_BYTES), Err(long.into()));
        assert_eq!(said(&format!("{numbers} limit 10"), 10, MOST_BYTES), Ok(10));
        let texts = numbers.replace("select x from", "select hex(zeroblob(500)) from");
        assert_eq!(said(&texts, MOST_ROWS, 100_000), Err(long.into()));
        assert_eq!(said(&format!("{texts} limit 90"), MOST_ROWS, 100_000), Ok(90));
    }
}
