//! A pseudo-terminal with an emulator behind it: what is compared is what a person sees.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::{Folder, LIMIT};

const ROWS: u16 = 30;
const COLUMNS: u16 = 100;

/// What a `harness` on a terminal shows.
pub struct Terminal {
    pub child: Child,
    ours: File,
    pub screen: vt100::Parser,
    over: bool,
}

impl Terminal {
    /// Nobody types.
    pub fn start(folder: &Folder, args: &[&str]) -> Self {
        Self::open(folder, args, false, COLUMNS)
    }

    /// Somebody does ([`Terminal::press`]).
    pub fn with_keys(folder: &Folder, args: &[&str]) -> Self {
        Self::open(folder, args, true, COLUMNS)
    }

    /// One of so many columns.
    pub fn of_width(folder: &Folder, args: &[&str], columns: u16) -> Self {
        Self::open(folder, args, false, columns)
    }

    fn open(folder: &Folder, args: &[&str], keys: bool, columns: u16) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs: OwnedFd =
            open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tcsetwinsize(&theirs, size(ROWS, columns)).unwrap();
        let mut command = folder.harness(args);
        command.env("TERM", "xterm").process_group(0);
        command.stdin(if keys { Stdio::from(theirs.try_clone().unwrap()) } else { Stdio::null() });
        command.stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let child = command.spawn().unwrap();
        drop(command); // it holds the other end
        Self { child, ours: ours.into(), screen: vt100::Parser::new(ROWS, columns, 0), over: false }
    }

    /// The rows that are not empty.
    pub fn rows(&self) -> Vec<String> {
        let screen = self.screen.screen();
        let rows = screen.rows(0, screen.size().1);
        rows.map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
    }

    /// Waits until the screen `is` so.
    #[track_caller]
    pub fn await_screen(&mut self, what: &str, is: impl Fn(&[String]) -> bool) {
        let until = Instant::now() + LIMIT;
        while !is(&self.rows()) {
            assert!(!self.over && self.hear(until), "waited in vain for {what}; it shows {:#?}", self.rows());
        }
    }

    /// Waits until a row has this text.
    #[track_caller]
    pub fn await_text(&mut self, text: &str) {
        self.await_screen(text, |rows| rows.iter().any(|row| row.contains(text)));
    }

    /// Types it.
    pub fn press(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).unwrap();
    }

    /// It gets another size, and is told so.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        tcsetwinsize(&self.ours, size(rows, columns)).unwrap();
        self.screen.screen_mut().set_size(rows, columns);
        self.signal(Signal::WINCH);
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Are lines edited, and is what is typed shown? Not while somebody has the terminal for keys.
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.ours).unwrap().local_modes;
        modes.contains(LocalModes::ICANON) && modes.contains(LocalModes::ECHO)
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

    /// Waits until it has ended; its exit code.
    pub fn await_end(&mut self) -> Option<i32> {
        let until = Instant::now() + LIMIT;
        while !self.over {
            assert!(self.hear(until), "no end; it shows {:#?}", self.rows());
        }
        self.child.wait().unwrap().code()
    }

    /// What is there when it has ended, and its exit code.
    pub fn end(mut self) -> (Vec<String>, Option<i32>) {
        let code = self.await_end();
        (self.rows(), code)
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
