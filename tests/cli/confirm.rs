//! `harness compare --confirm`: what seems slower is measured once more. What programs print is what counts here, so that
//! nothing depends on how fast this machine is.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use super::compare::{PRINTS, compare, held, measured};
use crate::support::{Folder, LIMIT, await_that};

#[test]
fn a_suspect_is_measured_once_more_and_counts_if_it_is_slower_then_too() {
    let folder = Folder::with(PRINTS);
    measured(&folder, "10\n", "base.journal");
    measured(&folder, "12\n", "new.journal");
    let confirm = || compare(&folder, &["--confirm", "base.journal", "new.journal"]);
    let records =
        |name: &str| folder.journal(name).iter().filter(|line| line["type"] == "measurement").count();
    assert_eq!(compare(&folder, &["base.journal", "new.journal"]).code, Some(1));
    assert_eq!(records("new.journal"), 2, "unasked nothing is measured");

    let ran = confirm();
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(1), "harness: compare: 2 suspects to be measured once more\n")
    );
    let again = "; measured once more 1.200x slower, 95 % CI [1.200, 1.200], 12.00 ms, n = 8";
    assert_eq!(ran.stdout.matches(again).count(), 2, "{ran:#?}");
    assert_eq!((records("base.journal"), records("new.journal")), (2, 4));

    folder.write("value", "10\n");
    let ran = confirm();
    assert!(
        ran.code == Some(0) && ran.stdout.ends_with("2 rows: 2 unconfirmed: no regression\n"),
        "{ran:#?}"
    );
    folder.write("value", "none\n");
    let ran = confirm();
    assert!(ran.code == Some(1), "{ran:#?}");
    let why = "it was not measured once more: it ended metric_missing: ";
    assert_eq!(ran.stdout.matches(why).count(), 2, "{ran:#?}");
    // Nor can it be where its script is gone.
    std::fs::rename(folder.path("c.lua"), folder.path("d.lua")).unwrap();
    let ran = confirm();
    let why = "was not measured once more: rerun: m tile=1: it ran in the folder of its script, and ";
    assert!(ran.code == Some(1) && ran.stdout.contains(why), "{ran:#?}");
}

/// Disk full, here after the first of two.
#[test]
fn a_journal_that_takes_no_record_ends_it() {
    let folder = Folder::with(PRINTS);
    measured(&folder, "10\n", "base.journal");
    measured(&folder, "12\n", "new.journal");
    let length = |name: &str| std::fs::metadata(folder.path(name)).unwrap().len();
    std::fs::copy(folder.path("new.journal"), folder.path("copy.journal")).unwrap();
    let before = length("copy.journal");
    assert_eq!(compare(&folder, &["--confirm", "base.journal", "copy.journal"]).code, Some(1));
    let room = (length("copy.journal") - before) * 3 / 4;
    let full = format!("ulimit -f {}", (before + room) / 512);
    let args = ["compare", "--confirm", "--junit", "read.xml", "base.journal", "new.journal"];
    let ran = folder.finish(folder.harness_after(&full, &args));
    let said = folder.normal(&ran.stderr);
    let says = "harness: compare: 2 suspects to be measured once more\nharness: compare: what seems slower cannot be measured \
                once more: stopped, because records cannot be written: journal new.journal: cannot write to it: File too \
                large (os error 27); once that is mended, the same line again does\n";
    assert_eq!((ran.code, said.as_str(), ran.stdout.as_str()), (Some(73), says, ""));
    assert!(!folder.path("read.xml").exists(), "no answer is written either");
    let records = folder.journal("new.journal").iter().filter(|line| line["type"] == "measurement").count();
    assert_eq!(records, 3, "one was measured before");
}

#[test]
fn who_stops_it_while_it_measures_leaves_nothing() {
    let folder = held();
    let before = folder.lines("log");
    let running = folder.start(&["compare", "--confirm", "base.journal", "new.journal"]);
    await_that("it measures once more", || folder.lines("log") > before);
    running.signal(Signal::TERM);
    let ran = running.end(LIMIT);
    let says = "harness: compare: 1 suspect to be measured once more\nharness: compare: stopped while it measured once more; the \
                same line again does\n";
    assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.as_str()), (Some(75), says, ""));
    folder.assert_nothing_left(LIMIT);
    std::fs::remove_file(folder.path("hold")).unwrap();
    assert_eq!(compare(&folder, &["--confirm", "base.journal", "new.journal"]).code, Some(1));
}

#[test]
fn what_it_had_started_ends_with_it_however_it_ends() {
    let folder = held();
    let before = folder.lines("log");
    let running = folder.start(&["compare", "--confirm", "base.journal", "new.journal"]);
    await_that("it measures once more", || folder.lines("log") > before);
    running.signal(Signal::KILL);
    folder.assert_nothing_left(LIMIT);
}

#[test]
fn one_that_does_not_end_when_measured_once_more_is_given_up() {
    let folder = held();
    let ran = compare(&folder, &["--confirm", "--confirm-timeout", "1 s", "base.journal", "new.journal"]);
    let why = "; it was not measured once more: it had not ended after 1 s (--confirm-timeout gives it another \
               limit)";
    assert!(ran.code == Some(1) && ran.stdout.contains(why), "{ran:#?}");
    folder.assert_nothing_left(LIMIT);
    let alone = compare(&folder, &["--confirm-timeout", "1 s", "base.journal", "new.journal"]);
    assert!(alone.code == Some(64) && alone.stderr.contains("--confirm"), "{alone:#?}");
}

#[test]
fn another_program_than_was_measured_is_not_measured_once_more() {
    let folder = Folder::with(
        "submit(measure { name = 'm', runs = 8, cmd = { './prog' }, metrics = { x = 'x: ([%d.]+)' }, objective = 'x' })",
    );
    let program = |x: u32| {
        folder.write("prog", format!("#!/bin/sh\necho x: {x}\n"));
        fs::set_permissions(folder.path("prog"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    for (x, journal) in [(10, "base.journal"), (12, "new.journal")] {
        program(x);
        assert_eq!(folder.run(&["-q", "--journal", journal, "c.lua"]).code, Some(0));
    }
    let lines = folder.lines("new.journal");
    let confirm = || compare(&folder, &["--confirm", "base.journal", "new.journal"]);
    program(10);
    let ran = confirm();
    let why = "was not measured once more: rerun: m: its program file was changed since, or removed: ";
    assert!(ran.code == Some(1) && ran.stdout.contains(why), "{ran:#?}");
    assert_eq!(folder.lines("new.journal"), lines, "nothing was measured");
    program(12);
    assert_eq!(confirm().code, Some(1));
}

/// Where it waits for somebody who reads what it writes.
#[test]
fn who_stops_it_after_it_measured_once_more_is_heard() {
    let folder = held();
    std::fs::remove_file(folder.path("hold")).unwrap();
    for pipe in ["read", "unread"] {
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.path(pipe), rustix::fs::Mode::RWXU).unwrap();
    }
    let args =
        ["compare", "--confirm", "--junit", "read", "--markdown", "unread", "base.journal", "new.journal"];
    let running = folder.start(&args);
    // With that it has begun to write.
    assert!(std::fs::read_to_string(folder.path("read")).unwrap().contains("<testsuite"));
    running.signal(Signal::TERM);
    let ran = running.end(LIMIT);
    assert_eq!((ran.code, ran.signal), (None, Some(15)), "{ran:#?}");
}
