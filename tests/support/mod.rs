//! The real `harness` in a folder of its own: started, watched, waited for.
//!
//! Everything it starts carries a mark in its environment, so that a test finds its own processes, whoever
//! their parent is by now, and never touches another's. Every wait has a limit and says what it waited for.
// Each test target uses a part; tests start and time processes, and may panic.
#![allow(dead_code, clippy::disallowed_methods, clippy::unwrap_used)]

pub mod measured;
pub mod memory_group;
pub mod scan;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use regex::Regex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// What no wait of these tests should ever need.
pub const LIMIT: Duration = Duration::from_secs(40);
/// What is said where a batch system is installed, which is no matter of these tests.
pub const BESIDE_JOBS: &str = " is here, and this is no job of it: ";
/// In the environment of everything a test starts.
const MARK: &str = "HARNESS_TEST_FOLDER";

/// A folder with scripts, journals and an artefact store. When it goes, so does every process started in it.
pub struct Folder {
    dir: tempfile::TempDir,
}

/// A `harness` that ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub elapsed: Duration,
}

/// A process of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    pub pid: Pid,
    pub parent: i32,
    pub role: Role,
    pub command: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Root,
    Worker,
    Keeper,
    Slot,
    /// Something a task runs.
    Program,
    /// Not known yet.
    Starting,
}

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let prefix =
            format!("harness-test-{}-{}-", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { dir: tempfile::Builder::new().prefix(&prefix).tempdir().unwrap() }
    }

    /// One with this campaign in `c.lua`.
    pub fn with(script: &str) -> Self {
        let folder = Self::new();
        folder.write("c.lua", script);
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The lines of a file that tasks append to.
    pub fn lines(&self, name: &str) -> usize {
        self.read(name).lines().count()
    }

    /// The records of a journal.
    pub fn journal(&self, name: &str) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        self.read(name).lines().map(parse).collect()
    }

    /// `harness ARGS`, in this folder and an environment without a batch system.
    pub fn harness(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(args);
        self.at_home(&mut command);
        command
    }

    /// The same below `sh`, after `setup` (a ulimit).
    pub fn harness_after(&self, setup: &str, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{setup} && exec \"$@\""), "sh", env!("CARGO_BIN_EXE_harness")])
            .args(args);
        self.at_home(&mut command);
        command
    }

    /// A line of `sh`, as if the campaign had started it.
    pub fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        self.at_home(&mut command);
        command
    }

    /// `harness` with a worker executable of its own: a shell script, in which `$HARNESS` is the real one.
    pub fn harness_with_worker(&self, script: &str, args: &[&str]) -> Command {
        self.write("worker", format!("#!/bin/sh\nHARNESS='{}'\n{script}\n", env!("CARGO_BIN_EXE_harness")));
        fs::set_permissions(self.path("worker"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = self.harness(args);
        command.env("HARNESS_WORKER", self.path("worker"));
        command
    }

    pub fn at_home(&self, command: &mut Command) {
        command.env_clear().current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C");
        command.env("HOME", self.dir.path()).env("HARNESS_CACHE", self.path("cache"));
        command.env(MARK, self.dir.path());
    }

    /// Runs `harness ARGS` to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.finish(self.harness(args))
    }

    pub fn finish(&self, command: Command) -> Ran {
        Running::start(command).end(LIMIT)
    }

    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(self.harness(args))
    }

    /// Everything alive that was started in this folder.
    pub fn processes(&self) -> Vec<Process> {
        let mark = format!("{MARK}={}", self.dir.path().display()).into_bytes();
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        let mut processes: Vec<_> = pids.filter_map(|pid| process(pid, &mark)).collect();
        // Between fork and exec a process still looks like who starts it, whatever it will be.
        let known: Vec<(i32, Role)> =
            processes.iter().map(|p| (p.pid.as_raw_nonzero().get(), p.role)).collect();
        for process in &mut processes {
            if known.contains(&(process.parent, process.role)) {
                process.role = Role::Starting;
            }
        }
        processes
    }

    /// Those of one role.
    pub fn of(&self, role: Role) -> Vec<Process> {
        self.processes().into_iter().filter(|process| process.role == role).collect()
    }

    /// Waits until nothing is left.
    pub fn assert_nothing_left(&self, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let left = self.processes();
            let Some(first) = left.first() else { return };
            assert!(Instant::now() < until, "after {within:?} there is still {left:#?}");
            await_end(first.pid, until);
        }
    }

    /// `text` without what differs from machine to machine and from run to run.
    pub fn normal(&self, text: &str) -> String {
        let folder = fs::canonicalize(self.dir.path()).unwrap().display().to_string();
        let mut text = text.replace(&folder, "DIR");
        let host = regex::escape(rustix::system::uname().nodename().to_str().unwrap());
        for (pattern, word) in [
            (format!(r"\b{host}\b"), "HOST"),
            (r"\b\d+(\.\d+)?(e-?\d+)? (s|ms|µs|ns)\b".into(), "TIME"),
            (r"\bpid \d+".into(), "pid N"),
            (r"objects/[0-9a-f/]+".into(), "objects/HASH"),
            (r"/\S+ \(g?cc [^\n]*?\): exit".into(), "CC: exit"),
        ] {
            text = Regex::new(&pattern).unwrap().replace_all(&text, word).into_owned();
        }
        text
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for process in self.processes() {
            let _ = kill_process(process.pid, Signal::KILL);
        }
    }
}

fn process(pid: Pid, mark: &[u8]) -> Option<Process> {
    let file = |name: &str| fs::read(format!("/proc/{}/{name}", pid.as_raw_nonzero())).ok();
    if !file("environ")?.split(|byte| *byte == 0).any(|variable| variable == mark) {
        return None;
    }
    let stat = String::from_utf8_lossy(&file("stat")?).into_owned();
    // `PID (NAME) STATE PARENT …`; a name may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let command = file("cmdline")?;
    let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let ours = fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero())).ok()?
        == Path::new(env!("CARGO_BIN_EXE_harness"));
    let role = match words.get(1).map(|word| word.as_ref()) {
        _ if !ours => Role::Program,
        Some("__worker") => Role::Worker,
        Some("__keeper") => Role::Keeper,
        Some("__slot") => Role::Slot,
        _ => Role::Root,
    };
    Some(Process { pid, parent, role, command: words.join(" ") })
}

/// Waits for the end of a process, whoever's child it is.
pub fn await_end(pid: Pid, until: Instant) {
    let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let left = until.saturating_duration_since(Instant::now());
    // A zombie nobody waits for has ended too; its descriptor is readable.
    let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&left));
}

/// Sends a signal to a process of ours.
pub fn signal(process: &Process, signal: Signal) {
    // It may just have ended: then there is nothing to do.
    let _ = kill_process(process.pid, signal);
}

enum News {
    Stdout(String),
    Stderr(String),
    Ended(ExitStatus),
}

/// A `harness` at work.
pub struct Running {
    pub pid: Pid,
    news: Receiver<News>,
    stdout: String,
    stderr: String,
    status: Option<ExitStatus>,
    /// Streams at their end.
    closed: usize,
    began: Instant,
    ended: Option<Instant>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        let (sender, news) = channel();
        read(child.stdout.take().unwrap(), sender.clone(), News::Stdout);
        read(child.stderr.take().unwrap(), sender.clone(), News::Stderr);
        let pid = Pid::from_child(&child);
        thread::spawn(move || sender.send(News::Ended(child.wait().unwrap())));
        let (stdout, stderr) = (String::new(), String::new());
        Self { pid, news, stdout, stderr, status: None, closed: 0, began, ended: None }
    }

    /// Waits for a line on stdout that begins so.
    pub fn await_line(&mut self, beginning: &str) -> String {
        self.await_until(&format!("a line `{beginning}…`"), |running| {
            running.stdout.lines().find(|line| line.starts_with(beginning)).map(str::to_owned)
        })
    }

    /// Waits until stdout has so many lines.
    pub fn await_lines(&mut self, count: usize) {
        self.await_until(&format!("{count} lines"), |running| {
            (running.stdout.lines().count() >= count).then_some(())
        });
    }

    /// Waits until stderr has this text.
    pub fn await_stderr(&mut self, text: &str) {
        self.await_until(&format!("`{text}` on stderr"), |running| {
            running.stderr.contains(text).then_some(())
        });
    }

    /// Waits for a line of stderr.
    pub fn await_stderr_line(&mut self, beginning: &str) -> String {
        self.await_until(&format!("a line `{beginning}…` on stderr"), |running| {
            running.stderr.lines().find(|line| line.starts_with(beginning)).map(str::to_owned)
        })
    }

    fn await_until<T>(&mut self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let over = self.status.is_some() && self.closed == 2;
            assert!(!over && self.hear(until), "waited in vain for {what}; so far: {}", self.so_far());
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    pub fn is_over(&self) -> bool {
        self.status.is_some()
    }

    /// Waits for its end, and for that of all who could still write to its streams.
    pub fn end(mut self, within: Duration) -> Ran {
        let until = Instant::now() + within;
        while self.status.is_none() || self.closed < 2 {
            assert!(self.hear(until), "no end within {within:?}; so far: {}", self.so_far());
        }
        let status = self.status.unwrap();
        Ran {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout,
            stderr: self.stderr,
            elapsed: self.ended.unwrap() - self.began,
        }
    }

    /// One piece of news; false if none came in time.
    fn hear(&mut self, until: Instant) -> bool {
        match self.news.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(News::Stdout(line)) => self.stdout.push_str(&line),
            Ok(News::Stderr(line)) if line.contains(BESIDE_JOBS) => {}
            Ok(News::Stderr(line)) => self.stderr.push_str(&line),
            Ok(News::Ended(status)) => {
                self.ended = Some(Instant::now());
                self.status = Some(status);
            }
            Err(RecvTimeoutError::Timeout) => return false,
            // All senders are gone: both streams and the process have ended.
            Err(RecvTimeoutError::Disconnected) => self.closed = 2,
        }
        true
    }

    fn so_far(&self) -> String {
        format!("status {:?}\n--- stdout\n{}--- stderr\n{}", self.status, self.stdout, self.stderr)
    }
}

fn read(stream: impl Read + Send + 'static, news: Sender<News>, make: fn(String) -> News) {
    thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            if news.send(make(String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// Says why a test cannot run here. Where everything must be there (`HARNESS_CI=1`), that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var_os("HARNESS_CI").is_none_or(|set| set != "1"), "cannot be tested here: {why}");
    eprintln!("skipped: {why}");
}

/// Can this machine build C? Tests that need it say so when it cannot.
pub fn no_compiler() -> bool {
    let missing = Command::new("cc").arg("--version").output().is_err();
    if missing {
        skip("no C compiler");
    }
    missing
}

/// Waits until `is_so`. For what sends no event: a file that appears, a process that starts.
#[track_caller]
pub fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
