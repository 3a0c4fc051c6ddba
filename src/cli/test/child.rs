//! One file of tests, in a process of its own: a campaign on this machine with a journal that nobody keeps.
//!
//! What becomes of each test goes into a file as it happens, a line of JSON each, so that whoever waits knows where it
//! was when it did not end. Nothing is said on stderr that the file does not say itself.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::cli::run;
use crate::model::{Retry, exit};
use crate::process::{Pid, Signals, end_with_parent};
use crate::root::port::{MostQueued, PoolSpec, Start};
use crate::root::progress::Verbosity;
use crate::root::{Mpi, Options, Started, Timing};
use crate::say::say;
use crate::script::testing::Step;

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum News {
    /// Of a test.
    Test {
        step: Step,
        name: String,
        /// Where it is written, or why it ended so.
        text: String,
        /// When, since the file began (s).
        at_s: f64,
        /// So many bytes had been printed by then.
        printed: u64,
    },
    /// Of the file.
    Over {
        code: u8,
        /// Why, if not well.
        message: Option<String>,
    },
}

/// As many slots as cores.
pub(super) const AS_CORES: &str = "cores";

/// `__test PARENT FOLDER FILTER SLOTS SEED FILE`: with the news in the folder, and the journal; it ends when the parent does.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let parent = arguments.first().and_then(|parent| Pid::from_raw(parent.to_str()?.parse().ok()?));
    let (Some(parent), [_, folder, filter, slots, seed, file]) = (parent, arguments) else {
        say(format_args!("harness __test is started by harness itself"));
        return ExitCode::from(exit::USAGE);
    };
    if !end_with_parent(parent).is_ok_and(|is_there| is_there) {
        return ExitCode::from(exit::RUN_AGAIN); // nobody wants to know any more
    }
    let number = |word: &OsString| word.to_str()?.parse::<u64>().ok();
    let pool = PoolSpec {
        start: Some(Start::Local),
        slots: number(slots).and_then(|slots| u32::try_from(slots).ok()),
        ..PoolSpec::default()
    };
    match play(Path::new(folder), &filter.to_string_lossy(), pool, number(seed), Path::new(file)) {
        Ok(code) => ExitCode::from(code),
        Err((code, text)) => {
            say(format_args!("harness: {text}"));
            ExitCode::from(code)
        }
    }
}

/// Where the news are.
pub(super) fn news(folder: &Path) -> PathBuf {
    folder.join("news")
}

fn play(
    folder: &Path,
    filter: &str,
    pool: PoolSpec,
    seed: Option<u64>,
    file: &Path,
) -> Result<u8, (u8, String)> {
    let limits = run::limits().map_err(|text| (exit::USAGE, text))?;
    let signals =
        Signals::open().map_err(|error| (exit::INTERNAL, format!("cannot receive signals: {error}")))?;
    let unwritten =
        |error: io::Error| (exit::JOURNAL, format!("cannot write to {}: {error}", folder.display()));
    let news = OpenOptions::new().create(true).append(true).open(news(folder)).map_err(unwritten)?;
    let mut last = news.try_clone().map_err(unwritten)?;
    let options = Options {
        script: file.to_owned(),
        folder: None,
        args: Vec::new(),
        pool,
        journal: Some(folder.join("journal")),
        fresh: true,
        fleeting: true,
        trace: None,
        retry: Retry::default(),
        repeats: false,
        interactive: false,
        timing: Timing::default(),
        host_file: None,
        seed,
        most_queued: MostQueued::default(),
        verbosity: Verbosity::Quiet,
        limits,
        display: None,
    };
    let started = Started { mpi: Mpi::Idle, ranks: Vec::new() };
    let filter = filter.to_owned();
    let began = Instant::now();
    let path = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let dir = path.parent().unwrap_or(Path::new("/"));
    let ended = run::play(options, started, signals, dir, None, move |state| {
        let tell = move |step, name: &str, text: &str| {
            let (name, text) = (name.to_owned(), text.to_owned());
            let at_s = began.elapsed().as_secs_f64();
            write(&news, &News::Test { step, name, text, at_s, printed: printed() });
        };
        state.run_tests(&filter, Box::new(tell))
    });
    write(&mut last, &News::Over { code: ended.code, message: ended.message });
    Ok(ended.code)
}

/// Where it cannot be written, whoever reads it finds no end, and says so.
fn write(mut file: impl Write, news: &News) {
    let line = serde_json::to_string(news).unwrap_or_default() + "\n";
    let _ = file.write_all(line.as_bytes());
}

/// So much is in the file that standard output is.
fn printed() -> u64 {
    let stdout = rustix::fs::fstat(io::stdout()).map(|stat| stat.st_size);
    stdout.ok().and_then(|size| u64::try_from(size).ok()).unwrap_or_default()
}

/// For reading.
pub(super) fn read(folder: &Path) -> Vec<News> {
    let text = File::open(news(folder)).and_then(io::read_to_string).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
