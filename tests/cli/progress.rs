//! Bars on a terminal: a pseudo-terminal with an emulator behind it, so that what is compared is what a person sees.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{Folder, LIMIT};

const ROWS: u16 = 30;

/// What a `harness` on a terminal shows.
struct Terminal {
    child: Child,
    ours: File,
    screen: vt100::Parser,
    over: bool,
}

impl Terminal {
    fn start(folder: &Folder, args: &[&str]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs: OwnedFd =
            open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let size = Winsize { ws_row: ROWS, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&theirs, size).unwrap();
        let mut command = folder.harness(&[&["--start", "local"], args].concat());
        command.env("TERM", "xterm").process_group(0);
        command.stdin(Stdio::null()).stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let child = command.spawn().unwrap();
        drop(command); // it holds the other end
        Self { child, ours: ours.into(), screen: vt100::Parser::new(ROWS, 100, 0), over: false }
    }

    /// The rows that are not empty.
    fn rows(&self) -> Vec<String> {
        let rows = self.screen.screen().rows(0, 100);
        rows.map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
    }

    /// Waits until the screen `is` so.
    #[track_caller]
    fn await_screen(&mut self, what: &str, is: impl Fn(&[String]) -> bool) {
        let until = Instant::now() + LIMIT;
        while !is(&self.rows()) {
            assert!(!self.over && self.hear(until), "waited in vain for {what}; it shows {:#?}", self.rows());
        }
    }

    /// Reads on; false if nothing came in time.
    fn hear(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        if poll(&mut [PollFd::new(&self.ours, PollFlags::IN)], Some(&left)).unwrap() == 0 {
            return false;
        }
        let mut bytes = [0; 4096];
        match self.ours.read(&mut bytes) {
            Ok(count) if count > 0 => self.screen.process(&bytes[..count]),
            _ => self.over = true, // nobody holds the other end any more
        }
        true
    }

    /// What is there when it has ended, and its exit code.
    fn end(mut self) -> (Vec<String>, Option<i32>) {
        let until = Instant::now() + LIMIT;
        while !self.over {
            assert!(self.hear(until), "no end; it shows {:#?}", self.rows());
        }
        (self.rows(), self.child.wait().unwrap().code())
    }
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
    let mut terminal = Terminal::start(&folder, &["--slots", "3", "c.lua"]);
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
    let mut terminal = Terminal::start(&folder, &["--slots", "2", "c.lua"]);
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
    let mut terminal = Terminal::start(&folder, &["c.lua"]);
    terminal.await_screen("a bar", |rows| bar(rows).is_some());
    let root = rustix::process::Pid::from_child(&terminal.child);
    rustix::process::kill_process(root, rustix::process::Signal::TERM).unwrap();
    let (rows, code) = terminal.end();
    assert_eq!(rows[0], "before");
    assert!(rows[1].starts_with("harness: stopped by SIGTERM with 1 task unfinished"), "{rows:#?}");
    assert_eq!((bar(&rows), code), (None, Some(75)));
}

#[test]
fn quiet_draws_nothing() {
    let folder = Folder::with(&format!("await({})\nprint 'over'\n", until_there("go")));
    let mut terminal = Terminal::start(&folder, &["-q", "c.lua"]);
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
    let mut terminal = Terminal::start(&folder, &["--slots", "2", "c.lua"]);
    crate::support::await_that("the program is up", || folder.path("up").exists());
    let root = rustix::process::Pid::from_child(&terminal.child);
    rustix::process::kill_process(root, rustix::process::Signal::INT).unwrap();
    rustix::process::kill_process(root, rustix::process::Signal::TERM).unwrap();
    crate::support::await_that("its end", || terminal.child.try_wait().unwrap().is_some());
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130));
}
