#![allow(unsafe_code)]
//! How a new process becomes a program.
//!
//! It shares our memory until its exec (`CLONE_VM | CLONE_VFORK`: this thread stands still so long, and starting does not get
//! slower as we grow), and leaves there what failed. It may allocate nothing and take no lock (in some C libraries that of `abort`,
//! for an instant): all it needs is made before. `posix_spawn` does the same; but it sets no limits, gives no descriptor of
//! the process, and has a new stack mapped for each, which is unmapped on all cores that run threads of ours.

use std::cell::{Cell, UnsafeCell};
use std::convert::Infallible;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use rustix::process::Pid;

use super::Child;
use super::own::disposition;
use super::spawn::{Ready, Refusal};

/// Of the child's stack, 16 bytes each, as processors want it aligned: 64 KiB, as it calls little.
const STACK_UNITS: usize = 4096;
/// Signals have numbers up to this one.
const LAST_SIGNAL: c_int = 64;
/// No limit failed.
const NONE: usize = usize::MAX;

/// Signals that do here what they do not do by default, once nobody changes that any more.
static UNUSUAL: OnceLock<Vec<c_int>> = OnceLock::new();

thread_local! {
    /// Where the children of this thread stand, one after another: it goes on when one has become the program, or ended.
    static CHILD_STACK: UnsafeCell<Box<[MaybeUninit<u128>]>> = UnsafeCell::new(Box::new_uninit_slice(STACK_UNITS));
    /// It hears no signals.
    static IS_DEAF: Cell<bool> = const { Cell::new(false) };
}

/// What the child reads, and where it leaves why it could not become the program.
struct Order<'a> {
    ready: &'a Ready<'a>,
    /// Which signals are to do again what they do by default; none: any may have to.
    unusual: Option<&'a [c_int]>,
    errno: AtomicI32,
    /// Which of the limits failed.
    failed: AtomicUsize,
}

/// For a process that is done with changing what signals do: what it starts has only those put back that need it. To put back all
/// is 60 system calls: some 12 µs of the 650 that a short program costs.
pub fn settle_signals() {
    let is_unusual = |signal: &c_int| disposition(*signal) != libc::SIG_DFL;
    let _ = UNUSUAL.set((1..=LAST_SIGNAL).filter(is_unusual).collect());
}

/// This thread hears no signal any more for which we may have a handler: it need not be made deaf, and to hear again, for each program
/// that it starts. For good: nothing else may change what it hears. It still hears of faults, which the runtime explains, and that a
/// child has ended: who has that blocked is not asked whether it is ignored, and another thread is woken for it.
pub fn hear_no_signals() {
    let mut signals = all_signals();
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGCHLD] {
        // SAFETY: the set is initialised.
        unsafe { libc::sigdelset(&mut signals, signal) };
    }
    change_mask(&signals);
    IS_DEAF.set(disposition(libc::SIGCHLD) == libc::SIG_DFL);
}

/// Starts the program, as the leader of a session.
pub(super) fn begin(ready: &Ready<'_>) -> Result<Child, Refusal> {
    let unusual = UNUSUAL.get().map(Vec::as_slice);
    let order = Order { ready, unusual, errno: AtomicI32::new(0), failed: AtomicUsize::new(NONE) };
    let argument = ptr::from_ref(&order).cast_mut().cast();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: RawFd = -1;
    // A handler of ours must not run in the child, which puts them back before anything else.
    let mask = (!IS_DEAF.get()).then(|| change_mask(&all_signals()));
    // SAFETY: the stack and what `argument` points to outlive the child's use of them, as this thread goes on only once
    // the child has become the program or has ended. Other threads go on, and what the child reads is this thread's alone.
    let pid = CHILD_STACK.with(|stack| unsafe {
        let top = (*stack.get()).as_mut_ptr_range().end;
        libc::clone(child, top.cast(), flags, argument, &raw mut pidfd)
    });
    let cloned =
        Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw).ok_or_else(io::Error::last_os_error);
    mask.iter().for_each(|mask| _ = change_mask(mask));
    let pid = cloned?;
    // SAFETY: the kernel made it for us, if it knows how to, and nobody else has it.
    let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
    let errno = order.errno.load(Ordering::Acquire);
    match pidfd {
        Some(pidfd) if errno == 0 => return Ok(Child { pid, pidfd }),
        Some(_) => _ = super::wait(pid),
        // Without a descriptor nobody would notice its end.
        None => super::Unwatched(pid).kill(),
    }
    let failed = ready.settings.get(order.failed.load(Ordering::Acquire));
    Err(Refusal {
        errno: if errno == 0 { libc::ENOSYS } else { errno },
        limit: failed.map(|setting| setting.limit),
    })
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

/// The limits come last: nothing of ours is to run into them.
fn become_it(order: &Order<'_>) -> io::Result<Infallible> {
    let check = |code: c_int| if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    let ready = order.ready;
    // SAFETY: all pointers are to live objects, null-terminated where they are text or lists; the calls are system calls,
    // which allocate nothing and keep nothing.
    unsafe {
        let mut default = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        default.sa_sigaction = libc::SIG_DFL;
        // KILL, STOP and those of the C library itself are refused, and need it not.
        let put_back = |signal| _ = libc::sigaction(signal, &default, ptr::null_mut());
        match order.unusual {
            Some(unusual) => unusual.iter().copied().for_each(put_back),
            None => (1..=LAST_SIGNAL).for_each(put_back),
        }
        check(libc::setsid())?;
        if let Some(cwd) = &ready.cwd {
            check(libc::chdir(cwd.as_ptr()))?;
        }
        for (fd, number) in &ready.fds {
            // What has its number already would still close at the exec.
            check(if fd == number { libc::fcntl(*fd, libc::F_SETFD, 0) } else { libc::dup2(*fd, *number) })?;
        }
        for (at, setting) in ready.settings.iter().enumerate() {
            setting.set().inspect_err(|_| order.failed.store(at, Ordering::Release))?;
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
    use std::io::{Read, Seek};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::path::Path;

    use super::hear_no_signals;
    use crate::process::{Environment, Exit, Launch, own, spawn, wait};

    /// What a command writes to standard output and a descriptor 9, in this folder, and how it ends.
    fn output(argv: &[&str], cwd: Option<&Path>) -> (String, Exit) {
        let environment = Environment::scrubbed(std::env::vars_os());
        let argv: Vec<CString> = argv.iter().map(|arg| CString::new(*arg).unwrap()).collect();
        let null = own::null_device().unwrap();
        let mut out = tempfile::tempfile().unwrap();
        let fds: [(BorrowedFd<'_>, i32); 1] = [(out.as_fd(), 9)];
        let stdio = [null.as_fd(), out.as_fd(), null.as_fd()];
        let child =
            spawn(&Launch { program: None, argv: &argv, environment: &environment, cwd, stdio, fds: &fds });
        let (exit, _) = wait(child.unwrap().pid).unwrap();
        let mut text = String::new();
        out.rewind().unwrap();
        out.read_to_string(&mut text).unwrap();
        (text, exit)
    }

    #[test]
    fn a_program_begins_with_what_it_is_given_and_nothing_of_ours() {
        own::block_signals().unwrap();
        // Of a process that has no child: a shell that has one may hold back signals for a moment.
        let status = || output(&["cat", "/proc/self/status"], None).0;
        let of_a_deaf_thread = std::thread::spawn(move || {
            hear_no_signals();
            status()
        });
        let statuses = [status(), of_a_deaf_thread.join().unwrap()];
        own::close_on_exec_from(3); // as each process of ours begins
        let (descriptors, _) = output(&["ls", "/proc/self/fd"], None);
        let line = "pwd; cut -d' ' -f 5,6 /proc/$$/stat | tr ' ' '\\n' | grep -vx $$; echo more >&9";
        let (text, exit) = output(&["sh", "-c", line], Some(Path::new("/usr")));
        own::unblock_signals().unwrap();
        let of = |status: &str, name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        for status in statuses {
            assert_eq!((of(&status, "SigBlk:"), of(&status, "SigCgt:")), (0, 0), "{status}");
            // The C library lets nobody touch its own two, 32 and 33: they are as whoever started us left them.
            assert_eq!(of(&status, "SigIgn:") & !(0b11 << 31), 0, "{status}");
        }
        assert_eq!(exit, Exit::Code(0));
        // No group or session but its own; of descriptors ls has one more, and others hand on one of 200 and more for a moment.
        assert_eq!(text, "/usr\nmore\n");
        let descriptors: Vec<&str> = descriptors.lines().filter(|fd| fd.len() < 3).collect();
        assert_eq!(descriptors, ["0", "1", "2", "3", "9"]);
    }

    /// What fails is told by who waits, and the next one begins as if nothing had been.
    #[test]
    fn what_does_not_begin_leaves_nothing() {
        let environment = Environment::scrubbed(std::env::vars_os());
        let null = own::null_device().unwrap();
        let argv = [c"/no/such/program".to_owned()];
        let launch = Launch {
            program: None,
            argv: &argv,
            environment: &environment,
            cwd: None,
            stdio: [null.as_fd(); 3],
            fds: &[],
        };
        assert_eq!(spawn(&launch).unwrap_err().to_string(), "program `/no/such/program` does not exist");
        // SAFETY: it asks for a child of this thread that has ended, and writes nothing.
        let left = unsafe {
            libc::wait4(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WNOTHREAD, std::ptr::null_mut())
        };
        assert_eq!((left, std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::ECHILD)));
        assert_eq!(output(&["true"], None).1, Exit::Code(0));
    }
}
