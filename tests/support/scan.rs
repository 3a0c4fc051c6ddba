//! What a campaign left on this node: processes, files in its folder for temporary files, shared memory, sockets.
//!
//! The campaign has a `$TMPDIR` of its own, so that whatever is in it is its. Shared memory and sockets say who has them only
//! while he has them: [`Scan::look`], before anything is killed, writes down what the processes of the campaign have then. A
//! port and a descriptor live only with a process, whoever that is: so a socket of theirs that the kernel still lists is
//! left. Semaphores of System V name no process, and harness makes none: they are not looked at.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::{Folder, Running};

const SHARED: &str = "/dev/shm/";
/// Tables of sockets, and in which column each has the inode.
const SOCKETS: [(&str, usize); 3] = [("/proc/net/unix", 6), ("/proc/net/tcp", 9), ("/proc/net/tcp6", 9)];

/// What is known to be of the campaign in this folder.
pub struct Scan<'a> {
    folder: &'a Folder,
    processes: BTreeSet<String>,
    sockets: BTreeSet<String>,
    shared: BTreeSet<PathBuf>,
}

impl<'a> Scan<'a> {
    pub fn new(folder: &'a Folder) -> Self {
        fs::create_dir_all(folder.path("tmp")).unwrap();
        Self { folder, processes: BTreeSet::new(), sockets: BTreeSet::new(), shared: BTreeSet::new() }
    }

    /// `harness ARGS`, with a folder of its own for temporary files.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.folder.harness(args);
        command.env("TMPDIR", self.folder.path("tmp"));
        Running::start(command)
    }

    /// Writes down who is there and what they have. One that ends meanwhile has nothing any more.
    pub fn look(&mut self) {
        for process in self.folder.processes() {
            let pid = process.pid.as_raw_nonzero().to_string();
            let of_process = Path::new("/proc").join(&pid);
            let descriptors = fs::read_dir(of_process.join("fd")).into_iter().flatten().flatten();
            for target in descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()) {
                let target = target.to_string_lossy().into_owned();
                if let Some(socket) = target.strip_prefix("socket:[") {
                    self.sockets.insert(socket.trim_end_matches(']').to_owned());
                } else if target.starts_with(SHARED) {
                    self.shared.insert(target.into());
                }
            }
            let maps = fs::read_to_string(of_process.join("maps")).unwrap_or_default();
            let mapped = maps.lines().filter_map(|line| Some(&line[line.find(SHARED)?..]));
            self.shared.extend(mapped.map(PathBuf::from));
            self.processes.insert(pid);
        }
    }

    /// Files and folders for temporary things, with all below them.
    pub fn temporary(&self) -> Vec<String> {
        let mut found = Vec::new();
        below(&self.folder.path("tmp"), &mut found);
        found.sort();
        found
    }

    /// All that is left, each with its kind.
    pub fn left(&self) -> Vec<String> {
        let table = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processes = self.folder.processes().into_iter().map(|process| format!("{process:?}"));
        let mut left: Vec<String> = processes.collect();
        left.extend(self.temporary());
        let shared = self.shared.iter().filter(|path| path.exists());
        left.extend(shared.map(|path| path.display().to_string()));
        for (path, inode) in SOCKETS {
            left.extend(rows_with(&table(path), &[inode], &self.sockets).map(|row| format!("{path}: {row}")));
        }
        // By whom a segment was made, and by whom it was used last; and who sent and received a message last.
        for (path, pids) in [("/proc/sysvipc/shm", [4, 5]), ("/proc/sysvipc/msg", [5, 6])] {
            left.extend(rows_with(&table(path), &pids, &self.processes).map(|row| format!("{path}: {row}")));
        }
        left
    }

    /// Waits until nothing is left.
    #[track_caller]
    pub fn assert_nothing_left(&self, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "after {within:?} there is still {left:#?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn below(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push(entry.path().display().to_string());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(&entry.path(), found);
        }
    }
}

/// The rows of a table of the kernel that have one of `names` in one of these columns.
fn rows_with<'a>(
    table: &'a str,
    columns: &'a [usize],
    names: &'a BTreeSet<String>,
) -> impl Iterator<Item = &'a str> {
    table.lines().skip(1).filter(move |row| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        columns.iter().any(|column| fields.get(*column).is_some_and(|field| names.contains(*field)))
    })
}
