#![allow(unsafe_code)]
//! What a program may take, as the kernel is told: limits of the kernel's own, which a process is given before it becomes the
//! program ([`super::birth`]). Set after the start they would come too late, and a helper that sets them and becomes the
//! program would be measured along.

use std::fs;
use std::io;

use super::tree::processes;
use crate::model::{Ulimit, Ulimits};

/// Whoever goes on at SIGXCPU is killed so much later, s.
const CPU_GRACE: u64 = 1;

/// What a program is to be allowed, as the kernel is told; none of it is above the hard limit of this process.
pub struct Allowance(Vec<Setting>);

impl Allowance {
    /// As things are now. It may have to look at all processes of the node, so it is no part of a start that is timed.
    pub fn new(limits: &Ulimits) -> Self {
        Self(limits.iter().map(setting).collect())
    }

    pub(super) fn settings(&self) -> &[Setting] {
        &self.0
    }
}

/// How the C library counts resources.
#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = std::ffi::c_int;

/// What the kernel is told.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    pub limit: Ulimit,
    resource: Resource,
    values: libc::rlimit,
}

impl Setting {
    /// For this process, and those it starts. A system call and nothing else.
    pub fn set(&self) -> io::Result<()> {
        // SAFETY: it reads the structure.
        match unsafe { libc::setrlimit(self.resource, &self.values) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// The hard limit of this process, if it has one: no program of ours gets more.
pub fn own_limit(limit: Ulimit) -> Option<u64> {
    let own = current(resource(limit)).rlim_max;
    (own != libc::RLIM_INFINITY).then_some(own)
}

fn resource(limit: Ulimit) -> Resource {
    match limit {
        // Not of addresses: Go, Java, CUDA and sanitizers reserve more of those than any node has.
        Ulimit::Memory => libc::RLIMIT_DATA,
        Ulimit::CpuTime => libc::RLIMIT_CPU,
        Ulimit::Processes => libc::RLIMIT_NPROC,
        Ulimit::FileSize => libc::RLIMIT_FSIZE,
        Ulimit::OpenFiles => libc::RLIMIT_NOFILE,
    }
}

fn current(resource: Resource) -> libc::rlimit {
    let mut values = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: it fills the structure; where it fails, nothing is limited so far.
    unsafe { libc::getrlimit(resource, &mut values) };
    values
}

fn setting((limit, value): (Ulimit, u64)) -> Setting {
    let resource = resource(limit);
    let (soft, hard) = match limit {
        Ulimit::CpuTime => (value, value.saturating_add(CPU_GRACE)),
        // The kernel counts all of a user's together; who asks means those of the program.
        Ulimit::Processes => [value.saturating_add(tasks_of_user()); 2].into(),
        _ => (value, value),
    };
    let mut values = current(resource);
    values.rlim_max = values.rlim_max.min(hard);
    values.rlim_cur = values.rlim_max.min(soft);
    Setting { limit, resource, values }
}

/// Processes and threads that this user has on the node.
fn tasks_of_user() -> u64 {
    let own = u64::from(rustix::process::getuid().as_raw());
    let threads = processes().filter_map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name| {
            let mut lines = status.lines().filter_map(|line| line.strip_prefix(name));
            lines.next()?.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        (field("Uid:")? == own).then(|| field("Threads:").unwrap_or(1))
    });
    threads.sum()
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::io::{Read, Seek};
    use std::os::fd::AsFd;

    use super::*;
    use crate::process::{Environment, Exit, Launch, own, spawn_limited, wait};

    /// What a command writes, and how it ends.
    fn output(argv: &[&str], limits: &Ulimits) -> (String, Exit) {
        let environment = Environment::scrubbed(std::env::vars_os());
        let argv: Vec<CString> = argv.iter().map(|arg| CString::new(*arg).unwrap()).collect();
        let null = own::null_device().unwrap();
        let mut out = tempfile::tempfile().unwrap();
        let stdio = [null.as_fd(), out.as_fd(), null.as_fd()];
        let launch =
            Launch { program: None, argv: &argv, environment: &environment, cwd: None, stdio, fds: &[] };
        let child = spawn_limited(&launch, &Allowance::new(limits)).unwrap();
        let (exit, _) = wait(child.pid).unwrap();
        let mut text = String::new();
        out.rewind().unwrap();
        out.read_to_string(&mut text).unwrap();
        (text, exit)
    }

    #[test]
    fn a_program_has_all_its_limits_and_its_children_too() {
        let limits = Ulimits {
            memory: Some(512 << 20),
            cpu_time: Some(7),
            processes: Some(40),
            file_size: Some(3 << 20),
            open_files: Some(33),
        };
        for argv in [&["cat", "/proc/self/limits"][..], &["sh", "-c", "(cat /proc/self/limits)"]] {
            let (text, exit) = output(argv, &limits);
            assert_eq!(exit, Exit::Code(0));
            let of = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                let values: Vec<&str> = line.split_ascii_whitespace().take(2).collect();
                values.join(" ")
            };
            assert_eq!(of("Max data size"), "536870912 536870912");
            assert_eq!(of("Max cpu time"), "7 8");
            assert_eq!(of("Max file size"), "3145728 3145728");
            assert_eq!(of("Max open files"), "33 33");
            let processes: u64 = of("Max processes").split(' ').next().unwrap().parse().unwrap();
            assert!(processes > 40, "beside what its user has already: {processes}");
            assert!(of("Max address space").starts_with("unlimited"), "{text}");
        }
    }

    #[test]
    fn no_limit_is_above_that_of_who_starts_it() {
        let own = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap();
        let limits = Ulimits { open_files: Some(own + 5), ..Ulimits::default() };
        let (text, _) = output(&["sh", "-c", "ulimit -Sn; ulimit -Hn"], &limits);
        assert_eq!(text, format!("{own}\n{own}\n"));
    }

    #[test]
    fn a_limit_that_cannot_be_had_is_named() {
        let ready_to_fail = Setting {
            limit: Ulimit::OpenFiles,
            resource: libc::RLIMIT_NOFILE,
            // More than the kernel allows anybody.
            values: libc::rlimit { rlim_cur: u64::MAX - 1, rlim_max: u64::MAX - 1 },
        };
        let environment = Environment::scrubbed(std::env::vars_os());
        let null = own::null_device().unwrap();
        let launch = Launch {
            program: None,
            argv: &[c"true".to_owned()],
            environment: &environment,
            cwd: None,
            stdio: [null.as_fd(); 3],
            fds: &[],
        };
        let error = spawn_limited(&launch, &Allowance(vec![ready_to_fail])).unwrap_err().to_string();
        assert!(error.starts_with("could not start `true` under limits.open_files: "), "{error}");
    }
}
