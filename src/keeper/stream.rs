//! What a program writes: the pipe it gets, and so much of what comes through it as is to be kept. Knows nothing of
//! programs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::capture::{Capture, Captured};
use super::run::StartError;
use super::site::Command;
use crate::model::Sink;
use crate::process;

/// What a pipe may still hold when its writers are dead, with a margin (B).
const PIPE_BYTES: u64 = 1 << 20;

/// A stream of a program.
pub struct Stream {
    /// The end we read, and one that writes. Ours stays open too: else the end of every program would wake us twice, for
    /// its streams and for itself.
    pipe: Option<(OwnedFd, OwnedFd)>,
    /// Reading from our end does not wait: so since there was first something to read.
    is_prompt: bool,
    capture: Capture,
}

/// What a program writes to.
pub enum Target {
    /// Nothing keeps it.
    Null,
    /// A file.
    File(OwnedFd),
    /// The stream's pipe.
    Pipe,
}

impl Stream {
    /// For a program that writes there; `keep` bytes are kept of what is captured.
    pub fn open(sink: &Sink, keep: usize, command: &Command) -> Result<(Self, Target), StartError> {
        match sink {
            Sink::Null => Ok((Self::none(), Target::Null)),
            Sink::File(path) => {
                let file = open_output(&command.cwd.join(path));
                let file = file.map_err(|source| StartError::Redirect { path: path.clone(), source })?;
                Ok((Self::none(), Target::File(file)))
            }
            Sink::Capture => {
                let pipe = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
                Ok((Self { pipe: Some(pipe), is_prompt: false, capture: Capture::new(keep) }, Target::Pipe))
            }
        }
    }

    /// Nothing is captured.
    pub fn none() -> Self {
        Self { pipe: None, is_prompt: false, capture: Capture::new(0) }
    }

    /// What the program gets.
    pub fn target<'a>(&'a self, target: &'a Target, null: &'a OwnedFd) -> BorrowedFd<'a> {
        match (target, &self.pipe) {
            (Target::File(file), _) => file.as_fd(),
            (Target::Pipe, Some((_, theirs))) => theirs.as_fd(),
            (Target::Null | Target::Pipe, _) => null.as_fd(),
        }
    }

    /// What becomes readable when something comes.
    pub fn watch(&self) -> Option<BorrowedFd<'_>> {
        Some(self.pipe.as_ref()?.0.as_fd())
    }

    /// Reads once, so that no stream starves another.
    pub fn read(&mut self, buffer: &mut [u8]) {
        let Some((ours, _)) = &self.pipe else { return };
        // Whoever else has this pipe may take what there is. Only our end: a program may not expect "try again" from its standard
        // output. Of an open pipe the kernel refuses that to nobody.
        self.is_prompt = self.is_prompt || rustix::io::ioctl_fionbio(ours, true).is_ok();
        if self.is_prompt
            && let Ok(got) = rustix::io::read(ours, &mut *buffer)
        {
            self.capture.push(&buffer[..got]);
        }
    }

    fn has_some(&self) -> bool {
        self.pipe.as_ref().is_some_and(|(ours, _)| rustix::io::ioctl_fionread(ours) != Ok(0))
    }

    /// Reads what is left; bounded, because a writer may have escaped us.
    pub fn drain(&mut self, buffer: &mut [u8]) -> Captured {
        let before = self.capture.total();
        while self.has_some() {
            let total = self.capture.total();
            self.read(buffer);
            let now = self.capture.total();
            if now == total || now - before > PIPE_BYTES {
                break;
            }
        }
        self.pipe = None;
        std::mem::replace(&mut self.capture, Capture::new(0)).finish()
    }
}

/// A file to write to, made or emptied. A named pipe that nobody reads must not make the keeper wait.
fn open_output(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = open(path, flags, Mode::from_raw_mode(0o666)).map_err(|error| match error {
        Errno::NXIO => {
            io::Error::other("a named pipe that nobody on this node reads; start its reader first")
        }
        other => process::with_advice(other.into()),
    })?;
    // That was for us alone: the program expects its output to wait.
    rustix::io::ioctl_fionbio(&file, false)?;
    Ok(file)
}
