//! Bars on a terminal: a pseudo-terminal with an emulator behind it, so that what is compared is what a person sees.

use crate::support::Folder;
use crate::terminal::Terminal;

/// A campaign on workers of this machine.
fn start(folder: &Folder, args: &[&str]) -> Terminal {
    Terminal::start(folder, &[&["--start", "local"], args].concat())
}

fn has(rows: &[String], row: &str) -> bool {
    rows.iter().any(|shown| shown == row)
}

fn bar(rows: &[String]) -> Option<&String> {
    rows.iter().find(|row| row.starts_with("    exec ["))
}

/// An exec that ends once there is a file of this name.
fn until_there(file: &str) -> String {
    format!("submit(exec {{ shell = 'until [ -e {file} ]; do sleep 0.01; done' }})")
}

#[test]
fn bars_stay_below_what_is_printed_and_go_at_the_end() {
    let folder = Folder::with(&format!(
        "local one, two = {}, {}\nprint 'before'\nawait(one)\nprint 'in between'\nawait(submit(function() print 'from a \
         call' end))\nio.stderr:write 'more? '\nio.popen('echo a child', 'w'):close()\nawait(two)\nprint 'after'\n",
        until_there("first"),
        until_there("second"),
    ));
    let mut terminal = start(&folder, &["--slots", "3", "c.lua"]);
    terminal.await_screen("a bar", |rows| {
        has(rows, "before") && bar(rows).is_some_and(|bar| bar.ends_with("] 0/2, 2 running"))
    });
    terminal.await_screen("the workers", |rows| rows.last().is_some_and(|row| row.trim() == "1 worker"));
    folder.write("first", "");
    let text = ["before", "in between", "from a call", "more? a child"];
    terminal.await_screen("text above the bars", |rows| {
        rows.len() > 4 && rows[..4] == text && bar(rows).is_some_and(|bar| bar.contains("1/2"))
    });
    folder.write("second", "");
    let (rows, code) = terminal.end();
    let all = [&text[..], &["after", "harness: 3 tasks: 3 ok"]].concat();
    assert_eq!((rows, code), (all.into_iter().map(str::to_owned).collect(), Some(0)));
}

#[test]
fn a_line_that_is_not_finished_has_no_bars_behind_it() {
    let folder = Folder::with(&format!(
        "local one, two = {}, {}\nio.write 'how many? ' io.flush()\nawait(one)\nprint 'three'\nawait(two)\n",
        until_there("first"),
        until_there("second"),
    ));
    let mut terminal = start(&folder, &["--slots", "2", "c.lua"]);
    terminal.await_screen("the question", |rows| has(rows, "how many?"));
    folder.write("first", "");
    terminal.await_screen("the bars again", |rows| {
        has(rows, "how many? three") && bar(rows).is_some_and(|bar| bar.contains("1/2"))
    });
    folder.write("second", "");
    let (rows, code) = terminal.end();
    assert_eq!(rows, ["how many? three", "harness: 2 tasks: 2 ok"]);
    assert_eq!(code, Some(0));
}

#[test]
fn a_campaign_that_is_stopped_leaves_the_terminal_clean() {
    let folder = Folder::with(&format!("print 'before'\nawait({})\n", until_there("never")));
    let mut terminal = start(&folder, &["c.lua"]);
    terminal.await_screen("a bar", |rows| bar(rows).is_some());
    terminal.signal(rustix::process::Signal::TERM);
    let (rows, code) = terminal.end();
    assert_eq!(rows[0], "before");
    assert!(rows[1].starts_with("harness: stopped by SIGTERM with 1 task unfinished"), "{rows:#?}");
    assert_eq!((bar(&rows), code), (None, Some(75)));
}

#[test]
fn quiet_draws_nothing() {
    let folder = Folder::with(&format!("await({})\nprint 'over'\n", until_there("go")));
    let mut terminal = start(&folder, &["-q", "c.lua"]);
    folder.write("go", "");
    terminal.await_screen("the end", |rows| has(rows, "over"));
    assert!(!terminal.screen.screen().contents().contains('['));
    assert_eq!(terminal.end(), (vec!["over".to_owned()], Some(0)));
}

#[test]
fn a_terminal_that_nobody_reads_does_not_keep_the_campaign() {
    let folder = Folder::with(
        "submit(exec { shell = 'trap \"\" TERM INT; echo > up; while :; do sleep 1; done' })\nawait(submit(exec { shell = \
         'until [ -e up ]; do sleep 0.01; done' }))\nwhile true do print 'more and more' end\n",
    );
    let mut terminal = start(&folder, &["--slots", "2", "c.lua"]);
    crate::support::await_that("the program is up", || folder.path("up").exists());
    terminal.signal(rustix::process::Signal::INT);
    terminal.signal(rustix::process::Signal::TERM);
    crate::support::await_that("its end", || terminal.child.try_wait().unwrap().is_some());
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130));
}
