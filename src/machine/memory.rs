//! Memory of the node, and the kernel's own count of what it killed for lack of it.
//!
//! SIGKILL alone says nothing: anybody can send it. Only this count makes it "out of memory".

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// Memory of the node, B; 0 if the kernel does not tell.
pub fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What this process has of what `ulimit` counts (B): nothing where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Of all addresses (`-v`).
    pub addresses: u64,
    /// Of data (`-d`), stacks of threads among it.
    pub data: u64,
}

/// The same, now.
pub fn taken_bytes() -> Taken {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let bytes = |at| {
        let pages: Option<u64> = text.split_ascii_whitespace().nth(at).and_then(|word| word.parse().ok());
        pages.unwrap_or_default() * rustix::param::page_size() as u64
    };
    Taken { addresses: bytes(0), data: bytes(5) }
}

/// How many processes the kernel killed for memory: in our control group, or on the whole node where no
/// group counts.
#[derive(Debug)]
struct OomCounter(Option<(String, File)>);

impl OomCounter {
    /// Finds the counter of this process's control group.
    pub fn open() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self(candidates(&groups).into_iter().find_map(|path| {
            let file = File::open(&path).ok()?;
            count_in(&file).map(|_| (path, file))
        }))
    }

    /// The count now; none if nothing counts here.
    pub fn read(&self) -> Option<u64> {
        count_in(&self.0.as_ref()?.1)
    }

    /// Which counter that is: its file.
    pub fn name(&self) -> &str {
        self.0.as_ref().map_or("", |(path, _)| path)
    }
}

/// What is said of whom the kernel killed, for which the counter of this name is the evidence; `told` comes before that.
pub fn killed_for_memory(whom: &str, told: &str, counter: &str) -> String {
    format!("the kernel killed {whom}: out of memory ({told}the count of such kills in {counter} rose)")
}

/// Notices that the count rose.
#[derive(Debug)]
pub struct OomWatch {
    counter: OomCounter,
    before: Option<u64>,
    /// What `settle` read last.
    seen: Option<u64>,
}

impl OomWatch {
    /// Of this process's control group; nothing is noted yet.
    pub fn open() -> Self {
        Self { counter: OomCounter::open(), before: None, seen: None }
    }

    /// What was counted until now is no evidence.
    pub fn note(&mut self) {
        self.before = self.counter.read();
    }

    /// To be called now and then: what was counted by the call before is no evidence if nobody ends now. The kernel counts a process
    /// before it kills it, and what had much memory takes its time to end.
    pub fn settle(&mut self, nobody_ends: impl FnOnce() -> bool) {
        let count = self.counter.read();
        if count != self.before && count == self.seen && nobody_ends() {
            self.before = count;
        }
        self.seen = count;
    }

    /// The counter, if it has risen since.
    pub fn rose(&self) -> Option<String> {
        (self.counter.read()? > self.before?).then(|| self.counter.name().to_owned())
    }

    /// The same, for one of those it counts: the next one needs another.
    pub fn take_one(&mut self) -> Option<String> {
        let counter = self.rose()?;
        self.before = self.before.map(|count| count + 1);
        Some(counter)
    }
}

fn candidates(groups: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let group = group.trim_end_matches('/');
        if controllers.is_empty() {
            paths.push(format!("/sys/fs/cgroup{group}/memory.events"));
            paths.push(format!("/sys/fs/cgroup/unified{group}/memory.events"));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            paths.push(format!("/sys/fs/cgroup/memory{group}/memory.oom_control"));
        }
    }
    paths.push("/proc/vmstat".into());
    paths
}

fn count_in(file: &File) -> Option<u64> {
    // A control group answers in one short read; only the list of the whole node is longer.
    let mut short = [0; 512];
    let got = file.read_at(&mut short, 0).ok()?;
    if let Some(count) = parse(std::str::from_utf8(&short[..got]).ok()?) {
        return Some(count);
    }
    let mut text = vec![0; 64 * 1024];
    let mut length = 0;
    loop {
        match file.read_at(&mut text[length..], length as u64).ok()? {
            0 => return parse(std::str::from_utf8(&text[..length]).ok()?),
            got => length += got,
        }
    }
}

fn parse(text: &str) -> Option<u64> {
    // Whole lines only: the last one may have been cut.
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    lines.filter_map(|line| line.strip_prefix("oom_kill ")).find_map(|count| count.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_both_kinds_of_control_group() {
        assert_eq!(parse("low 0\noom 1\noom_kill 3\n"), Some(3));
        assert_eq!(parse("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), Some(2));
        assert_eq!(parse("oom_kill_disable 0\n"), None);
        assert_eq!(parse("oom_kill 1"), None, "cut from 12");
    }

    #[test]
    fn a_counter_that_counts_says_which_it_is() {
        let counter = OomCounter::open();
        assert_eq!(counter.read().is_some(), counter.name().starts_with('/'), "{counter:?}");
    }

    #[test]
    fn a_kill_is_evidence_until_nobody_ends_of_it() {
        let path = std::env::temp_dir().join(format!("harness-oom-watch-{}", std::process::id()));
        let count = |kills: u32| fs::write(&path, format!("oom_kill {kills}\n")).unwrap();
        count(3);
        let counter = OomCounter(Some((path.display().to_string(), File::open(&path).unwrap())));
        let mut watch = OomWatch { counter, before: None, seen: None };
        watch.note();
        watch.settle(|| unreachable!("nothing was counted"));
        count(4);
        watch.settle(|| unreachable!("it is too soon to ask: nobody may know yet that he is to end"));
        watch.settle(|| false);
        assert!(watch.rose().is_some(), "who ends may be the one that was counted");
        watch.settle(|| true);
        assert!(watch.rose().is_none(), "it was somebody else");
        count(5);
        assert!(watch.take_one().is_some() && watch.take_one().is_none(), "one kill is evidence for one");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn our_own_group_comes_before_the_whole_node() {
        let paths = candidates("4:memory:/job/7\n0::/\n");
        assert_eq!(paths[0], "/sys/fs/cgroup/memory/job/7/memory.oom_control");
        assert_eq!(paths[1], "/sys/fs/cgroup/memory.events");
        assert_eq!(paths.last().unwrap(), "/proc/vmstat");
        assert_eq!(candidates("0::/user.slice\n")[0], "/sys/fs/cgroup/user.slice/memory.events");
    }
}
