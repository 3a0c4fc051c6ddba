//! Campaigns of harness's own, behind subcommands: a script that is part of the executable, in a folder for a while; or
//! `harness` once more, as somebody would type it.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Signal, kill_process};

use super::run;
use crate::model::{Limits, Retry, exit};
use crate::process::own::null_device;
use crate::process::{
    self, Child, Environment, Exit, Launch, OwnFolder, Signals, spawn, this_executable, try_wait,
};
use crate::root::port::{LineSender, MostQueued, PoolSpec};
use crate::root::progress::Verbosity;
use crate::root::{Ended, Options, Started, Timing};
use crate::script::ScriptState;
use crate::transport::wait::wait;

/// Somebody wants it to end.
const STOP: [i32; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];

/// One of them.
pub(super) struct Own<'a> {
    /// Name of its file.
    pub(super) name: &'a str,
    /// Its text.
    pub(super) text: &'a str,
    /// What relative paths in it are relative to, if not to where it lies.
    pub(super) folder: Option<PathBuf>,
    pub(super) args: Vec<String>,
    pub(super) pool: PoolSpec,
    pub(super) host_file: Option<PathBuf>,
    /// Where its records stay; in the folder, unless somebody wants them.
    pub(super) journal: Option<PathBuf>,
    /// Begins to hand it lines from outside, if it is to have any.
    pub(super) listener: Option<Listener>,
}

/// Called before the script begins.
pub(super) type Listener = Box<dyn FnOnce(LineSender) -> std::io::Result<()> + Send>;

impl Own<'_> {
    /// Runs it in `folder`.
    pub(super) fn play(self, folder: &Path, started: Started, signals: Signals, limits: Limits) -> Ended {
        let script = folder.join(self.name);
        if let Err(error) = fs::write(&script, self.text) {
            return Ended::at_once(exit::JOURNAL, unwritten(&script, &error));
        }
        let journal = self.journal.unwrap_or_else(|| folder.join("journal"));
        let is_kept = !journal.starts_with(folder);
        let options = Options {
            script: script.clone(),
            folder: self.folder,
            args: self.args,
            pool: self.pool,
            host_file: self.host_file,
            display: None,
            journal: Some(journal),
            fresh: true,
            fleeting: !is_kept,
            retry: Retry::default(),
            repeats: false,
            interactive: false,
            trace: None,
            timing: Timing::default(),
            seed: None,
            most_queued: MostQueued::default(),
            verbosity: Verbosity::Quiet,
            limits,
        };
        let ended = run::play(options, started, signals, folder, self.listener, ScriptState::run);
        let message = ended.message.map(|message| match ended.code {
            exit::JOURNAL if !is_kept => elsewhere(&message),
            _ => for_people(&message, self.name),
        });
        Ended { message, ..ended }
    }
}

/// Why it failed, as if it were the user's own: it has no lines that anybody could mend.
fn for_people(message: &str, script: &str) -> String {
    let text = message.split("\nstack traceback").next().unwrap_or_default();
    let place = text.strip_prefix(script).and_then(|rest| rest.strip_prefix(':')?.split_once(": "));
    place.map_or(text, |(_, reason)| reason).into()
}

/// A folder for one. What a killed one of this user and node left goes first.
pub(super) fn folder(what: &str) -> Result<OwnFolder, String> {
    let parent = process::temporary();
    process::sweep();
    let prefix = process::folder_prefix(&format!("own-{what}"));
    OwnFolder::make(&parent, &prefix).map_err(|error| unwritten(&parent, &error))
}

/// The same of a journal that nobody named, as whoever writes journals says it.
pub(super) fn elsewhere(message: &str) -> String {
    format!("{message}; that folder is for temporary files: `export TMPDIR=FOLDER` names another")
}

/// What is kept for a while cannot be.
pub(super) fn unwritten(path: &Path, error: &io::Error) -> String {
    format!(
        "cannot write to {}: {error}; it is for temporary files: make room there, or name another folder: `export TMPDIR=FOLDER`",
        path.display()
    )
}

/// Starts `harness WORDS` in a process and a session of its own.
pub(super) fn start_harness(words: &[&OsStr], stdout: &File, stderr: &File) -> Result<Child, String> {
    let harness = this_executable().ok_or("where is harness? Its file was replaced or removed")?;
    let words = [OsStr::new("harness")]
        .into_iter()
        .chain(words.iter().copied())
        .map(|word| CString::new(word.as_bytes()));
    let words: Vec<CString> = words.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let program = CString::new(harness.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    let null = null_device().map_err(|error| format!("/dev/null: {error}"))?;
    let child = spawn(&Launch {
        program: Some(&program),
        argv: &words,
        environment: &Environment::scrubbed(std::env::vars_os()),
        cwd: None,
        stdio: [null.as_fd(), stdout.as_fd(), stderr.as_fd()],
        fds: &[],
    });
    child.map_err(|error| error.to_string())
}

/// How a process came to its end.
#[derive(Clone, Copy)]
pub(super) enum End {
    Itself(Exit),
    /// Its time was over.
    TooLate,
    /// Somebody wanted us to end.
    Stopped,
}

/// How long one that was asked to end may take before it is killed.
pub(super) struct Grace {
    pub(super) stopped: Duration,
    pub(super) late: Duration,
}

/// Waits for its end. It is asked to end when we are, or when its time is over, and killed if it does not, or if somebody asks
/// once more. What it had started ends with it: its keepers see to that.
pub(super) fn end(
    child: &Child,
    signals: &mut Signals,
    mut until: Option<Instant>,
    grace: &Grace,
) -> io::Result<End> {
    let mut asked = None;
    loop {
        wait(&mut [PollFd::new(&*signals, PollFlags::IN), PollFd::new(&child.pidfd, PollFlags::IN)], until)?;
        let mut stopped = false;
        while let Some(signal) = signals.take() {
            stopped |= STOP.contains(&signal);
        }
        let stopped = stopped.then_some((End::Stopped, grace.stopped));
        if let Some((exit, _)) = try_wait(child.pid)? {
            return Ok(stopped.map(|(end, _)| end).or(asked).unwrap_or(End::Itself(exit)));
        }
        let is_late = until.is_some_and(|until| Instant::now() >= until);
        let Some((why, patience)) = stopped.or(is_late.then_some((End::TooLate, grace.late))) else {
            continue;
        };
        if let Some(before) = asked {
            child.wait_or_kill(Duration::ZERO);
            return Ok(stopped.map_or(before, |(end, _)| end));
        }
        let _ = kill_process(child.pid, Signal::TERM);
        (asked, until) = (Some(why), Instant::now().checked_add(patience));
    }
}
