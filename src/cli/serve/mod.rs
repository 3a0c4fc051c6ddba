//! `harness serve --stdio`: a harness that another program asks, in JSON Lines on its standard input and output.
//!
//! What requests mean stands in a script over the ordinary functions (`serve.lua`); here a thread reads their lines, and the bytes
//! that follow some, and hands them to it. The end of the input is the end of all: what runs then is cancelled. `harness python-path` is for those who ask
//! from Python.

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::event::{PollFd, PollFlags};

use super::own::{self, Own};
use super::print::print_line;
use super::run::{self, Begun, Joined};
use crate::artefact::Store;
use crate::model::{Limits, exit};
use crate::process::{self, Signals, exit_now};
use crate::root::port::{LineSender, PoolSpec};
use crate::root::progress::Verbosity;
use crate::root::{self, Ended, Started, find_allocation};
use crate::say::say;
use crate::script::session::bytes_behind;
use crate::slot::adaptors;
use crate::transport::wait::wait;

/// A longer request is taken for a mistake, and so are more bytes behind it (B).
const LONGEST_LINE: u64 = 1 << 30;
/// Once nothing more is asked, so long nobody may read answers that are there.
const UNREAD: Duration = Duration::from_secs(5);
/// Between two looks whether somebody does.
const LOOK: Duration = Duration::from_millis(500);
/// So long a reader of standard error may take then.
const LAST_WORDS: Duration = Duration::from_millis(500);

pub(super) const AFTER_HELP: &str = "\
A request is an object in one line, {\"id\": 1, \"do\": \"submit\", \"exec\": {\"cmd\": [\"date\"]}}, and its answer another, with
the same id, when it is done. All of it: docs/python.md. For Python there is harness_futures.py: `harness python-path`.

Exit codes: 0 the input came to its end · 2 what came makes no sense as a request · 73 nobody read the answers after that ·
others as of a campaign.";

#[derive(Args)]
pub(super) struct ServeArgs {
    /// Requests come on standard input, answers go to standard output.
    #[arg(long, required = true)]
    stdio: bool,
    /// The nodes to use, a host to a line as for mpirun (default: those of the batch job).
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,
    /// Start through this, `mpirun -n 1` (default: harness finds its launcher where it needs one).
    #[arg(long, value_name = "WORDS")]
    mpirun: Option<String>,
}

/// Does it; the exit code.
pub(super) fn serve(arguments: ServeArgs) -> ExitCode {
    begin(arguments).unwrap_or_else(|(code, text)| {
        say(format_args!("harness serve: {text}"));
        ExitCode::from(code)
    })
}

fn begin(arguments: ServeArgs) -> Result<ExitCode, (u8, String)> {
    if let Some(words) = &arguments.mpirun {
        return Err(through(words, arguments.hostfile));
    }
    let Begun { limits, signals, started } =
        match run::begin(None, arguments.hostfile.as_deref(), Verbosity::Quiet, true)? {
            Joined::Root(begun) => begun,
            Joined::Served(code) => return Ok(code),
        };
    let mpi = matches!(started.mpi, root::Mpi::Ready(_));
    let is_unreadable = Arc::new(AtomicBool::new(false));
    let mut ended = play(arguments, started, signals, limits, is_unreadable.clone())?;
    if is_unreadable.load(Ordering::Relaxed) && ended.code == exit::OK {
        ended.code = exit::USAGE;
    }
    if let Some(message) = &ended.message {
        say(format_args!("harness serve: {message}"));
    }
    run::leave_mpi(mpi && !ended.lost_rank, ended.code, limits.finalize);
    Ok(ExitCode::from(ended.code))
}

/// Becomes the launcher, which starts this again; returns only why it cannot.
#[cfg(feature = "mpi")]
fn through(words: &str, host_file: Option<PathBuf>) -> (u8, String) {
    let words = match shell_words::split(words) {
        Ok(words) if !words.is_empty() => words,
        _ => return (exit::USAGE, format!("--mpirun '{words}': what starts harness? `mpirun -n 1`")),
    };
    let host_file = host_file.map(|file| ["--hostfile".into(), file.into_os_string()]);
    let again = ["serve".into(), "--stdio".into()].into_iter().chain(host_file.into_iter().flatten());
    (exit::ALLOCATION, super::launch::become_launcher(words, Vec::new(), true, again))
}

#[cfg(not(feature = "mpi"))]
fn through(words: &str, _: Option<PathBuf>) -> (u8, String) {
    (exit::USAGE, format!("--mpirun '{words}': this harness was built without MPI; leave it out"))
}

fn play(
    arguments: ServeArgs,
    started: Started,
    signals: Signals,
    limits: Limits,
    is_unreadable: Arc<AtomicBool>,
) -> Result<Ended, (u8, String)> {
    let nodes = find_allocation(arguments.hostfile.as_deref())
        .map_err(|error| (exit::ALLOCATION, error.to_string()))?
        .nodes
        .len();
    let here = std::env::current_dir()
        .map_err(|error| (exit::USAGE, format!("cannot tell the current folder: {error}")))?;
    let folder = own::folder("serve").map_err(|text| (exit::JOURNAL, text))?;
    let campaign = Own {
        name: "serve.lua",
        text: include_str!("serve.lua"),
        folder: Some(here),
        args: vec![env!("CARGO_PKG_VERSION").into(), nodes.to_string()],
        pool: PoolSpec::default(),
        host_file: arguments.hostfile,
        journal: None,
        listener: Some(Box::new(|lines| listen(lines, is_unreadable))),
    };
    Ok(campaign.play(folder.path(), started, signals, limits))
}

/// Reads requests on a thread of its own, which ends with the process; or with what makes no sense, which is told then.
fn listen(lines: LineSender, is_unreadable: Arc<AtomicBool>) -> io::Result<()> {
    let read = move || {
        pass_on(&lines, &is_unreadable);
        drop(lines);
        end_unread();
    };
    std::thread::Builder::new().name("requests".into()).spawn(read)?;
    // Whoever passes them on may have to wait, and does not see the end.
    let hang_up = || {
        let _ = wait(&mut [PollFd::new(&io::stdin(), PollFlags::RDHUP)], None);
        end_unread();
    };
    std::thread::Builder::new().name("hang-up".into()).spawn(hang_up).map(|_| ())
}

fn pass_on(lines: &LineSender, is_unreadable: &AtomicBool) {
    let mut input = BufReader::with_capacity(256 << 10, io::stdin());
    loop {
        match request(&mut input) {
            Ok(Some(request)) => {
                if !lines.send(request) {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                is_unreadable.store(true, Ordering::Relaxed);
                return say(format_args!("harness serve: no further requests are read: {error}"));
            }
        }
    }
}

/// Nothing more is asked, and the script ends as soon as it hears so. While it writes an answer that nobody reads it does
/// not: then the process ends, and with it all it started. Returns only if somebody else does that, too.
fn end_unread() {
    static IS_WATCHED: AtomicBool = AtomicBool::new(false);
    if IS_WATCHED.swap(true, Ordering::Relaxed) {
        return;
    }
    let stdout = io::stdout();
    loop {
        let mut room = [PollFd::new(&stdout, PollFlags::OUT)];
        if wait(&mut room, Some(Instant::now() + UNREAD)).is_ok() && room[0].revents().is_empty() {
            break;
        }
        let _ = wait(&mut [], Some(Instant::now() + LOOK));
    }
    let code = exit::CANNOT_WRITE;
    process::exit_within(LAST_WORDS, code.into());
    say(format_args!(
        "harness serve: the input has ended, and nobody has read answers for {} s: ends without the rest of them; read while \
         you write",
        UNREAD.as_secs()
    ));
    exit_now(code.into())
}

/// The next line; with its end and the bytes behind it if it announces some. None at the end of the input.
fn request(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    if input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut request)? == 0 {
        return Ok(None);
    }
    if request.len() as u64 == LONGEST_LINE {
        return Err(io::Error::other("one has no end after 1 GiB"));
    }
    let Some(bytes) = bytes_behind(&request) else {
        request.pop_if(|last| *last == b'\n');
        return Ok(Some(request));
    };
    if bytes as u64 > LONGEST_LINE {
        return Err(io::Error::other(format!("one announced {bytes} bytes, more than 1 GiB")));
    }
    request.reserve_exact(bytes + 1);
    let end = request.len() + bytes;
    input.by_ref().take(bytes as u64 + 1).read_to_end(&mut request)?;
    match request.get(end) {
        Some(b'\n') => request.truncate(end),
        Some(_) => {
            return Err(io::Error::other(format!(
                "no end of a line follows the {bytes} bytes that one announced"
            )));
        }
        None => {
            return Err(io::Error::other(format!("the input ended in the {bytes} bytes that one announced")));
        }
    }
    Ok(Some(request))
}

/// Prints the folder that has `harness_futures.py`, for PYTHONPATH or to copy it from.
pub(super) fn python_path() -> ExitCode {
    let cache = Store::default_folder();
    match adaptors::python(&cache) {
        Ok(folder) => print_line("python-path", &folder.display().to_string(), exit::OK),
        Err(error) => {
            say(format_args!("harness python-path: cannot write to {}: {error}", cache.display()));
            ExitCode::from(exit::JOURNAL)
        }
    }
}
