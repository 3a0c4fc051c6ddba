//! The link to a worker that connects by itself, over TCP: srun hands on what a program prints in lines, 4 ms late.
//!
//! The root listens, one port for each worker, until the one that knows its password has called. Whoever calls
//! without it is not answered. This file knows neither who starts the worker nor how it learns the password.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::stream::StreamLink;
use super::{Link, LinkError};
use crate::wire::Inbox;

/// Callers heard out at a time.
const MOST_CALLERS: usize = 8;

/// The root's end.
pub struct DialLink(State);

enum State {
    /// Nobody has called who is the worker.
    Listening {
        listener: TcpListener,
        password: Vec<u8>,
        callers: Vec<Caller>,
        /// What the worker will get.
        outgoing: Vec<u8>,
    },
    /// It has.
    Connected(StreamLink),
}

/// Somebody who has not said the whole password.
struct Caller {
    stream: TcpStream,
    said: Vec<u8>,
}

impl DialLink {
    /// Listens for the worker that knows `password`; the port.
    pub fn listen(password: &str) -> io::Result<(Self, u16)> {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let password = password.as_bytes().to_vec();
        Ok((Self(State::Listening { listener, password, callers: Vec::new(), outgoing: Vec::new() }), port))
    }
}

/// Calls the root: the worker's end.
pub fn dial(address: IpAddr, port: u16, password: &str, patience: Duration) -> io::Result<StreamLink> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), patience)?;
    stream.set_nodelay(true)?;
    stream.write_all(password.as_bytes())?;
    StreamLink::new(stream.into())
}

impl Caller {
    /// `Some`: is it the worker? It has said enough to know, or has gone.
    fn is_worker(&mut self, password: &[u8]) -> Option<bool> {
        let mut bytes = vec![0; password.len() - self.said.len()];
        match self.stream.read(&mut bytes) {
            Ok(0) => Some(false),
            Ok(count) => {
                self.said.extend_from_slice(&bytes[..count]);
                let known = password.starts_with(&self.said);
                (!known || self.said.len() == password.len()).then_some(known)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            Err(_) => Some(false),
        }
    }
}

/// The worker, if it is among those who call.
fn answer(
    listener: &TcpListener,
    password: &[u8],
    callers: &mut Vec<Caller>,
) -> io::Result<Option<StreamLink>> {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        if callers.len() == MOST_CALLERS {
            callers.remove(0);
        }
        callers.push(Caller { stream, said: Vec::new() });
    }
    let mut at = 0;
    while at < callers.len() {
        match callers[at].is_worker(password) {
            None => at += 1,
            Some(false) => drop(callers.remove(at)),
            Some(true) => return StreamLink::new(callers.remove(at).stream.into()).map(Some),
        }
    }
    Ok(None)
}

impl Link for DialLink {
    fn send(&mut self, bytes: &mut Vec<u8>) -> Result<(), LinkError> {
        match &mut self.0 {
            State::Listening { outgoing, .. } => {
                outgoing.append(bytes);
                Ok(())
            }
            State::Connected(link) => link.send(bytes),
        }
    }

    fn progress(&mut self, inbox: &mut Inbox) -> Result<(), LinkError> {
        if let State::Listening { listener, password, callers, outgoing } = &mut self.0 {
            let failed = |error: io::Error| LinkError::Failed(error.to_string());
            let Some(mut link) = answer(listener, password, callers).map_err(failed)? else { return Ok(()) };
            link.send(outgoing)?;
            self.0 = State::Connected(link);
        }
        match &mut self.0 {
            State::Listening { .. } => Ok(()),
            State::Connected(link) => link.progress(inbox),
        }
    }

    fn backlog(&self) -> usize {
        match &self.0 {
            State::Listening { outgoing, .. } => outgoing.len(),
            State::Connected(link) => link.backlog(),
        }
    }

    fn poll_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        match &self.0 {
            State::Listening { listener, callers, .. } => {
                let callers = callers.iter().map(|caller| caller.stream.as_fd());
                [listener.as_fd()].into_iter().chain(callers).map(|fd| (fd, PollFlags::IN)).collect()
            }
            State::Connected(link) => link.poll_fds(),
        }
    }

    fn next_poll(&self, _now: Instant) -> Option<Instant> {
        None
    }

    fn set_quiet(&mut self, _quiet: bool) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FromWorker, Hash, ToWorker};
    use crate::transport::Peer;
    use crate::transport::wait::wait;
    use rustix::event::PollFd;

    const LONG: Duration = Duration::from_secs(30);

    /// Waits for the root's descriptors, once.
    fn step(root: &mut Peer<ToWorker, FromWorker>) -> Result<(), LinkError> {
        let link = root.link_ref();
        let mut fds: Vec<_> =
            link.poll_fds().into_iter().map(|(fd, f)| PollFd::from_borrowed_fd(fd, f)).collect();
        wait(&mut fds, Some(Instant::now() + LONG)).unwrap();
        drop(fds);
        root.progress()
    }

    #[test]
    fn only_who_knows_the_password_is_the_worker() {
        let (link, port) = DialLink::listen("open sesame").unwrap();
        let mut root: Peer<ToWorker, FromWorker> = Peer::new(Box::new(link));
        root.queue(&ToWorker::Want(Hash::of(b"a")));
        root.flush().unwrap();
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        // One is silent, one guesses, and one says only the beginning.
        let silent = TcpStream::connect((here, port)).unwrap();
        let _guess = dial(here, port, "open barley!", LONG).unwrap();
        let _begun = dial(here, port, "open", LONG).unwrap();
        let mut worker: Peer<FromWorker, ToWorker> =
            Peer::new(Box::new(dial(here, port, "open sesame", LONG).unwrap()));
        worker.queue(&FromWorker::Ready);
        worker.flush().unwrap();
        let came = loop {
            step(&mut root).unwrap();
            if let Some(message) = root.take().unwrap() {
                break message;
            }
        };
        assert_eq!(came, FromWorker::Ready);
        while worker.take().unwrap() != Some(ToWorker::Want(Hash::of(b"a"))) {
            worker.progress().unwrap();
            root.flush().unwrap();
        }
        drop(silent);
        drop(worker);
        assert!(matches!(step(&mut root), Err(LinkError::Closed)));
        assert!(TcpStream::connect((here, port)).is_err(), "nobody listens any more");
    }
}
