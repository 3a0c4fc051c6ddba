#![allow(unsafe_code)]
//! Starts a program under limits of its own: what [`super::spawn()`] does, by hand, because `posix_spawn` sets none.
//!
//! Set after the start they would come too late, and a helper that sets them and becomes the program would be measured
//! along. So a child shares our memory until its exec, as that of `posix_spawn` does (`CLONE_VM | CLONE_VFORK`: we stand
//! still so long, and starting does not get slower as we grow), and leaves there what failed. It may allocate nothing and
//! take no lock: all it needs is made before.

use std::ffi::{c_int, c_void};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use super::spawn::{Ready, Refusal, start};
use super::tree::processes;
use super::{Child, Launch, SpawnError, spawn};
use crate::model::{Ulimit, Ulimits};

/// Of the child, in units of 16 bytes, as processors want it aligned: 64 KiB, as it calls little.
const STACK: usize = 4096;
/// Whoever goes on at SIGXCPU is killed so much later, s.
const CPU_GRACE: u64 = 1;
/// Signals have numbers up to this one.
const LAST_SIGNAL: c_int = 64;
/// No limit failed.
const NONE: usize = usize::MAX;

/// What a program is to be allowed, as the kernel is told; none of it is above the hard limit of this process.
pub struct Allowance(Vec<Setting>);

impl Allowance {
    /// As things are now. It may have to look at all processes of the node, so it is no part of a start that is timed.
    pub fn new(limits: &Ulimits) -> Self {
        Self(limits.iter().map(setting).collect())
    }
}

/// Starts a program as the leader of a new session, each of whose processes has these limits.
pub fn spawn_limited(launch: &Launch<'_>, allowance: &Allowance) -> Result<Child, SpawnError> {
    if allowance.0.is_empty() { spawn(launch) } else { start(launch, |ready| begin(ready, &allowance.0)) }
}

/// How the C library counts resources.
#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = c_int;

/// What the kernel is told.
#[derive(Clone, Copy)]
struct Setting {
    limit: Ulimit,
    resource: Resource,
    values: libc::rlimit,
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

/// What the child reads, and where it leaves why it could not become the program.
struct Order<'a> {
    ready: &'a Ready<'a>,
    settings: &'a [Setting],
    errno: AtomicI32,
    /// Which of the settings failed.
    failed: AtomicUsize,
}

fn begin(ready: &Ready<'_>, settings: &[Setting]) -> Result<i32, Refusal> {
    let order = Order { ready, settings, errno: AtomicI32::new(0), failed: AtomicUsize::new(NONE) };
    let mut stack = Box::<[u128]>::new_uninit_slice(STACK);
    let top = stack.as_mut_ptr_range().end;
    let argument = ptr::from_ref(&order).cast_mut().cast();
    // A handler of ours must not run in the child.
    let mask = change_mask(&all_signals());
    // SAFETY: the stack and what `argument` points to outlive the child's use of them, as this thread goes on only once
    // the child has become the program or has ended. Other threads go on, and what the child reads is this thread's alone.
    let pid = unsafe {
        libc::clone(child, top.cast(), libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, argument)
    };
    let cloned = if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) };
    change_mask(&mask);
    let pid = cloned?;
    let errno = order.errno.load(Ordering::Acquire);
    if errno == 0 {
        return Ok(pid);
    }
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = super::wait(pid);
    }
    let failed = settings.get(order.failed.load(Ordering::Acquire));
    Err(Refusal { errno, limit: failed.map(|setting| setting.limit) })
}

extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: it is the order of `begin`, which waits for us.
    let order = unsafe { &*argument.cast::<Order<'_>>() };
    let errno = match become_it(order) {
        // Nothing fails without a reason; and without one we would be taken for the program.
        Err(error) => error.raw_os_error().filter(|errno| *errno != 0).unwrap_or(libc::EINVAL),
        Ok(never) => match never {},
    };
    order.errno.store(errno, Ordering::Release);
    super::exit_now(127)
}

/// The same steps as those of `posix_spawn` with our attributes and actions, and the limits at the end: nothing of ours is
/// to run into them.
fn become_it(order: &Order<'_>) -> io::Result<std::convert::Infallible> {
    let check = |code: c_int| if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    let ready = order.ready;
    // SAFETY: all pointers are to live objects, null-terminated where they are text or lists; the calls are system calls,
    // which allocate nothing and keep nothing.
    unsafe {
        let mut default = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        default.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=LAST_SIGNAL {
            // KILL, STOP and those of the C library itself are refused, and need it not.
            libc::sigaction(signal, &default, ptr::null_mut());
        }
        check(libc::setsid())?;
        if let Some(cwd) = &ready.cwd {
            check(libc::chdir(cwd.as_ptr()))?;
        }
        for (fd, number) in &ready.fds {
            // What has its number already would still close at the exec.
            check(if fd == number { libc::fcntl(*fd, libc::F_SETFD, 0) } else { libc::dup2(*fd, *number) })?;
        }
        for (at, setting) in order.settings.iter().enumerate() {
            check(libc::setrlimit(setting.resource, &setting.values))
                .inspect_err(|_| order.failed.store(at, Ordering::Release))?;
        }
        change_mask(&no_signals());
        libc::execve(ready.path.as_ptr(), ready.argv.as_ptr().cast(), ready.envp.as_ptr().cast());
    }
    Err(io::Error::last_os_error())
}

/// This thread has these signals blocked from now on, and had those before.
fn change_mask(to: &libc::sigset_t) -> libc::sigset_t {
    let mut before = no_signals();
    // SAFETY: both sets are initialised.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, to, &mut before) };
    before
}

fn all_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: it fills the set.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn no_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: it fills the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs::File;
    use std::io::{Read, Seek};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::path::Path;

    use super::*;
    use crate::process::{Environment, Exit, own, wait};

    const MUCH: Ulimits =
        Ulimits { memory: Some(1 << 40), cpu_time: None, processes: None, file_size: None, open_files: None };

    /// What a command writes to standard output and a descriptor 9, and how it ends.
    fn output(
        argv: &[&str],
        cwd: Option<&Path>,
        limits: &Ulimits,
    ) -> Result<(String, Exit, Child), SpawnError> {
        let environment = Environment::scrubbed(std::env::vars_os());
        let argv: Vec<CString> = argv.iter().map(|arg| CString::new(*arg).unwrap()).collect();
        let null = own::null_device().unwrap();
        let mut out = tempfile::tempfile().unwrap();
        let fds: [(BorrowedFd<'_>, i32); 1] = [(out.as_fd(), 9)];
        let stdio = [null.as_fd(), out.as_fd(), null.as_fd()];
        let launch = Launch { program: None, argv: &argv, environment: &environment, cwd, stdio, fds: &fds };
        let child = spawn_limited(&launch, &Allowance::new(limits))?;
        let (exit, _) = wait(child.pid).unwrap();
        Ok((text_of(&mut out), exit, child))
    }

    fn text_of(file: &mut File) -> String {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
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
            let (text, exit, _) = output(argv, None, &limits).unwrap();
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
        let (text, _, _) = output(&["sh", "-c", "ulimit -Sn; ulimit -Hn"], None, &limits).unwrap();
        assert_eq!(text, format!("{own}\n{own}\n"));
    }

    #[test]
    fn all_else_is_as_without_limits() {
        own::block_signals().unwrap();
        // Of a process that has no child: a shell that has one may hold back signals for a moment.
        let of_itself = |limits| output(&["cat", "/proc/self/status"], None, &limits).unwrap().0;
        let free = of_itself(Ulimits::default());
        let limited = of_itself(MUCH);
        // Others hand on a descriptor of 200 and more, and set variables (process/variables.rs), for a moment. No pipe where
        // descriptors are counted: the shell has its ends for a moment.
        let line = "pwd; cut -d' ' -f 5,6 /proc/$$/stat | tr ' ' '\\n' | grep -vx $$; for fd in /proc/$$/fd/*; do case ${fd##*/} in 2??) ;; *) echo ${fd##*/} ;; esac; done; echo more >&9; env | grep -v ^HARNESS_TEST_ | sort";
        let seen = |limits| output(&["sh", "-c", line], Some(Path::new("/usr")), &limits).unwrap();
        let ((text, exit, _), (also, exit_also, _)) = (seen(Ulimits::default()), seen(MUCH));
        own::unblock_signals().unwrap();
        let of = |status: &str, name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
        };
        for name in ["SigBlk:", "SigCgt:", "Uid:", "Groups:", "Cpus_allowed:", "NoNewPrivs:", "Seccomp:"] {
            assert_eq!(of(&free, name), of(&limited, name), "{name}");
        }
        assert_eq!(of(&limited, "SigBlk:"), "0000000000000000");
        // The C library lets nobody touch its own two, 32 and 33: they are as whoever started us left them.
        let ignored = u64::from_str_radix(&of(&limited, "SigIgn:"), 16).unwrap();
        assert_eq!(ignored & !(0b11 << 31), 0, "{ignored:x}");
        assert_eq!((&text, exit), (&also, exit_also));
        // Folder, no group or session but its own, no descriptor of ours.
        assert!(
            text.starts_with("/usr\n0\n1\n") && text.contains("\n9\n") && text.contains("\nmore\n"),
            "{text}"
        );
    }

    #[test]
    fn what_cannot_be_started_says_the_same_as_without_limits() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plain"), "no program").unwrap();
        let plain = folder.path().join("plain").display().to_string();
        let gone = folder.path().join("gone");
        let there = |argv: &'static [&'static str]| (argv, None);
        let mut cases: Vec<(&[&str], Option<&Path>)> = vec![
            there(&["/no/such/program"]),
            there(&["no-such-program-anywhere"]),
            there(&["/usr"]),
            there(&[]),
            (&["true"], Some(&gone)),
        ];
        let plain = [plain.as_str()];
        cases.push((&plain, None));
        for (argv, cwd) in cases {
            let said = |limits| output(argv, cwd, limits).unwrap_err().to_string();
            assert_eq!(said(&MUCH), said(&Ulimits::default()), "{argv:?}");
        }
        std::os::unix::fs::symlink("/bin/true", &gone).unwrap();
        assert_eq!(output(&["true"], None, &MUCH).unwrap().1, Exit::Code(0));
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
