//! `harness top`, on a terminal beside a campaign.

use std::fs::File;
use std::io::Write;

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use crate::says;
use crate::support::{Folder, LIMIT, Running, await_that};
use crate::terminal::Terminal;

/// What runs ends when the file `go` is there.
const HOLD: &str = "touch began; while [ ! -e go ]; do sleep 0.01; done";

const KEYS: &str = "q quit · ↑ ↓ PgUp PgDn workers · p pause · ? help";

fn begun(script: &str) -> (Folder, Running) {
    let folder = Folder::with(&script.replace("HOLD", HOLD));
    let running = folder.start(&["-q", "--start", "local", "--slots", "2", "c.lua"]);
    await_that("the first task runs", || folder.path("began").exists());
    (folder, running)
}

/// It left the terminal as it was.
#[track_caller]
fn is_restored(terminal: &Terminal) {
    let screen = terminal.screen.screen();
    assert!(
        !screen.alternate_screen() && !screen.hide_cursor() && terminal.is_cooked(),
        "{:#?}",
        terminal.rows()
    );
}

#[test]
fn it_shows_what_runs_and_leaves_by_q() {
    let (folder, running) = begun(
        "local a = submit(exec { name = 'blocker', params = { n = 1 }, shell = 'HOLD', timeout = 60 })
        local b = submit(call { function() end, a, name = 'late' })
        wait { a, b }",
    );
    let mut terminal = Terminal::with_keys(&folder, &["top", "c.lua"]);
    terminal.await_text("  blocker n=1 (task 0)");
    terminal.await_screen("all of the picture", |rows| rows.last().is_some_and(|row| row == KEYS));
    assert!(terminal.screen.screen().alternate_screen() && !terminal.is_cooked());
    let rows = terminal.rows();
    assert!(rows[0].starts_with("c.lua on ") && rows[0].ends_with("): running"), "{rows:#?}");
    assert!(rows.iter().any(|row| row.starts_with("    exec [")), "{rows:#?}");
    assert!(rows.iter().any(|row| row.starts_with("workers: 1 ready; 2 slots")), "{rows:#?}");
    assert!(rows.iter().any(|row| row.starts_with("1 task waiting for what they depend on: ")), "{rows:#?}");
    terminal.press("?");
    terminal.await_text("leave; the campaign goes on");
    terminal.press("?p");
    terminal.await_text("paused, p goes on; this is how it was ");
    terminal.resize(12, 60);
    terminal.press("p");
    terminal.await_screen("a smaller picture", |rows| {
        rows.len() <= 12 && rows.last().is_some_and(|row| row == KEYS) && rows[0].starts_with("c.lua")
    });
    terminal.press("q");
    assert_eq!(terminal.await_end(), Some(0));
    is_restored(&terminal);
    folder.write("go", "");
    assert_eq!(running.end(LIMIT).code, Some(0), "the campaign goes on");
}

#[test]
fn the_end_of_the_campaign_is_told_and_stays() {
    let (folder, running) = begun(
        "await(submit(exec { name = 'a', key = 'a', shell = 'HOLD', timeout = 60 }))
        await(submit(measure { name = 'nap', params = { n = 2 }, cmd = { 'true' }, runs = 3 }))
        await(submit(exec { name = 'bad', key = 'b', shell = 'exit 3' }))",
    );
    let mut terminal = Terminal::with_keys(&folder, &["top"]);
    terminal.await_text("  a (task 0)");
    folder.write("go", "");
    assert_eq!(running.end(LIMIT).code, Some(0));
    terminal.await_text("the script came to its end (exit code 0); this is what the journal has; q leaves");
    terminal.await_text("] 2 of 2 done, 1 failed");
    terminal.await_text("failed: 1 nonzero_exit");
    terminal.await_text("nap n=2: median ");
    terminal.await_text("exec bad on ");
    terminal.press("\x1b");
    assert_eq!(terminal.await_end(), Some(0));
    is_restored(&terminal);
}

#[test]
fn beside_a_measurement_it_waits_and_says_so() {
    let (folder, mut running) = begun(
        "await(submit(measure { name = 'm', shell = 'HOLD', runs = 1, warmup = 0 }))
        print 'measured'
        io.stdout:flush()
        await(submit(exec { name = 'next', shell = 'while [ ! -e end ]; do sleep 0.01; done', timeout = 60 }))",
    );
    let mut terminal = Terminal::with_keys(&folder, &["top", "c.lua"]);
    terminal.await_text("a measurement has the root's node: the answer comes when it ends");
    folder.write("go", "");
    running.await_line("measured");
    terminal.await_text("  next (task 1)");
    terminal.await_text("m: median ");
    terminal.press("\x03");
    assert_eq!(terminal.await_end(), Some(0));
    is_restored(&terminal);
    folder.write("end", "");
    assert_eq!(running.end(LIMIT).code, Some(0));
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let (folder, running) = begun("await(submit(exec { name = 'a', shell = 'HOLD', timeout = 60 }))");
    let mut terminal = Terminal::with_keys(&folder, &["top", "c.lua"]);
    terminal.await_text("  a (task 0)");
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.await_end(), Some(130));
    is_restored(&terminal);
    folder.write("go", "");
    assert_eq!(running.end(LIMIT).code, Some(0));
}

#[test]
fn what_cannot_be_watched_is_said() {
    let folder = Folder::with("await(submit(measure { cmd = { 'true' }, runs = 1 }))");
    let none = "harness: top: there is no campaign in DIR: name one, `harness top campaign.lua`\n";
    says(&folder, &["top"], 2, "", none);
    assert_eq!(folder.run(&["-q", "--start", "local", "c.lua"]).code, Some(0));
    let lines =
        "harness: top: this is no terminal that could be drawn on: `harness status` says the same in lines\n";
    says(&folder, &["top", "c.lua"], 2, "", lines);
    let (rows, code) = Terminal::with_keys(&folder, &["top", "c.lua"]).end();
    let text = rows.concat();
    assert!(text.starts_with("harness: top: nobody runs the campaign of "), "{text}");
    assert_eq!(code, Some(1));

    let mut journal = File::options().append(true).open(folder.path("c.lua.journal")).unwrap();
    let line = r#"{"type":"session","version":"0","protocol":1,"script_hash":null,"started_unix_s":1.0,"pid":7,"host":"node7","job":null}"#;
    writeln!(journal, "{line}").unwrap();
    let locked = File::open(folder.path("c.lua.journal")).unwrap();
    flock(&locked, FlockOperation::NonBlockingLockExclusive).unwrap();
    let (rows, code) = Terminal::with_keys(&folder, &["top", "c.lua"]).end();
    let text = rows.concat().replace(' ', ""); // those at the ends of rows are lost
    assert!(text.contains("answersonitsownhostonly:`ssh-tnode7harnesstop/"), "{text}");
    assert_eq!(code, Some(1));
}
