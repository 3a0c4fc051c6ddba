//! What seems slower, measured once more: by `harness rerun`, one after another, as somebody would type it.
//!
//! Each is a process of its own: it takes the journal, its nodes and its MPI, and gives them back. The new records are read
//! from the journal, which `rerun` appends them to. Who stops us stops it, and it leaves nothing behind.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Signal, kill_process};

use crate::model::human::count;
use crate::model::{Measurement, Record, exit};
use crate::process::own::null_device;
use crate::process::{Child, Environment, Exit, Launch, Signals, spawn, this_executable, try_wait};
use crate::report::{Campaign, Suspect};
use crate::say::say;
use crate::transport::wait::wait;

/// Somebody wants it to end.
const STOP: [i32; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];

/// By the id of each suspect's record what it was when measured once more, or why it was not; none if it was stopped.
pub(super) fn again(
    journal: &Path,
    suspects: &[Suspect],
    hostfile: Option<&Path>,
) -> Option<BTreeMap<String, Result<Measurement, String>>> {
    say(format_args!("harness: compare: {} to be measured once more", count(suspects.len(), "suspect")));
    let mut signals = Signals::open();
    let mut again = BTreeMap::new();
    for suspect in suspects {
        let measured = match &mut signals {
            Ok(signals) => rerun(journal, suspect, hostfile, signals),
            Err(error) => Err(format!("cannot receive signals: {error}")),
        };
        let measured = match measured {
            Ok(true) => return None,
            Ok(false) => repeat_of(journal, &suspect.id),
            Err(why) => Err(why),
        };
        again.insert(suspect.id.clone(), measured);
    }
    Some(again)
}

/// Does it, and says whether it was stopped; or why not.
fn rerun(
    journal: &Path,
    suspect: &Suspect,
    hostfile: Option<&Path>,
    signals: &mut Signals,
) -> Result<bool, String> {
    let mut said = tempfile::tempfile().map_err(|error| format!("cannot write to TMPDIR: {error}"))?;
    let child = start(journal, suspect, hostfile, &said)?;
    let (exit, stopped) = end(&child, signals).map_err(|error| format!("cannot wait for it: {error}"))?;
    if stopped
        || matches!(exit, Exit::Code(code) if [exit::OK, exit::DISAGREES].map(i32::from).contains(&code))
    {
        return Ok(stopped);
    }
    let mut text = Vec::new();
    let _ = said.rewind().and_then(|()| said.read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text).into_owned();
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    Err(last.map_or_else(
        || format!("`harness rerun`: {exit}"),
        |line| line.trim_start_matches("harness: ").into(),
    ))
}

fn start(journal: &Path, suspect: &Suspect, hostfile: Option<&Path>, said: &File) -> Result<Child, String> {
    let harness = this_executable().ok_or("where is harness? Its file was replaced or removed")?;
    let key = suspect.key.to_string();
    let mut words: Vec<&OsStr> = vec!["harness".as_ref(), "rerun".as_ref(), "--json".as_ref()];
    if let Some(hostfile) = hostfile {
        words.extend(["--hostfile".as_ref(), hostfile.as_os_str()]);
    }
    words.extend([key.as_ref(), journal.as_os_str()]);
    let words = words.into_iter().map(|word| CString::new(word.as_bytes())).collect::<Result<Vec<_>, _>>();
    let program = CString::new(harness.as_os_str().as_bytes());
    let (words, program) =
        words.and_then(|words| Ok((words, program?))).map_err(|error| error.to_string())?;
    let null = null_device().map_err(|error| format!("/dev/null: {error}"))?;
    let child = spawn(&Launch {
        program: Some(&program),
        argv: &words,
        environment: &Environment::scrubbed(std::env::vars_os()),
        cwd: None,
        stdio: [null.as_fd(), null.as_fd(), said.as_fd()],
        fds: &[],
    });
    child.map_err(|error| error.to_string())
}

/// Waits for its end, and stops it if we are to end: how it ended, and whether it was stopped.
fn end(child: &Child, signals: &mut Signals) -> io::Result<(Exit, bool)> {
    let mut stopped = false;
    loop {
        wait(&mut [PollFd::new(&*signals, PollFlags::IN), PollFd::new(&child.pidfd, PollFlags::IN)], None)?;
        while let Some(signal) = signals.take() {
            if STOP.contains(&signal) {
                stopped = true;
                let _ = kill_process(child.pid, Signal::TERM);
            }
        }
        if let Some((exit, _)) = try_wait(child.pid)? {
            return Ok((exit, stopped));
        }
    }
}

/// The record that repeats this one, as the journal has it last.
fn repeat_of(journal: &Path, id: &str) -> Result<Measurement, String> {
    let campaign = Campaign::read(journal).map_err(|error| error.to_reader())?;
    let repeats = campaign.repeats.into_iter().rev().find_map(|record| match record {
        Record::Measurement(record) if record.facts.parent.as_deref() == Some(id) => Some(*record),
        _ => None,
    });
    repeats.ok_or_else(|| "`harness rerun` left no record of it".into())
}
