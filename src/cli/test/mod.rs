//! `harness test`: files of tests in Lua, one after another, each in a process of its own with a time limit.
//!
//! A file is a script as any other; what is special about it knows `lua/harness/testing.lua`. Here files are found, started,
//! waited for, and what became of them is said: on stdout, and as JUnit's XML.

pub(super) mod child;
mod report;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use self::report::{Tested, summary};
use super::own::{self, Grace};
use super::usage::{duration, seed, whole};
use super::{files, print};
use crate::model::exit;
use crate::process::{Signals, own_pid};
use crate::report::junit::document;
use crate::say::say;

pub(super) const AFTER_HELP: &str = "\
A file of tests is called …_test.lua or test_….lua. Its tests are the functions called test… of the table that it returns, else
its global ones; setUp and tearDown run around each. A file without any is one test: it fails if it raises an error.

Exit codes: 0 all passed · 1 one failed · 64 wrong usage · 66 no tests, or no such file · 73 the report cannot be written ·
130 interrupted.";

/// So long a file that is stopped may take to wind up. One that is late had its time.
const GRACE: Grace = Grace { stopped: Duration::from_secs(5), late: Duration::ZERO };

#[derive(Args)]
pub(super) struct TestArgs {
    /// Files of tests, and folders to look for them in.
    #[arg(value_name = "FOLDER|FILE", default_value = ".")]
    places: Vec<PathBuf>,
    /// Only the tests with this in their name.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// How long a file may take.
    #[arg(long, value_name = "DURATION", default_value = "60 s", value_parser = duration)]
    timeout: f64,
    /// Slots of the worker, where a test does not `spawn` its own (default: as many as cores).
    #[arg(long, value_name = "N", value_parser = whole::<1, 4096>)]
    slots: Option<u32>,
    /// Where random numbers begin.
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed)]
    seed: u64,
    /// Also write what became of them as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
enum TestError {
    #[error("test: there is no {}", .0.display())]
    Missing(PathBuf),
    #[error("test: {} is no file: the process that runs its tests reads it by its name; write them to one", .0.display())]
    NoFile(PathBuf),
    #[error("test: cannot read {}: {why}", path.display())]
    Unreadable { path: PathBuf, why: io::Error },
    #[error(
        "test: there are no tests in {0}: they are in files called …_test.lua or test_….lua; `harness new NAME` makes a folder \
         with one"
    )]
    NoFiles(String),
    #[error("test: no test has '{0}' in its name")]
    NoneLeft(String),
    #[error("test: cannot write {}: {why}; name another file with --junit", path.display())]
    Unwritten { path: PathBuf, why: io::Error },
    #[error("test: cannot write to standard output: {0}")]
    Stdout(io::Error),
    #[error("test: {0}")]
    System(String),
}

impl TestError {
    fn code(&self) -> u8 {
        match self {
            TestError::Missing(_)
            | TestError::NoFile(_)
            | TestError::Unreadable { .. }
            | TestError::NoFiles(_)
            | TestError::NoneLeft(_) => exit::compare::NO_INPUT,
            TestError::Unwritten { .. } | TestError::Stdout(_) => exit::compare::CANNOT_WRITE,
            TestError::System(_) => exit::INTERNAL,
        }
    }
}

/// Runs them; the exit code.
pub(super) fn test(arguments: &TestArgs) -> ExitCode {
    ExitCode::from(run(arguments).unwrap_or_else(|error| {
        say(format_args!("harness: {error}"));
        error.code()
    }))
}

fn run(arguments: &TestArgs) -> Result<u8, TestError> {
    let found = find(&arguments.places)?;
    let mut signals =
        Signals::open().map_err(|error| TestError::System(format!("cannot receive signals: {error}")))?;
    let (mut all, mut stopped) = (Vec::new(), false);
    for file in &found {
        let tested = play(file, arguments, &mut signals)?;
        print(&tested.to_string())?;
        stopped = tested.is_stopped();
        all.push(tested);
        if stopped {
            break;
        }
    }
    if let Some(path) = &arguments.junit {
        let suites: Vec<_> = all.iter().map(Tested::suite).collect();
        files::write(path, document("harness test", &suites).as_bytes())
            .map_err(|why| TestError::Unwritten { path: path.clone(), why })?;
    }
    if stopped {
        return Ok(exit::INTERRUPTED);
    }
    if all.iter().all(|tested| tested.cases.is_empty()) {
        return Err(TestError::NoneLeft(arguments.filter.clone()));
    }
    let (line, good) = summary(&all);
    print(&line)?;
    Ok(if good { exit::OK } else { exit::SCRIPT })
}

fn print(text: &str) -> Result<(), TestError> {
    print::write(text).map_err(TestError::Stdout)
}

/// The files that are meant, each once: those that were named, and those called so in the folders that were.
fn find(places: &[PathBuf]) -> Result<Vec<PathBuf>, TestError> {
    let mut files = Vec::new();
    for place in places {
        let there = fs::metadata(place).map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => TestError::Missing(place.clone()),
            _ => TestError::Unreadable { path: place.clone(), why },
        })?;
        if there.is_dir() {
            below(place, &mut files)?;
        } else if there.is_file() && !["/dev", "/proc"].iter().any(|of_process| place.starts_with(of_process))
        {
            files.push(place.clone());
        } else {
            return Err(TestError::NoFile(place.clone()));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    if files.is_empty() {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        return Err(TestError::NoFiles(places.join(", ")));
    }
    Ok(files)
}

/// Hidden folders, and those behind links, are left out.
fn below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), TestError> {
    let unreadable = |why| TestError::Unreadable { path: folder.to_owned(), why };
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        // `./a_test.lua` is `a_test.lua` to people.
        let path = folder.strip_prefix(".").unwrap_or(folder).join(entry.file_name());
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() && !name.starts_with('.') {
            below(&path, files)?;
        } else if !kind.is_dir() && is_test(&name) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_test(name: &str) -> bool {
    name.strip_suffix(".lua").is_some_and(|name| name.ends_with("_test") || name.starts_with("test_"))
}

/// Runs a file to its end, or to its limit.
fn play(file: &Path, arguments: &TestArgs, signals: &mut Signals) -> Result<Tested, TestError> {
    let folder = own::folder("test").map_err(TestError::System)?;
    let output = folder.path().join("output");
    // What slots and programs print is added at its end too.
    let said = File::options().create(true).append(true).open(&output);
    let said = said.map_err(|why| TestError::System(own::unwritten(&output, &why)))?;
    let began = Instant::now();
    let limit = Duration::try_from_secs_f64(arguments.timeout).ok();
    let us = own_pid().as_raw_nonzero().to_string();
    let slots = arguments.slots.map_or(child::AS_CORES.into(), |slots| slots.to_string());
    let seed = arguments.seed.to_string();
    let words = [
        OsStr::new("__test"),
        OsStr::new(&us),
        folder.path().as_os_str(),
        OsStr::new(&arguments.filter),
        OsStr::new(&slots),
        OsStr::new(&seed),
        file.as_os_str(),
    ];
    let child = own::start_harness(&words, &said, &said).map_err(TestError::System)?;
    let end = own::end(&child, signals, limit.and_then(|limit| began.checked_add(limit)), &GRACE);
    let end =
        end.map_err(|error| TestError::System(format!("cannot wait for {}: {error}", file.display())))?;
    let printed = fs::read(&output).unwrap_or_default();
    let news = child::read(folder.path());
    Ok(Tested::new(file, &arguments.filter, end, arguments.timeout, began.elapsed(), news, &printed))
}
