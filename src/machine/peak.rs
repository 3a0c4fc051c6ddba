//! The most memory that a program and all it starts had at one time, with the files they read and wrote: the peak of a
//! control group that is made for one run.
//!
//! What a process starts begins in its group. So who starts the program enters the new group before and leaves it
//! after, and nothing happens between the program's fork and its exec. Groups of the first kind take single threads;
//! those of the second take whole processes, beside which nothing else may run then. What cannot be had is none, with
//! the reason and what mends it; nothing here ever fails.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::counters::Count;
use super::kernel::Kernel;

/// Its name among events.
pub use crate::model::MEMORY_PEAK;

/// In the names of our groups: whose they are follows.
const PREFIX: &str = "harness-";

/// A group that what is started now runs in.
pub struct Peak(Result<Group, String>);

struct Group {
    path: PathBuf,
    /// Where we were before.
    home: PathBuf,
    kind: &'static Kind,
    /// Who enters it.
    who: String,
}

/// How one kind of control groups calls things.
struct Kind {
    /// Who is in it.
    members: &'static str,
    peak: &'static str,
}

const FIRST: Kind = Kind { members: "tasks", peak: "memory.max_usage_in_bytes" };
const SECOND: Kind = Kind { members: "cgroup.procs", peak: "memory.peak" };

impl Peak {
    /// The calling thread, or its process, enters a new group. `alone`: nothing else starts programs meanwhile.
    pub fn begin(alone: bool) -> Self {
        Self(Group::enter(&Kernel::here(), alone))
    }

    /// It leaves the group, in which nothing runs any more.
    pub fn end(self) -> Count {
        match self.0.and_then(Group::leave) {
            Ok(bytes) => Count { value: Some(bytes as f64), pcnt_running: Some(100.0), note: None },
            Err(note) => Count { note: Some(note), ..Count::default() },
        }
    }
}

impl Group {
    fn enter(kernel: &Kernel, alone: bool) -> Result<Self, String> {
        let thread = kernel.path("proc/thread-self");
        let thread = fs::read_link(&thread).map_err(|error| format!("{}: {error}", thread.display()))?;
        let id = |at: usize| thread.iter().nth(at).map(|id| id.to_string_lossy().into_owned());
        let (Some(process), Some(thread)) = (id(0), id(2)) else {
            return Err("the kernel does not say which thread this is".into());
        };
        let (parent, home, kind) = place(kernel)?;
        if kind.members == SECOND.members && !alone {
            return Err("this measurement shares its node: leave out `exclusive`".into());
        }
        remove_left(kernel, &parent);
        let path = parent.join(format!("{PREFIX}{process}-{thread}"));
        fs::create_dir(&path).map_err(|error| forbidden(&parent, &error))?;
        let who = if kind.members == SECOND.members { process } else { thread };
        let group = Self { path, home, kind, who };
        match fs::write(group.path.join(kind.members), &group.who) {
            Ok(()) => Ok(group),
            Err(error) => {
                let _ = fs::remove_dir(&group.path);
                Err(forbidden(&parent, &error))
            }
        }
    }

    fn leave(self) -> Result<u64, String> {
        let told = fs::read_to_string(self.path.join(self.kind.peak));
        let left = fs::write(self.home.join(self.kind.members), &self.who);
        let _ = fs::remove_dir(&self.path);
        left.map_err(|error| {
            format!("cannot go back to the control group {}: {error}", self.home.display())
        })?;
        let told = told.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("this kernel has no {} (Linux 5.19 has)", self.kind.peak),
            _ => format!("{}: {error}", self.kind.peak),
        })?;
        told.trim().parse().map_err(|_| format!("{} says `{}`", self.kind.peak, told.trim()))
    }
}

/// Where a group can be made, where we are, and of which kind they are.
fn place(kernel: &Kernel) -> Result<(PathBuf, PathBuf, &'static Kind), String> {
    let groups = kernel.text("proc/thread-self/cgroup").unwrap_or_default();
    let mut lines = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let below = |base: &str, group: &str| kernel.path(format!("{base}/{}", group.trim_start_matches('/')));
    if let Some((_, group)) = lines.clone().find(|(kinds, _)| kinds.split(',').any(|kind| kind == "memory")) {
        let home = below("sys/fs/cgroup/memory", group);
        return Ok((home.clone(), home, &FIRST));
    }
    let Some((_, group)) = lines.find(|(kinds, _)| kinds.is_empty()) else {
        return Err("this node has no control groups of memory".into());
    };
    let home = below("sys/fs/cgroup", group);
    // Where processes are no groups of memory can be made: beside ours, not below.
    let parent = match group.trim_matches('/') {
        "" => home.clone(),
        _ => home.parent().unwrap_or(&home).to_owned(),
    };
    let shared = fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
    if !shared.split_whitespace().any(|controller| controller == "memory") {
        let parent = parent.display();
        return Err(format!("memory is not delegated to the groups in {parent} (systemd: Delegate=memory)"));
    }
    Ok((parent, home, &SECOND))
}

/// Groups of who was killed while in one.
fn remove_left(kernel: &Kernel, parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(owner, _)| owner);
        if owner.is_some_and(|owner| owner.parse::<u32>().is_ok() && !kernel.has(format!("proc/{owner}"))) {
            let _ = fs::remove_dir(entry.path()); // fails where somebody is in it
        }
    }
}

fn forbidden(parent: &Path, error: &io::Error) -> String {
    let parent = parent.display();
    format!("may not use a control group in {parent}: {error} (systemd: Delegate=memory)")
}

#[cfg(test)]
mod tests {
    use super::super::kernel::recorded;
    use super::*;

    /// What a run in a group is told, whose peak the kernel writes as `peak`.
    fn told(
        files: &[(&str, &str)],
        alone: bool,
        peak: Option<(&str, &str)>,
    ) -> Result<(PathBuf, u64), String> {
        let (folder, kernel) = recorded(files);
        std::os::unix::fs::symlink("7/task/9", kernel.path("proc/thread-self")).unwrap();
        let group = Group::enter(&kernel, alone)?;
        let path = group.path.strip_prefix(folder.path()).unwrap().to_owned();
        if let Some((file, bytes)) = peak {
            fs::write(group.path.join(file), bytes).unwrap();
        }
        let entered = fs::read_to_string(group.path.join(group.kind.members)).unwrap();
        let (home, members) = (group.home.clone(), group.kind.members);
        let bytes = group.leave()?;
        assert_eq!(fs::read_to_string(home.join(members)).unwrap(), entered);
        assert_eq!(entered, if members == "tasks" { "9" } else { "7" });
        Ok((path, bytes))
    }

    #[test]
    fn a_thread_enters_a_group_of_the_first_kind_and_a_process_one_of_the_second() {
        let first = [
            ("proc/7/task/9/cgroup", "5:cpu,cpuacct:/a\n4:memory:/job/1\n0::/\n"),
            ("sys/fs/cgroup/memory/job/1/tasks", ""),
        ];
        let found = told(&first, false, Some(("memory.max_usage_in_bytes", "4096\n"))).unwrap();
        assert_eq!(found, ("sys/fs/cgroup/memory/job/1/harness-7-9".into(), 4096));
        let second = [
            ("proc/7/task/9/cgroup", "0::/user.slice/app\n"),
            ("sys/fs/cgroup/user.slice/app/cgroup.procs", ""),
            ("sys/fs/cgroup/user.slice/cgroup.subtree_control", "cpu memory pids\n"),
        ];
        let found = told(&second, true, Some(("memory.peak", "8192\n"))).unwrap();
        assert_eq!(found, ("sys/fs/cgroup/user.slice/harness-7-9".into(), 8192));
        let why = told(&second, false, None).unwrap_err();
        assert_eq!(why, "this measurement shares its node: leave out `exclusive`");
        let why = told(&second, true, None).unwrap_err();
        assert_eq!(why, "this kernel has no memory.peak (Linux 5.19 has)");
    }

    #[test]
    fn what_cannot_be_had_says_why() {
        let why = told(&[("proc/7/task/9/cgroup", "3:cpu:/\n")], true, None).unwrap_err();
        assert_eq!(why, "this node has no control groups of memory");
        let kept = [
            ("proc/7/task/9/cgroup", "0::/system.slice/slurmd/step_0\n"),
            ("sys/fs/cgroup/system.slice/slurmd/cgroup.subtree_control", "cpu\n"),
        ];
        let why = told(&kept, true, None).unwrap_err();
        assert!(why.starts_with("memory is not delegated to the groups in /"), "{why}");
        let gone = [("proc/7/task/9/cgroup", "4:memory:/job/1\n"), ("sys/fs/cgroup/memory/tasks", "")];
        let why = told(&gone, true, None).unwrap_err();
        assert!(why.starts_with("may not use a control group in /") && why.contains("No such file"), "{why}");
    }

    #[test]
    fn groups_of_the_dead_are_removed() {
        let (_folder, kernel) = recorded(&[("proc/7/stat", "")]);
        let parent = kernel.path("groups");
        for name in ["harness-7-1", "harness-8-1", "harness-x", "other-8-1"] {
            fs::create_dir_all(parent.join(name)).unwrap();
        }
        remove_left(&kernel, &parent);
        let mut left: Vec<_> =
            fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["harness-7-1", "harness-x", "other-8-1"]);
    }
}
