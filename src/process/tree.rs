//! Everything a program started, found and killed.
//!
//! A process that forks away from its parent becomes a child of the nearest child subreaper. Hence the
//! children of a subreaper that it did not start itself are what its programs left behind. Whose they
//! are is told by their session or by [`MARK_VARIABLE`] in their environment; what tells neither is
//! killed once nothing else runs. Nothing here waits without a limit.

use rustc_hash::{FxHashMap, FxHashSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getsid, kill_process, kill_process_group, pidfd_open,
};
use rustix::thread::gettid;

use super::wait::KILL_PATIENCE;
use super::{Child, try_wait};

/// Names the attempt a process belongs to, in its environment.
pub const MARK_VARIABLE: &str = "HARNESS_TASK_ID";

/// The programs this process started and has not yet waited for, and what they leave behind.
/// The process must be a child subreaper; any of its threads may start programs.
#[derive(Debug)]
pub struct Family {
    /// `/proc/self/task/TID/children` of the main thread, kept open: reading it again is one system call.
    /// Orphans become children of that thread; what another one starts is not among them.
    children: Option<File>,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// What was started here, and nobody has forgotten.
    known: FxHashMap<Pid, Known>,
    /// Marks of programs whose process id is not known yet.
    starting: Vec<String>,
}

#[derive(Debug)]
struct Known {
    mark: String,
    /// It was waited for; what it left may still be there.
    has_ended: bool,
}

impl Books {
    /// The program with this mark: its number may be another's by now.
    fn known_as(&mut self, leader: Pid, mark: &str) -> Option<&mut Known> {
        self.known.get_mut(&leader).filter(|known| known.mark == mark)
    }

    fn forget(&mut self, leader: Pid, mark: &str) {
        if self.known_as(leader, mark).is_some() {
            self.known.remove(&leader);
        }
    }

    /// Is this orphan what the program with this mark left, or one that is forgotten already? In the midst of an exec a process
    /// shows no mark, and may have escaped the sweep that was meant for it. What tells nothing is anybody's once nothing else runs.
    fn is_of(&self, orphan: Pid, mark: &str) -> bool {
        let (session, its) = (getsid(Some(orphan)).ok(), mark_of(orphan));
        let says =
            |(pid, known): &(&Pid, &Known)| session == Some(**pid) || its.as_ref() == Some(&known.mark);
        // By their marks: a number comes again.
        let mut owners = self.known.iter().filter(says).map(|(_, known)| &known.mark);
        if its.as_deref() == Some(mark) || owners.clone().any(|owner| owner == mark) {
            return true;
        }
        if owners.next().is_some() {
            return false;
        }
        match its {
            Some(its) => !self.starting.contains(&its),
            None => {
                self.starting.is_empty()
                    && self.known.values().all(|known| known.mark == mark || known.has_ended)
            }
        }
    }
}

impl Default for Family {
    fn default() -> Self {
        let pid = getpid();
        Self { children: File::open(format!("/proc/self/task/{pid}/children")).ok(), books: Mutex::default() }
    }
}

impl Family {
    /// Starts a program: at no time does another thread take it for an orphan, or what it leaves behind for
    /// nobody's.
    pub fn start<E>(&self, mark: &str, spawn: impl FnOnce() -> Result<Child, E>) -> Result<Child, E> {
        let mut books = self.books();
        books.starting.push(mark.into());
        // Threads start programs at the same time, as long as those cannot be seen in the list of orphans.
        let apart = self.children.is_some() && gettid() != getpid();
        let child = if apart {
            drop(books);
            let child = spawn();
            books = self.books();
            child
        } else {
            spawn()
        };
        if let Some(at) = books.starting.iter().position(|its| its == mark) {
            books.starting.swap_remove(at);
        }
        if let Ok(child) = &child {
            books.known.insert(child.pid, Known { mark: mark.into(), has_ended: false });
        }
        child
    }

    /// A program was waited for, and nobody looks for what it left any more.
    pub fn forget(&self, leader: Pid, mark: &str) {
        self.books().forget(leader, mark);
    }

    /// Kills what the program `leader` left behind, which was waited for, as far as it can be seen now; `killed` collects it.
    /// Returns the children to wait for before calling again: none if nothing is left.
    pub fn sweep(&self, leader: Pid, mark: &str, killed: &mut FxHashSet<Pid>) -> Vec<Pid> {
        // All of it at once: of several that end at the same time, whoever looks later knows that the earlier ones have ended or are
        // forgotten, and so finds what those could not know to be theirs.
        let mut books = self.books();
        books.known_as(leader, mark).into_iter().for_each(|known| known.has_ended = true);
        let mut left = self.orphans(&books);
        left.retain(|pid| matches!(try_wait(*pid), Ok(None)) && books.is_of(*pid, mark));
        if left.is_empty() {
            books.forget(leader, mark);
        }
        drop(books);
        for pid in &left {
            killed.insert(*pid);
            killed.extend(kill_tree(*pid));
        }
        left
    }

    /// The living processes `leader` started, itself not counted; parents before what they started.
    pub fn started_by(&self, leader: Pid, mark: &str) -> Vec<Pid> {
        let mut found = descendants_of(leader);
        let books = self.books();
        let mut orphans = self.orphans(&books);
        orphans.retain(|pid| books.is_of(*pid, mark));
        drop(books);
        for orphan in orphans {
            found.push(orphan);
            found.extend(descendants_of(orphan));
        }
        found.retain(|pid| lives(*pid));
        found
    }

    /// Kills `leader` and all it started; its end is still to be waited for.
    pub fn kill(&self, leader: Pid, mark: &str) -> Vec<Pid> {
        let started = self.started_by(leader, mark);
        let _ = kill_process_group(leader, Signal::KILL);
        for pid in &started {
            let _ = kill_process(*pid, Signal::KILL);
        }
        started
    }

    /// Children that were not started here.
    fn orphans(&self, books: &Books) -> Vec<Pid> {
        let mut children = Vec::new();
        match self.children.as_ref().map(read_at_start) {
            Some(Ok(text)) => parse_pids(&text, &mut children),
            _ => children = children_of(getpid()),
        }
        children.retain(|pid| !books.known.contains_key(pid));
        children
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills all descendants of this process but those spared (and their descendants), and waits for their
/// end. Returns how many processes are still there after `patience`: what the kernel cannot end just now.
pub fn kill_descendants(spare: &[Pid], patience: Duration) -> usize {
    let give_up = Instant::now() + patience;
    loop {
        let mut left: Vec<Pid> = children_of(getpid());
        left.retain(|pid| !spare.contains(pid));
        if left.is_empty() {
            return 0;
        }
        // Those that have ended go now; what they had is ours at the next look.
        left.retain(|pid| matches!(try_wait(*pid), Ok(None)));
        for pid in &left {
            kill_tree(*pid);
        }
        if Instant::now() >= give_up {
            return left.len();
        }
        await_one_of(&left, give_up);
    }
}

/// Waits for an end among `pids`: for a moment only, as one may be gone before it can be watched.
fn await_one_of(pids: &[Pid], give_up: Instant) {
    if pids.is_empty() {
        return;
    }
    let watched: Vec<_> = pids.iter().filter_map(|pid| pidfd_open(*pid, PidfdFlags::empty()).ok()).collect();
    let mut fds: Vec<_> = watched.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let limit = give_up.saturating_duration_since(Instant::now()).min(Duration::from_millis(100));
    let _ = poll(&mut fds, rustix::time::Timespec::try_from(limit).ok().as_ref());
}

/// Kills a process of ours and all below it, from below: what loses its parent there falls to the subreapers
/// above, and so stays in sight. The last to go is `top`, which need not be a child of this process and may be
/// stopped. What is still there after `patience` the kernel cannot end just now.
pub fn kill_from_below(top: &Child, patience: Duration) {
    let give_up = Instant::now() + patience;
    let mut seen_empty = false;
    loop {
        let mut left = descendants_of(top.pid);
        if top.ends_within(Duration::ZERO) {
            return; // its number may be another's by now, and what it had is no longer below it
        }
        left.retain(|pid| lives(*pid));
        for pid in &left {
            let _ = kill_process(*pid, Signal::KILL);
        }
        // Who falls to another parent while we look is seen at the second look.
        if left.is_empty() && seen_empty || Instant::now() >= give_up {
            top.kill();
            // What it holds is free only then: the locks of its folders, which somebody is about to look for.
            top.ends_within(KILL_PATIENCE);
            return;
        }
        seen_empty = left.is_empty();
        if !seen_empty {
            await_one_of(&left, give_up);
        }
    }
}

/// Kills a process and its descendants; returns the descendants. Parents first: a shell that lived on would begin its next command.
fn kill_tree(pid: Pid) -> Vec<Pid> {
    let descendants: Vec<Pid> = descendants_of(pid).into_iter().filter(|pid| lives(*pid)).collect();
    for pid in [&pid].into_iter().chain(&descendants) {
        let _ = kill_process(*pid, Signal::KILL);
    }
    descendants
}

/// Children, their children, and so on. Those that end meanwhile may be missed, and their children with
/// them; these turn up as orphans.
fn descendants_of(pid: Pid) -> Vec<Pid> {
    let mut found = children_of(pid);
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children_of(pid));
        next += 1;
    }
    found
}

/// The children of all threads of a process; none if it is gone.
pub fn children_of(pid: Pid) -> Vec<Pid> {
    let mut children = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return children };
    for thread in threads.flatten() {
        match fs::read(thread.path().join("children")) {
            Ok(text) => parse_pids(&text, &mut children),
            // A kernel without CONFIG_PROC_CHILDREN, unless only this thread has ended.
            Err(_) if thread.path().exists() => return children_by_scan(pid),
            Err(_) => {}
        }
    }
    children
}

fn children_by_scan(parent: Pid) -> Vec<Pid> {
    processes()
        .filter(|pid| stat(*pid).is_some_and(|its| its.parent == parent.as_raw_nonzero().get()))
        .collect()
}

/// The attempt a process says it belongs to; none if it does not say, or if we may not look.
fn mark_of(pid: Pid) -> Option<String> {
    variable_of(pid, MARK_VARIABLE)
}

/// A variable of the environment a process was started with.
fn variable_of(pid: Pid, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut lines = environment.split(|byte| *byte == 0);
    let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Kills every process of this node that was started with this variable, whoever started it, and waits for their
/// end: a launcher's ranks are children of the batch system's daemon. Returns how many are still there after
/// `patience`.
pub fn kill_marked(name: &str, value: &str, patience: Duration) -> usize {
    let give_up = Instant::now() + patience;
    loop {
        let marked = |pid: &Pid| variable_of(*pid, name).is_some_and(|its| its == value) && lives(*pid);
        let left: Vec<Pid> = processes().filter(|pid| *pid != getpid()).filter(marked).collect();
        for pid in &left {
            let _ = kill_process(*pid, Signal::KILL);
        }
        if left.is_empty() || Instant::now() >= give_up {
            return left.len();
        }
        await_one_of(&left, give_up);
    }
}

pub(super) fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// Is there such a process, and is it more than an exit code to be collected?
fn lives(pid: Pid) -> bool {
    stat(pid).is_some_and(|its| its.state != b'Z' && its.state != b'X')
}

/// Has the process begun to end, or is it gone? What has much memory takes its time for that; what SIGKILL has reached may not know yet.
pub fn ends(pid: Pid) -> bool {
    /// In the kernel's include/linux/sched.h.
    const PF_EXITING: u64 = 4;
    stat(pid)
        .is_none_or(|its| its.flags & PF_EXITING != 0 || its.pending & 1 << (Signal::KILL.as_raw() - 1) != 0)
}

/// Was it stopped (SIGSTOP)? Then it does nothing, ending included, until somebody lets it go on.
pub(super) fn is_stopped(pid: Pid) -> bool {
    stat(pid).is_some_and(|its| its.state == b'T')
}

/// Of /proc/PID/stat.
struct Stat {
    state: u8,
    parent: i32,
    /// The kernel's PF_ flags.
    flags: u64,
    /// Signals that wait for its first thread, the lowest bit for signal 1.
    pending: u64,
}

/// The command's name before the fields may itself contain `)`.
fn stat(pid: Pid) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end_of_name = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end_of_name + 2..)?).ok()?;
    // proc(5) counts from the id: the state is its third field.
    let mut fields = rest.split(' ');
    Some(Stat {
        state: *fields.next()?.as_bytes().first()?,
        parent: fields.next()?.parse().ok()?,
        flags: fields.nth(4)?.parse().ok()?,
        pending: fields.nth(21)?.parse().ok()?,
    })
}

/// The kernel fills at most a page at a time: what is much shorter is all there is.
fn read_at_start(file: &File) -> std::io::Result<Vec<u8>> {
    let mut text = vec![0; 4096];
    let mut length = 0;
    loop {
        let got = file.read_at(&mut text[length..], length as u64)?;
        length += got;
        if got < 2048 {
            text.truncate(length);
            return Ok(text);
        }
        text.resize(length + 4096, 0);
    }
}

fn parse_pids(text: &[u8], pids: &mut Vec<Pid>) {
    let words = std::str::from_utf8(text).unwrap_or_default().split_ascii_whitespace();
    pids.extend(words.filter_map(|word| Pid::from_raw(word.parse().ok()?)));
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::process::{Environment, Exit, Launch, own, spawn, wait};

    #[test]
    fn pids_are_read_from_the_kernels_list() {
        let mut pids = Vec::new();
        parse_pids(b"12 7 4194304 ", &mut pids);
        assert_eq!(pids.iter().map(|pid| pid.as_raw_nonzero().get()).collect::<Vec<_>>(), [12, 7, 4194304]);
    }

    #[test]
    fn a_process_and_its_mark_are_found_both_ways() {
        let mut environment = Environment::scrubbed(std::env::vars_os());
        environment.set(MARK_VARIABLE.as_bytes(), b"7.0-test").unwrap();
        let null = own::null_device().unwrap();
        let launch = Launch {
            program: None,
            argv: &[c"sleep".to_owned(), c"60".to_owned()],
            environment: &environment,
            cwd: None,
            stdio: [null.as_fd(), null.as_fd(), null.as_fd()],
            fds: &[],
        };
        let pid = spawn(&launch).unwrap().pid;
        // The start is over a moment before the new environment can be seen.
        while mark_of(pid).is_none() {
            std::thread::yield_now();
        }
        assert_eq!(mark_of(pid).unwrap(), "7.0-test");
        assert!(lives(pid));
        assert!(children_of(getpid()).contains(&pid));
        assert!(children_by_scan(getpid()).contains(&pid));
        assert!(!ends(pid));
        kill_process(pid, Signal::KILL).unwrap();
        // For the blink between its taking the signal and its being marked by the kernel nothing tells.
        while !ends(pid) {
            std::thread::yield_now();
        }
        assert_eq!(wait(pid).unwrap().0, Exit::Signal(9));
        assert!(!lives(pid));
    }

    #[test]
    fn what_was_killed_from_below_has_ended_then() {
        let null = own::null_device().unwrap();
        for _ in 0..20 {
            let child = spawn(&Launch {
                program: None,
                argv: &[c"sh".to_owned(), c"-c".to_owned(), c"sleep 60; true".to_owned()],
                environment: &Environment::scrubbed(std::env::vars_os()),
                cwd: None,
                stdio: [null.as_fd(); 3],
                fds: &[],
            })
            .unwrap();
            kill_from_below(&child, Duration::from_secs(60));
            assert!(try_wait(child.pid).unwrap().is_some());
        }
    }
}
