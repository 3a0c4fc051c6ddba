//! Campaigns of harness's own, behind subcommands: a script that is part of the executable, in a folder for a while; or
//! `harness` once more, as somebody would type it.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::run;
use crate::model::{Limits, Retry, exit};
use crate::process::own::null_device;
use crate::process::{Child, Environment, Launch, Signals, spawn, this_executable};
use crate::root::port::{LineSender, PoolSpec};
use crate::root::progress::Verbosity;
use crate::root::{Ended, Options, Started, Timing};
use crate::script::ScriptState;

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
            let message = format!("cannot write to the folder for temporary files (TMPDIR): {error}");
            return Ended::at_once(exit::JOURNAL, message);
        }
        let options = Options {
            script: script.clone(),
            folder: self.folder,
            args: self.args,
            pool: self.pool,
            host_file: self.host_file,
            display: None,
            journal: Some(self.journal.unwrap_or_else(|| folder.join("journal"))),
            fresh: true,
            retry: Retry::default(),
            repeats: false,
            interactive: false,
            trace: None,
            timing: Timing::default(),
            seed: None,
            verbosity: Verbosity::Quiet,
            limits,
        };
        let ended = run::play(options, started, signals, folder, self.listener, ScriptState::run);
        Ended { message: ended.message.map(|message| for_people(&message, self.name)), ..ended }
    }
}

/// Why it failed, as if it were the user's own: it has no lines that anybody could mend.
fn for_people(message: &str, script: &str) -> String {
    let text = message.split("\nstack traceback").next().unwrap_or_default();
    let place = text.strip_prefix(script).and_then(|rest| rest.strip_prefix(':')?.split_once(": "));
    place.map_or(text, |(_, reason)| reason).into()
}

/// A folder for one.
pub(super) fn folder(what: &str) -> Result<tempfile::TempDir, String> {
    let folder = tempfile::Builder::new().prefix(&format!("harness-{what}-")).tempdir();
    folder.map_err(|error| format!("cannot write to the folder for temporary files (TMPDIR): {error}"))
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
