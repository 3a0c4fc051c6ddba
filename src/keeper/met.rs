//! Which of its limits a program met, as far as its end or its own words tell, and what to do about it.
//!
//! The kernel says so itself for two of them only, by a signal. The others it refuses like anything else: what the program
//! makes of that is its own affair, and mostly a line on standard error in the words of the C library.

use super::run::Ended;
use crate::model::{Ulimit, Ulimits};
use crate::process::{Exit, own_limit};

/// What a shell adds to the number of a signal.
const SHELL: i32 = 128;

/// In small letters, as the C library, shells and runtimes write it.
const SAID: [(Ulimit, &[&str]); 5] = [
    (
        Ulimit::Memory,
        &[
            "cannot allocate memory",
            "out of memory",
            "memory exhausted",
            "not enough memory",
            "insufficient memory",
            "bad_alloc",
            "memoryerror",
        ],
    ),
    (Ulimit::CpuTime, &["cpu time limit exceeded"]),
    (Ulimit::Processes, &["resource temporarily unavailable", "cannot fork", "can't start new thread"]),
    (Ulimit::FileSize, &["file too large", "file size limit exceeded"]),
    (Ulimit::OpenFiles, &["too many open files", "cannot open shared object file: error 24"]),
];

/// Of a run that did not do what was asked: the limit it met, in words. None if nothing points to one.
pub fn met(ended: &Ended) -> Option<String> {
    if ended.limits.is_empty() || ended.oom.is_some() || ended.forced.is_some() {
        return None;
    }
    let told = |verb: &str, limit: Ulimit| {
        let (_, value) = ended.limits.iter().find(|(its, _)| *its == limit)?;
        Some(in_words(verb, limit, value, own_limit(limit)))
    };
    if let Some(limit) = by_signal(ended) {
        return told("met", limit);
    }
    // It had gone on in spite of SIGXCPU, unless that was several processes and somebody else's SIGKILL.
    let used = ended.usage.user_s + ended.usage.sys_s;
    if signal(ended.exit) == libc::SIGKILL && ended.limits.cpu_time.is_some_and(|limit| used >= limit as f64)
    {
        return told("seems to have met", Ulimit::CpuTime);
    }
    let stderr = String::from_utf8_lossy(&ended.stderr.bytes).to_lowercase();
    let mut said = SAID.iter().filter(|(_, words)| words.iter().any(|words| stderr.contains(words)));
    said.find_map(|(limit, _)| told("seems to have met", *limit))
}

/// `own`: what harness itself may have there, above which it can give nobody anything.
fn in_words(verb: &str, limit: Ulimit, value: u64, own: Option<u64>) -> String {
    let name = limit.name();
    match own.filter(|own| *own < value) {
        Some(own) => format!(
            "it {verb} the limit of {name} that harness itself has on this node, {}: raise that one (`ulimit -H -a`)",
            limit.shown(own)
        ),
        None => format!("it {verb} its limit of {name}, {}: raise limits.{name}", limit.shown(value)),
    }
}

/// The kernel's own word.
fn by_signal(ended: &Ended) -> Option<Ulimit> {
    let Ulimits { cpu_time, file_size, .. } = ended.limits;
    match signal(ended.exit) {
        libc::SIGXCPU => cpu_time.map(|_| Ulimit::CpuTime),
        libc::SIGXFSZ => file_size.map(|_| Ulimit::FileSize),
        _ => None,
    }
}

/// What it was ended by, also where a shell tells it.
pub fn signal(exit: Exit) -> i32 {
    match exit {
        Exit::Signal(signal) => signal,
        Exit::Code(code) => code - SHELL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::fake;
    use crate::model::Usage;

    const ALL: Ulimits = Ulimits {
        memory: Some(2 << 30),
        cpu_time: Some(30),
        processes: Some(64),
        file_size: Some(1 << 20),
        open_files: Some(256),
    };

    fn of(exit: Exit, stderr: &str, limits: Ulimits) -> Option<String> {
        let mut ended = fake::ended(exit, "");
        ended.stderr.bytes = stderr.into();
        ended.limits = limits;
        met(&ended)
    }

    #[test]
    fn a_signal_names_its_limit_also_through_a_shell() {
        let cpu = Some("it met its limit of cpu_time, 30 s: raise limits.cpu_time".to_owned());
        let file = Some("it met its limit of file_size, 1 MiB: raise limits.file_size".to_owned());
        for exit in [Exit::Signal, |signal| Exit::Code(128 + signal)] {
            assert_eq!(of(exit(libc::SIGXCPU), "", ALL), cpu);
            assert_eq!(of(exit(libc::SIGXFSZ), "", ALL), file);
            assert_eq!(of(exit(libc::SIGXCPU), "", Ulimits { cpu_time: None, ..ALL }), None);
            assert_eq!(of(exit(libc::SIGKILL), "", ALL), None, "it had not used that much");
        }
        let mut ended = fake::ended(Exit::Signal(libc::SIGKILL), "");
        ended.limits = ALL;
        ended.usage = Usage { user_s: 30.9, sys_s: 0.1, ..Usage::default() };
        let seems = cpu.map(|text| text.replace("met", "seems to have met"));
        assert_eq!(met(&ended), seems, "or its children used that much, and somebody killed it");
        ended.oom = Some("/proc/vmstat".into());
        assert_eq!(met(&ended), None, "the kernel says why");
    }

    #[test]
    fn a_limit_above_that_of_harness_is_told_as_the_one_it_was() {
        let text = in_words("met", Ulimit::OpenFiles, 4096, Some(1024));
        let own = "it met the limit of open_files that harness itself has on this node, 1024: raise that one (`ulimit -H -a`)";
        assert_eq!(text, own);
        let its = "it met its limit of open_files, 1024: raise limits.open_files";
        assert_eq!(in_words("met", Ulimit::OpenFiles, 1024, Some(1024)), its);
    }

    #[test]
    fn what_it_says_itself_names_a_limit_that_was_set() {
        for (text, name) in [
            ("tail: memory exhausted\n", "memory, 2 GiB"),
            (
                "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc",
                "memory, 2 GiB",
            ),
            ("Traceback (most recent call last):\nMemoryError\n", "memory, 2 GiB"),
            ("sh: 1: Cannot fork\n", "processes, 64"),
            ("OSError: [Errno 27] File too large\n", "file_size, 1 MiB"),
            ("cat: a: Too many open files\n", "open_files, 256"),
            ("as terminated with signal 24 [CPU time limit exceeded]\n", "cpu_time, 30 s"),
        ] {
            let said = of(Exit::Code(1), text, ALL).unwrap_or_default();
            assert!(
                said.starts_with(&format!("it seems to have met its limit of {name}: raise limits.")),
                "{said}"
            );
            assert_eq!(of(Exit::Code(1), text, Ulimits::default()), None);
        }
        assert_eq!(of(Exit::Code(1), "no such luck\n", ALL), None);
    }
}
