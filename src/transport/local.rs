//! The link to a worker on the root's own node: a socket to a child process. Waits cost nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::{Link, LinkError};
use crate::wire::Inbox;

/// Room to read into at the least (B).
const READ_BYTES: usize = 64 * 1024;

/// One end of a stream socket.
pub struct LocalLink {
    socket: OwnedFd,
    /// What the socket did not take yet.
    rest: Vec<u8>,
    sent: usize,
}

impl LocalLink {
    /// Takes over a connected stream socket.
    pub fn new(socket: OwnedFd) -> std::io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self { socket, rest: Vec::new(), sent: 0 })
    }

    fn push(&mut self) -> Result<(), LinkError> {
        while self.sent < self.rest.len() {
            match send(&self.socket, &self.rest[self.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(link_error(error)),
            }
        }
        self.rest.clear();
        self.sent = 0;
        Ok(())
    }
}

impl Link for LocalLink {
    fn send(&mut self, bytes: &mut Vec<u8>) -> Result<(), LinkError> {
        if self.rest.is_empty() {
            std::mem::swap(&mut self.rest, bytes);
        } else {
            self.rest.append(bytes);
        }
        self.push()
    }

    fn progress(&mut self, inbox: &mut Inbox) -> Result<(), LinkError> {
        // A peer that died may have said why: read before a failed write is reported.
        let pushed = self.push();
        let mut total = 0;
        loop {
            let space = inbox.space(READ_BYTES);
            let room = space.len();
            match recv(&self.socket, space, RecvFlags::empty()) {
                Ok((_, 0)) if total > 0 => return Ok(()),
                Ok((_, 0)) => return Err(LinkError::Closed),
                Ok((_, count)) => {
                    inbox.filled(count);
                    total += count;
                    if count < room {
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
        self.rest.len() - self.sent
    }

    fn poll_fd(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let write = if self.backlog() > 0 { PollFlags::OUT } else { PollFlags::empty() };
        Some((self.socket.as_fd(), PollFlags::IN | write))
    }

    fn next_poll(&self, _now: Instant) -> Option<Instant> {
        None
    }

    fn set_quiet(&mut self, _quiet: bool) {}
}

fn link_error(error: Errno) -> LinkError {
    match error {
        Errno::PIPE | Errno::CONNRESET => LinkError::Closed,
        other => LinkError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FromWorker, Hash, ToWorker};
    use crate::transport::Peer;
    use crate::wire::socket_pair;

    #[test]
    fn what_was_said_before_the_end_still_arrives() {
        let (root, worker) = socket_pair().unwrap();
        let mut root: Peer<ToWorker, FromWorker> = Peer::new(Box::new(LocalLink::new(root).unwrap()));
        let mut worker: Peer<FromWorker, ToWorker> = Peer::new(Box::new(LocalLink::new(worker).unwrap()));
        root.queue(&ToWorker::Want(Hash::of(b"a")));
        root.flush().unwrap();
        worker.progress().unwrap();
        assert_eq!(worker.take().unwrap(), Some(ToWorker::Want(Hash::of(b"a"))));
        worker.queue(&FromWorker::Dying("out of luck".into()));
        worker.flush().unwrap();
        drop(worker);
        root.queue(&ToWorker::Retire);
        // The write fails, yet the last words are read first.
        let _ = root.flush();
        root.progress().unwrap();
        assert_eq!(root.take().unwrap(), Some(FromWorker::Dying("out of luck".into())));
        assert!(matches!(root.progress(), Err(LinkError::Closed)));
    }
}
