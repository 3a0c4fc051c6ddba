//! What a program writes: the pipe it gets, and so much of what comes through it as is to be kept.
//!
//! A pipe costs as much as a tenth of a start. One that is as it was when it was made serves the next run, if nothing
//! that could still write to it is left. Knows nothing of programs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, fcntl_getfl, open};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, pipe_with};

use super::capture::{Capture, Captured};
use super::run::StartError;
use super::site::Command;
use crate::model::Sink;
use crate::process;

/// What a pipe may still hold when its writers are dead, with a margin (B).
const PIPE_BYTES: u64 = 1 << 20;
/// Those of one run.
const MOST_SPARE: usize = 2;

/// A pipe: the end we read, and one that writes. Ours stays open too: else the end of every program would wake us
/// twice, for its streams and for itself.
struct Pipe {
    ours: OwnedFd,
    theirs: OwnedFd,
    /// How much it holds (B).
    size: usize,
}

/// Pipes that nobody uses.
#[derive(Default)]
pub struct Spare(Vec<Pipe>);

/// A stream of a program.
pub struct Stream {
    pipe: Option<Pipe>,
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

impl Pipe {
    fn new() -> io::Result<Self> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only our end: a program may not expect "try again" from its standard output.
        rustix::io::ioctl_fionbio(&ours, true)?;
        let size = fcntl_getpipe_size(&ours)?;
        Ok(Self { ours, theirs, size })
    }

    /// A program may change what it was given.
    fn is_as_made(&self) -> bool {
        fcntl_getfl(&self.theirs) == Ok(OFlags::WRONLY) && fcntl_getpipe_size(&self.ours) == Ok(self.size)
    }
}

impl Stream {
    /// For a program that writes there; `keep` bytes are kept of what is captured.
    pub fn open(
        sink: &Sink,
        keep: usize,
        command: &Command,
        spare: &mut Spare,
    ) -> Result<(Self, Target), StartError> {
        match sink {
            Sink::Null => Ok((Self::none(), Target::Null)),
            Sink::File(path) => {
                let file = open_output(&command.cwd.join(path));
                let file = file.map_err(|source| StartError::Redirect { path: path.clone(), source })?;
                Ok((Self::none(), Target::File(file)))
            }
            Sink::Capture => {
                let pipe = spare.0.pop().map_or_else(Pipe::new, Ok)?;
                Ok((Self { pipe: Some(pipe), capture: Capture::new(keep) }, Target::Pipe))
            }
        }
    }

    /// Nothing is captured.
    pub fn none() -> Self {
        Self { pipe: None, capture: Capture::new(0) }
    }

    /// What the program gets.
    pub fn target<'a>(&'a self, target: &'a Target, null: &'a OwnedFd) -> BorrowedFd<'a> {
        match (target, &self.pipe) {
            (Target::File(file), _) => file.as_fd(),
            (Target::Pipe, Some(pipe)) => pipe.theirs.as_fd(),
            (Target::Null | Target::Pipe, _) => null.as_fd(),
        }
    }

    /// What becomes readable when something comes.
    pub fn watch(&self) -> Option<BorrowedFd<'_>> {
        Some(self.pipe.as_ref()?.ours.as_fd())
    }

    /// Reads once, so that no stream starves another.
    pub fn read(&mut self, buffer: &mut [u8]) {
        let Some(pipe) = &self.pipe else { return };
        if let Ok(got) = rustix::io::read(&pipe.ours, &mut *buffer) {
            self.capture.push(&buffer[..got]);
        }
    }

    /// Reads what is left; bounded, because a writer may have escaped us. Its pipe serves again if `nobody_writes`.
    pub fn drain(&mut self, buffer: &mut [u8], nobody_writes: bool, spare: &mut Spare) -> Captured {
        let before = self.capture.total();
        let empty = loop {
            let total = self.capture.total();
            self.read(buffer);
            let now = self.capture.total();
            if now == total || now - before > PIPE_BYTES {
                break now == total;
            }
        };
        let serves = |pipe: &Pipe| nobody_writes && empty && pipe.is_as_made() && spare.0.len() < MOST_SPARE;
        let pipe = self.pipe.take().filter(serves);
        spare.0.extend(pipe);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::fake;
    use rustix::fs::fcntl_setfl;
    use rustix::pipe::fcntl_setpipe_size;

    /// What a program writes there, as `change` leaves the pipe; how many pipes are spare afterwards.
    fn written(spare: &mut Spare, nobody_writes: bool, change: impl FnOnce(&Pipe)) -> (String, usize) {
        let (mut stream, _) = Stream::open(&Sink::Capture, 100, &fake::command("prog"), spare).unwrap();
        rustix::io::write(&stream.pipe.as_ref().unwrap().theirs, b"words").unwrap();
        change(stream.pipe.as_ref().unwrap());
        let captured = stream.drain(&mut [0; 64], nobody_writes, spare);
        (String::from_utf8(captured.bytes).unwrap(), spare.0.len())
    }

    #[test]
    fn a_pipe_serves_again_only_as_it_was_made() {
        let mut spare = Spare::default();
        let words = |left| ("words".to_owned(), left);
        assert_eq!(written(&mut spare, true, |_| ()), words(1));
        assert_eq!(written(&mut spare, true, |_| ()), words(1));
        assert_eq!(written(&mut spare, false, |_| ()), words(0), "something may still write");
        let nonblocking = |pipe: &Pipe| fcntl_setfl(&pipe.theirs, OFlags::NONBLOCK).unwrap();
        assert_eq!(written(&mut spare, true, nonblocking), words(0));
        let larger = |pipe: &Pipe| assert!(fcntl_setpipe_size(&pipe.theirs, 1 << 17).is_ok());
        assert_eq!(written(&mut spare, true, larger), words(0));
        assert_eq!(written(&mut spare, true, |_| ()), words(1));
    }
}
