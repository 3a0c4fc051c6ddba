//! The keeper: starts, limits, times and kills every process of ours on its node.
//!
//! One thread listens to the worker (`service`), and one for each slot in use sees a task through (`lane`); they
//! share a `desk`. Jobs (`job`) decide what to run next, runs (`run`) see it through. While a program is measured
//! nothing wakes the keeper but that program and the worker.
//!
//! It has a session of its own and is a child subreaper: what a program leaves behind becomes its child
//! and is killed. When the worker's socket closes, for whatever reason, it kills all its descendants, removes what
//! killed processes of ours left in the folder for temporary files, and ends. If the keeper itself is killed, its orphans become children of the worker (a subreaper too),
//! which calls [`crate::process::kill_descendants`]; slots die with their parent.
//! It stays small, because a program's `ru_maxrss` includes the pages of who started it; it knows no
//! Lua, no MPI and no other node.

mod around;
mod capture;
mod compare;
mod compile;
mod desk;
mod exec;
#[cfg(test)]
mod fake;
mod files;
mod floor;
mod headers;
mod hooks;
mod inspection;
mod job;
mod lane;
mod launching;
mod leader;
mod measure;
mod met;
pub mod metric;
mod numerals;
mod place;
mod question;
mod run;
mod scratch;
mod service;
mod site;
mod slots;
mod stream;
mod subject;
mod talk;
#[cfg(test)]
mod trust_tests;
mod verdict;
mod verify;

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use crate::process::{self, keep_small, kill_descendants, own, settle_signals};
use crate::say::say;
use crate::wire::WireError;

/// How long the end of all descendants is waited for; what the kernel cannot end by then it must keep.
const LAST_PATIENCE: Duration = Duration::from_secs(8);

/// The whole life of a keeper, with the worker's socket.
pub fn main(socket: OwnedFd) -> ExitCode {
    let worker = own::parent_pid();
    let keeper = prepare().map_err(WireError::from).and_then(|()| service::Keeper::new(socket));
    process::sweep();
    let ended = keeper.and_then(|mut keeper| {
        let ended = keeper.serve();
        end_all();
        keeper.end();
        // With the worker gone nobody waits for us, and we can wait for the root.
        process::sweep_behind(|| own::parent_pid() != worker);
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("harness keeper: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn end_all() {
    let left = kill_descendants(&[], LAST_PATIENCE);
    if left > 0 {
        say(format_args!("harness keeper: {left} processes do not end, not even after SIGKILL"));
    }
}

fn prepare() -> std::io::Result<()> {
    // A batch system signals every process of the job; when to end is the worker's to say.
    own::block_signals()?;
    own::count_suspensions();
    settle_signals();
    own::adopt_orphans()?;
    own::close_on_exec_from(3);
    keep_small();
    Ok(())
}
