//! A link over descriptors: a socket to a child process, or the standard input and output of a worker that ssh
//! started on another node, which carries the bytes. Waits cost nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::net::sockopt;

use super::{Link, LinkError};
use crate::wire::{Inbox, Outgoing, READ_MOST};

/// Room to read into at the least (B).
const READ_BYTES: usize = 64 * 1024;

/// Where what a worker over ssh says begins: the shell that a login starts may have printed before.
const MARK: &[u8] = b"\0harness worker\0";
/// Longer greetings than that are something else (B).
const GREETING_BYTES: usize = 1 << 20;

/// A network that takes nothing for so long is given up, where nothing shorter was asked for.
pub(super) const LONGEST_UNTAKEN: Duration = Duration::from_secs(180);

/// One end of a stream.
pub struct StreamLink {
    input: OwnedFd,
    /// Where it is another one.
    output: Option<OwnedFd>,
    /// What came before the mark, while that is waited for.
    greeting: Option<Vec<u8>>,
    /// What did not leave yet.
    rest: Outgoing,
}

impl StreamLink {
    /// Takes over a connected stream socket.
    pub fn new(socket: OwnedFd) -> std::io::Result<Self> {
        ioctl_fionbio(&socket, true)?;
        Ok(Self { input: socket, output: None, greeting: None, rest: Outgoing::default() })
    }

    /// Takes over a descriptor for each direction, of whatever kind.
    pub fn over(input: OwnedFd, output: OwnedFd) -> std::io::Result<Self> {
        ioctl_fionbio(&output, true)?;
        Ok(Self { output: Some(output), ..Self::new(input)? })
    }

    /// The same, beginning with the mark.
    pub fn with_mark(mut self) -> Self {
        self.rest.tail().extend_from_slice(MARK);
        self
    }

    /// The same, of which the other end is [`StreamLink::with_mark`].
    pub fn after_mark(self) -> Self {
        Self { greeting: Some(Vec::new()), ..self }
    }

    /// Leaves out what was printed before the mark.
    fn pass_greeting(&mut self, inbox: &mut Inbox) -> Result<(), LinkError> {
        let Some(greeting) = &mut self.greeting else { return Ok(()) };
        let mut bytes = [0; 4096];
        loop {
            match read(&self.input, &mut bytes) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => greeting.extend_from_slice(&bytes[..count]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(link_error(error)),
            }
            if let Some(at) = greeting.windows(MARK.len()).position(|bytes| bytes == MARK) {
                let said = &greeting[at + MARK.len()..];
                inbox.space(said.len())[..said.len()].copy_from_slice(said);
                inbox.filled(said.len());
                self.greeting = None;
                return Ok(());
            }
            if greeting.len() > GREETING_BYTES {
                let what = "the other end prints, and no worker speaks: does a login there start something?";
                return Err(LinkError::Failed(what.into()));
            }
        }
    }

    fn output(&self) -> BorrowedFd<'_> {
        self.output.as_ref().unwrap_or(&self.input).as_fd()
    }

    fn push(&mut self) -> Result<(), LinkError> {
        while !self.rest.is_empty() {
            // SIGPIPE does nothing in any process of ours (`process::begin_signals`).
            match write(self.output(), self.rest.front()) {
                Ok(count) => self.rest.sent(count),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(link_error(error)),
            }
        }
        Ok(())
    }
}

impl Link for StreamLink {
    fn send(&mut self, bytes: &mut Outgoing) -> Result<(), LinkError> {
        self.rest.append(bytes);
        match self.push() {
            // A peer that died may have said why: `progress` reads that first, and then says that it is gone.
            Err(LinkError::Closed) => Ok(()),
            sent => sent,
        }
    }

    fn progress(&mut self, inbox: &mut Inbox) -> Result<(), LinkError> {
        let pushed = self.push();
        self.pass_greeting(inbox)?;
        if self.greeting.is_some() {
            return pushed;
        }
        let mut total = 0;
        loop {
            let space = inbox.space(READ_BYTES);
            let room = space.len();
            match read(&self.input, space) {
                Ok(0) if total > 0 => return Ok(()),
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => {
                    inbox.filled(count);
                    total += count;
                    if count < room || total >= READ_MOST {
                        return Ok(());
                    }
                }
                Err(Errno::AGAIN) if total > 0 => return Ok(()),
                Err(Errno::AGAIN) => return pushed,
                Err(Errno::INTR) => {}
                Err(error) => return Err(link_error(error)),
            }
        }
    }

    fn backlog(&self) -> usize {
        self.rest.len()
    }

    fn poll_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let write = if self.backlog() > 0 { PollFlags::OUT } else { PollFlags::empty() };
        match &self.output {
            None => vec![(self.input.as_fd(), PollFlags::IN | write)],
            Some(_) if write.is_empty() => vec![(self.input.as_fd(), PollFlags::IN)],
            Some(output) => vec![(self.input.as_fd(), PollFlags::IN), (output.as_fd(), write)],
        }
    }

    fn next_poll(&self, _now: Instant, _backed_up: bool) -> Option<Instant> {
        None
    }

    fn set_quiet(&mut self, _quiet: bool) {}

    fn give_up_after(&mut self, silence: Duration) {
        // Only a network has this, and only there anything is lost on the way.
        let _ = untaken(&self.input, silence);
    }
}

/// Ends a connection over a network once what was sent has not been taken for so long.
pub(super) fn untaken(socket: impl AsFd, silence: Duration) -> rustix::io::Result<()> {
    sockopt::set_tcp_user_timeout(socket, u32::try_from(silence.as_millis()).unwrap_or(u32::MAX))
}

fn link_error(error: Errno) -> LinkError {
    match error {
        Errno::PIPE | Errno::CONNRESET => LinkError::Closed,
        other => LinkError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::model::{FromWorker, Hash, ToWorker};
    use crate::transport::Peer;
    use crate::wire::socket_pair;

    #[test]
    fn what_a_login_prints_before_the_worker_is_left_out() {
        let (root, shell) = socket_pair().unwrap();
        let link = StreamLink::new(root).unwrap().after_mark();
        let mut root: Peer<ToWorker, FromWorker> = Peer::new(Box::new(link));
        write(&shell, b"Welcome to node2!\n\0harness").unwrap();
        root.progress().unwrap();
        write(&shell, b" is fun\n").unwrap();
        root.progress().unwrap();
        assert_eq!(root.take().unwrap(), None);
        let link = StreamLink::new(shell).unwrap().with_mark();
        let mut worker: Peer<FromWorker, ToWorker> = Peer::new(Box::new(link));
        for message in [FromWorker::Ready, FromWorker::Alive] {
            worker.queue(&message);
            worker.flush().unwrap();
            root.progress().unwrap();
            assert_eq!(root.take().unwrap(), Some(message));
        }
        drop(worker);
        assert!(matches!(root.progress(), Err(LinkError::Closed)));
    }

    #[test]
    fn two_pipes_are_a_stream_too() {
        let ((down_in, down_out), (up_in, up_out)) = (
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap(),
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap(),
        );
        let mut root: Peer<ToWorker, FromWorker> =
            Peer::new(Box::new(StreamLink::over(up_in, down_out).unwrap()));
        let mut worker: Peer<FromWorker, ToWorker> =
            Peer::new(Box::new(StreamLink::over(down_in, up_out).unwrap()));
        let piece = vec![0x0a; 1 << 20];
        root.queue(&ToWorker::Chunk(Hash::of(b"a"), 0, piece.clone(), true));
        root.flush().unwrap();
        assert_eq!(root.link_ref().poll_fds().len(), 2, "a pipe does not take all of it at once");
        let came = loop {
            root.flush().unwrap();
            root.progress().unwrap();
            worker.progress().unwrap();
            if let Some(message) = worker.take().unwrap() {
                break message;
            }
        };
        assert_eq!(came, ToWorker::Chunk(Hash::of(b"a"), 0, piece, true));
        assert_eq!(root.backlog(), 0);
        drop(worker);
        assert!(matches!(root.progress(), Err(LinkError::Closed)));
    }

    #[test]
    fn of_one_who_sends_without_end_so_much_is_taken_at_once() {
        const PIECE: usize = 64 << 10;
        let sent = tempfile::tempfile().unwrap();
        sent.set_len(4 * READ_MOST as u64).unwrap();
        for begin in (0..4 * READ_MOST).step_by(PIECE) {
            // A message of zeros, up to the next.
            sent.write_all_at(&(PIECE as u32 - 4).to_le_bytes(), begin as u64).unwrap();
        }
        let null = File::options().write(true).open("/dev/null").unwrap();
        let mut link = StreamLink::over(sent.into(), null.into()).unwrap();
        let mut inbox = Inbox::default();
        link.progress(&mut inbox).unwrap();
        assert!(inbox.received() < 3 * READ_MOST as u64, "{}", inbox.received());
        let mut messages = 0;
        loop {
            while inbox.take_bytes().unwrap().is_some() {
                messages += 1;
            }
            if link.progress(&mut inbox).is_err() {
                break;
            }
        }
        assert_eq!(messages, 4 * READ_MOST / PIECE, "the rest comes later");
    }

    #[test]
    fn what_was_said_before_the_end_still_arrives() {
        let (root, worker) = socket_pair().unwrap();
        let mut root: Peer<ToWorker, FromWorker> = Peer::new(Box::new(StreamLink::new(root).unwrap()));
        let mut worker: Peer<FromWorker, ToWorker> = Peer::new(Box::new(StreamLink::new(worker).unwrap()));
        root.queue(&ToWorker::Want(Hash::of(b"a")));
        root.flush().unwrap();
        worker.progress().unwrap();
        assert_eq!(worker.take().unwrap(), Some(ToWorker::Want(Hash::of(b"a"))));
        worker.queue(&FromWorker::Dying("out of luck".into()));
        worker.flush().unwrap();
        drop(worker);
        root.queue(&ToWorker::Retire);
        // The write fails, yet the last words are read first.
        root.flush().unwrap();
        root.progress().unwrap();
        assert_eq!(root.take().unwrap(), Some(FromWorker::Dying("out of luck".into())));
        assert!(matches!(root.progress(), Err(LinkError::Closed)));
    }
}
