#![allow(unsafe_code)]
//! How a child ended and what it used: `wait4` of that child alone, never of any child.
//!
//! The difference of `RUSAGE_CHILDREN` before and after would mix in whatever else ended meanwhile.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Pid;

use super::Child;
use super::tree::is_stopped;
use crate::model::Usage;

/// After SIGKILL a process is gone in a moment, unless it hangs in the kernel.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// The exit code, if it exited.
    pub fn code(self) -> Option<i32> {
        match self {
            Exit::Code(code) => Some(code),
            Exit::Signal(_) => None,
        }
    }

    /// The signal, if one ended it.
    pub fn signal(self) -> Option<i32> {
        match self {
            Exit::Code(_) => None,
            Exit::Signal(signal) => Some(signal),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "killed by signal {signal} ({})", signal_name(*signal)),
        }
    }
}

/// Waits for the end of a child. Everything in `Usage` but the wall time, which the caller measures.
pub fn wait(pid: Pid) -> io::Result<(Exit, Usage)> {
    loop {
        match wait4(pid, 0) {
            Ok(Some(ended)) => return Ok(ended),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same, if it has ended already.
pub fn try_wait(pid: Pid) -> io::Result<Option<(Exit, Usage)>> {
    wait4(pid, libc::WNOHANG)
}

fn wait4(pid: Pid, options: i32) -> io::Result<Option<(Exit, Usage)>> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to live objects of the right type; wait4 keeps neither.
    let got = unsafe { libc::wait4(pid.as_raw_nonzero().get(), &mut status, options, usage.as_mut_ptr()) };
    match got {
        -1 => return Err(io::Error::last_os_error()),
        0 => return Ok(None),
        _ => {}
    }
    // SAFETY: wait4 returned a child, so it filled the structure; all-zero was valid before, too.
    let usage = unsafe { usage.assume_init() };
    let exit = if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    };
    Ok(Some((exit, usage_of(&usage))))
}

fn usage_of(usage: &libc::rusage) -> Usage {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    Usage {
        wall_s: 0.0,
        user_s: seconds(usage.ru_utime),
        sys_s: seconds(usage.ru_stime),
        maxrss_bytes: usage.ru_maxrss as u64 * 1024, // Linux counts KiB
        minflt: usage.ru_minflt as u64,
        majflt: usage.ru_majflt as u64,
        nvcsw: usage.ru_nvcsw as u64,
        nivcsw: usage.ru_nivcsw as u64,
        inblock: usage.ru_inblock as u64,
        oublock: usage.ru_oublock as u64,
    }
}

/// `SIGSEGV` for 11.
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => "no name",
    }
}

impl Child {
    /// Kills it (SIGKILL), and with it nothing else: our own processes end when their socket does.
    pub fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
    }

    /// Waits until it has ended; kills it if that takes longer than `patience`, or if it is stopped and could not
    /// end by itself. False if it is still there: the kernel cannot end it now.
    pub fn wait_or_kill(&self, patience: Duration) -> bool {
        if is_stopped(self.pid) || !self.ends_within(patience) {
            self.kill();
        }
        let ended = self.ends_within(KILL_PATIENCE);
        if ended {
            let _ = try_wait(self.pid);
        }
        ended
    }

    /// Does it end in this time? Its exit code is still to be collected.
    pub fn ends_within(&self, patience: Duration) -> bool {
        let until = Instant::now().checked_add(patience);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let limit = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], limit.as_ref()) {
                Err(Errno::INTR) => {}
                polled => return polled == Ok(1),
            }
        }
    }
}
