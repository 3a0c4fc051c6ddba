//! A terminal in front of the terminal: what this process and those it starts write to standard output and
//! standard error passes through our hands.
//!
//! It is a pseudo-terminal, not a pipe: programs that ask still find a terminal, and C's streams stay line by
//! line. Knows nothing of what is drawn.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// After a text, so long nothing more: then it is over for now.
const PAUSE: Duration = Duration::from_millis(50);

/// What its thread is told of.
pub(super) enum Event<'a> {
    /// Somebody has written this.
    Text(&'a [u8]),
    /// No more comes for a while.
    Pause,
    /// [`Relay::ring`] was called.
    Rung,
    /// Nothing comes any more.
    Over,
}

/// See the module.
pub(super) struct Relay {
    /// What the two streams were.
    stderr: OwnedFd,
    stdout: Option<OwnedFd>,
    bell: Arc<Bell>,
    /// Hears nothing; closed when the thread ends.
    over: Receiver<()>,
}

/// Wakes the thread.
struct Bell {
    fd: OwnedFd,
    stop: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        // It can only be full of rings that were not heard yet.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }
}

impl Relay {
    /// From now on `told` hears, on a thread of its own, what is written. Standard error has to be a terminal;
    /// standard output is taken over if it is the same one.
    pub(super) fn start(told: impl FnMut(Event<'_>) + Send + 'static) -> io::Result<Self> {
        let (ours, theirs) = open_pair(io::stderr())?;
        let stderr = rustix::io::fcntl_dupfd_cloexec(io::stderr(), 3)?;
        let same = io::stdout().is_terminal() && fstat(io::stdout())?.st_rdev == fstat(io::stderr())?.st_rdev;
        let stdout = same.then(|| rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)).transpose()?;
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let bell = Arc::new(Bell { fd, stop: AtomicBool::new(false) });
        let (alive, over) = channel();
        let rung = bell.clone();
        let mut told = told;
        std::thread::Builder::new().name("screen".into()).spawn(move || {
            listen(&ours, &rung, &mut told);
            told(Event::Over);
            drop(alive);
        })?;
        rustix::stdio::dup2_stderr(&theirs)?;
        if same {
            rustix::stdio::dup2_stdout(&theirs)?;
        }
        Ok(Self { stderr, stdout, bell, over })
    }

    /// The thread is to hear [`Event::Rung`], soon. Never waits.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }

    /// Gives the streams back; all that was written before has been handed on, unless the thread does not get
    /// rid of it within `limit`.
    pub(super) fn stop(self, limit: Duration) {
        let _ = rustix::stdio::dup2_stderr(&self.stderr);
        if let Some(stdout) = &self.stdout {
            let _ = rustix::stdio::dup2_stdout(stdout);
        }
        self.bell.stop.store(true, Ordering::Release);
        self.bell.ring();
        let _ = self.over.recv_timeout(limit);
    }
}

/// A terminal of the size of `model` that changes nothing on the way: our end, the others' end.
pub(super) fn open_pair(model: impl AsFd) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let theirs = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut modes = tcgetattr(&theirs)?;
    modes.make_raw();
    tcsetattr(&theirs, OptionalActions::Now, &modes)?;
    if let Ok(size) = tcgetwinsize(model) {
        tcsetwinsize(&theirs, size)?;
    }
    Ok((ours, theirs))
}

fn listen(ours: &OwnedFd, bell: &Bell, told: &mut impl FnMut(Event<'_>)) {
    let pause = Timespec { tv_sec: 0, tv_nsec: PAUSE.as_nanos() as i64 };
    let mut bytes = vec![0; 64 * 1024];
    let mut fresh = false;
    loop {
        // Asked before the look at the terminal: what was written before the stop is there by then.
        let stop = bell.stop.load(Ordering::Acquire);
        let limit = if stop { Some(&Timespec { tv_sec: 0, tv_nsec: 0 }) } else { fresh.then_some(&pause) };
        let mut fds = [PollFd::new(ours, PollFlags::IN), PollFd::new(&bell.fd, PollFlags::IN)];
        let ready = match poll(&mut fds, limit) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        };
        if fds[0].revents().contains(PollFlags::IN) {
            match rustix::io::read(ours, &mut bytes) {
                Ok(count) if count > 0 => told(Event::Text(&bytes[..count])),
                _ => return,
            }
            fresh = true;
        } else if stop || !fds[0].revents().is_empty() {
            // Nothing is left, or nobody holds the other end any more.
            return;
        } else if ready > 0 {
            let _ = rustix::io::read(&bell.fd, &mut [0; 8]);
            told(Event::Rung);
        } else {
            told(Event::Pause);
            fresh = false;
        }
    }
}
