//! The lifeline of a worker of MPI, over TCP: whoever stands in for the worker has called the root, and each learns of the
//! other's end by that of the connection.
//!
//! Nothing is said on it but one byte, the root's, that it has heard who calls. So an end after that byte is the other
//! one's; whatever else becomes of the connection (a firewall that resets what is idle, a network that is gone) tells
//! nothing about anybody, and both go on without.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::PollFlags;

use crate::transport::dial::{Invitation, Listener, dial};

/// What the root says to who has called.
const HEARD: u8 = b'h';

/// The root's end.
pub struct RootsEnd(State);

enum State {
    /// Nobody has called.
    Awaited(Listener),
    /// Somebody has.
    Held(TcpStream),
    /// Silence says it then.
    Lost,
}

impl RootsEnd {
    /// Listens for whoever will have the invitation.
    pub fn listen() -> io::Result<(Self, Invitation)> {
        let (listener, invitation) = Listener::new()?;
        Ok((Self(State::Awaited(listener)), invitation))
    }

    /// Has the other end said that the worker has ended, or does its node not answer any more?
    pub fn has_ended(&mut self) -> bool {
        if let State::Awaited(listener) = &mut self.0 {
            let Some(met) = listener.answer() else { return false };
            self.0 = held(met.stream).map_or(State::Lost, State::Held);
        }
        let State::Held(stream) = &mut self.0 else { return false };
        match stream.read(&mut [0]) {
            Ok(0) => return true,
            Err(error) if is_nothing(&error) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => return true,
            // It has nothing to say.
            Ok(_) | Err(_) => self.0 = State::Lost,
        }
        false
    }

    /// What to wait for.
    pub fn poll_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        match &self.0 {
            State::Awaited(listener) => listener.poll_fds(),
            State::Held(stream) => vec![(stream.as_fd(), PollFlags::IN)],
            State::Lost => Vec::new(),
        }
    }
}

fn held(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.write_all(&[HEARD])?;
    Ok(stream)
}

/// What became of the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It has ended, or has no use for the worker any more.
    Ended,
    /// It cannot be known: there is no lifeline any more.
    Lost,
}

/// The end of whoever stands in for the worker.
pub struct WorkersEnd {
    stream: TcpStream,
    heard: bool,
}

impl WorkersEnd {
    /// Calls the root, as [`dial`] does.
    pub fn call(
        address: IpAddr,
        invitation: &Invitation,
        patience: Duration,
        gone: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let stream = dial(address, invitation, patience, Some(gone))?.stream;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, heard: false })
    }

    /// What came, if it is the last thing.
    pub fn news(&mut self) -> Option<News> {
        let mut byte = [0];
        loop {
            match self.stream.read(&mut byte) {
                Ok(0) if self.heard => return Some(News::Ended),
                Ok(0) => return Some(News::Lost),
                Ok(_) => self.heard = true,
                Err(error) if is_nothing(&error) => return None,
                Err(_) => return Some(News::Lost),
            }
        }
    }

    /// Says that the worker has ended. News come all the same.
    pub fn say_ended(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl AsFd for WorkersEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::wait::wait;
    use rustix::event::PollFd;
    use rustix::net::sockopt;
    use std::net::Ipv4Addr;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(30);

    /// Waits until `fds` have something, once.
    fn await_any(fds: Vec<(BorrowedFd<'_>, PollFlags)>) {
        let mut fds: Vec<_> = fds.into_iter().map(|(fd, f)| PollFd::from_borrowed_fd(fd, f)).collect();
        wait(&mut fds, Some(Instant::now() + LONG)).unwrap();
        assert!(fds.iter().any(|fd| !fd.revents().is_empty()), "nothing came");
    }

    fn call(invitation: &Invitation, gone: BorrowedFd<'_>) -> WorkersEnd {
        WorkersEnd::call(Ipv4Addr::LOCALHOST.into(), invitation, LONG, gone).unwrap()
    }

    /// Both ends, each of which knows of the other.
    fn line() -> (RootsEnd, WorkersEnd) {
        let (_open, never) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map(|(read, write)| (write, read))
            .unwrap();
        let (mut root, invitation) = RootsEnd::listen().unwrap();
        let mut worker = call(&invitation, never.as_fd());
        while matches!(root.0, State::Awaited(_)) {
            await_any(root.poll_fds());
            assert!(!root.has_ended());
        }
        while !worker.heard {
            await_any(vec![(worker.as_fd(), PollFlags::IN)]);
            assert_eq!(worker.news(), None);
        }
        (root, worker)
    }

    fn news(worker: &mut WorkersEnd) -> News {
        await_any(vec![(worker.as_fd(), PollFlags::IN)]);
        worker.news().expect("the last thing")
    }

    /// As a firewall does.
    fn reset(stream: TcpStream) {
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }

    #[test]
    fn each_end_is_told_to_the_other_one() {
        let (mut root, mut worker) = line();
        worker.say_ended();
        await_any(root.poll_fds());
        assert!(root.has_ended());
        assert_eq!(worker.news(), None, "the root is there");
        drop(root);
        assert_eq!(news(&mut worker), News::Ended);
        let (mut root, worker) = line();
        drop(worker);
        await_any(root.poll_fds());
        assert!(root.has_ended());
    }

    #[test]
    fn a_connection_that_is_reset_is_nobodys_end() {
        let (mut root, worker) = line();
        reset(worker.stream);
        await_any(root.poll_fds());
        assert!(!root.has_ended());
        assert!(root.poll_fds().is_empty(), "silence says it from now on");
        assert!(!root.has_ended());
        let (root, mut worker) = line();
        let State::Held(stream) = root.0 else { panic!("held") };
        reset(stream);
        assert_eq!(news(&mut worker), News::Lost);
    }

    #[test]
    fn who_was_never_heard_does_not_take_an_end_for_the_roots() {
        let (_open, never) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map(|(read, write)| (write, read))
            .unwrap();
        let (mut root, invitation) = RootsEnd::listen().unwrap();
        let mut worker = call(&invitation, never.as_fd());
        let State::Awaited(listener) = &mut root.0 else { panic!("awaited") };
        // The root could not keep it.
        await_any(listener.poll_fds());
        while listener.answer().is_none() {
            await_any(listener.poll_fds());
        }
        assert_eq!(news(&mut worker), News::Lost);
    }

    #[test]
    fn both_ends_are_kept_alive() {
        let (root, worker) = line();
        let State::Held(stream) = &root.0 else { panic!("held") };
        for end in [stream, &worker.stream] {
            assert!(sockopt::socket_keepalive(end).unwrap());
        }
    }
}
