//! The real binary, as people meet it: what it says, where, and with which exit code.
//!
//! Texts are compared whole: a changed word is a changed test, and somebody has read it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests mount and start things

#[path = "../support/mod.rs"]
mod support;

mod again;
mod bad_input;
mod batch;
mod bench;
mod chains;
mod check;
mod codes;
mod compare;
mod confirm;
mod current;
mod doctor;
mod export;
mod faults;
mod functions;
mod gpus;
mod journal;
mod lease;
mod limits;
mod memory;
mod new;
mod outcomes;
mod places;
mod progress;
mod quarantine;
mod query;
mod queued;
mod repl;
mod replay;
mod report;
mod rerun;
mod resume;
mod retry;
mod selftest;
mod serve;
mod show;
mod status;
mod statuses;
mod streams;
mod terminal;
mod test;
mod together;
mod top;
mod types;
mod ulimits;
mod versions;
mod walltime;

use support::{Folder, Ran};

/// Runs a campaign and compares its exit code and everything it says.
fn says(folder: &Folder, args: &[&str], code: i32, stdout: &str, stderr: &str) -> Ran {
    let ran = folder.run(args);
    said(folder, ran, code, stdout, stderr)
}

#[track_caller]
fn said(folder: &Folder, ran: Ran, code: i32, stdout: &str, stderr: &str) -> Ran {
    let text = |text: &str| folder.normal(text);
    assert_eq!(text(&ran.stderr), stderr, "stderr of {ran:#?}");
    assert_eq!(text(&ran.stdout), stdout, "stdout of {ran:#?}");
    assert_eq!(ran.code, Some(code), "{ran:#?}");
    ran
}
