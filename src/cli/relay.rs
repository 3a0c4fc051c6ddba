//! A terminal in front of the terminal: what this process and those it starts write to standard output and
//! standard error passes through our hands.
//!
//! It is a pseudo-terminal, not a pipe: programs that ask still find a terminal, and C's streams stay line by
//! line. Knows nothing of what is drawn.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// After a text, so long nothing more: then it is over for now.
const PAUSE: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Relay {
    /// What the two streams were.
    stderr: OwnedFd,
    stdout: Option<OwnedFd>,
    stop: OwnedFd,
    thread: JoinHandle<()>,
}

impl Relay {
    /// From now on `text` is handed what is written, and `pause` is called when no more comes for a while.
    /// Standard error has to be a terminal; standard output is taken over if it is the same one.
    pub(super) fn start(
        text: impl Fn(&[u8]) + Send + 'static,
        pause: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let (ours, theirs) = open_pair(io::stderr())?;
        let stderr = rustix::io::fcntl_dupfd_cloexec(io::stderr(), 3)?;
        let same = io::stdout().is_terminal() && fstat(io::stdout())?.st_rdev == fstat(io::stderr())?.st_rdev;
        let stdout = same.then(|| rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)).transpose()?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let told = stop.try_clone()?;
        let listen = move || listen(&ours, &told, text, pause);
        let thread = std::thread::Builder::new().name("screen".into()).spawn(listen)?;
        rustix::stdio::dup2_stderr(&theirs)?;
        if same {
            rustix::stdio::dup2_stdout(&theirs)?;
        }
        Ok(Self { stderr, stdout, stop, thread })
    }

    /// Gives the streams back; all that was written before has been handed on.
    pub(super) fn stop(self) {
        let _ = rustix::stdio::dup2_stderr(&self.stderr);
        if let Some(stdout) = &self.stdout {
            let _ = rustix::stdio::dup2_stdout(stdout);
        }
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        let _ = self.thread.join();
    }
}

/// A terminal of the size of `model` that changes nothing on the way: our end, the others' end.
fn open_pair(model: impl AsFd) -> io::Result<(OwnedFd, OwnedFd)> {
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

fn listen(ours: &OwnedFd, stop: &OwnedFd, text: impl Fn(&[u8]), pause: impl Fn()) {
    let limit = Timespec { tv_sec: 0, tv_nsec: PAUSE.as_nanos() as i64 };
    let mut bytes = vec![0; 64 * 1024];
    let mut fresh = false;
    loop {
        let mut fds = [PollFd::new(ours, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        match poll(&mut fds, fresh.then_some(&limit)) {
            Ok(0) => {
                pause();
                fresh = false;
                continue;
            }
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        }
        if fds[0].revents().contains(PollFlags::IN) {
            match rustix::io::read(ours, &mut bytes) {
                Ok(count) if count > 0 => {
                    text(&bytes[..count]);
                    fresh = true;
                }
                _ => return,
            }
        } else {
            // Told to stop and nothing is left, or nobody holds the other end any more.
            return;
        }
    }
}
