//! A connection that the other side makes, over TCP: workers of srun, which hands on what a program prints in lines,
//! 4 ms late; and the lifelines of workers of MPI, on which nothing is said.
//!
//! The root listens, one port for each worker, until the one that was invited has called. Whoever calls without the
//! password is not answered. This file knows neither who starts the worker nor how the invitation reaches it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::rand::{GetRandomFlags, getrandom};

use super::stream::StreamLink;
use super::{Link, LinkError};
use crate::wire::Inbox;

/// Callers heard out at a time.
const MOST_CALLERS: usize = 8;

/// Where to call, and what to say there. Its text is `PORT PASSWORD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    port: u16,
    password: String,
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.port, self.password)
    }
}

impl FromStr for Invitation {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let (port, password) = text.trim_end().split_once(' ').unwrap_or_default();
        let port = port.parse().map_err(|_| io::Error::other(format!("`{text}` is no invitation")))?;
        Ok(Self { port, password: password.into() })
    }
}

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
    /// Listens for the worker that will have the invitation.
    pub fn listen() -> io::Result<(Self, Invitation)> {
        let mut random = [0; 16];
        getrandom(&mut random, GetRandomFlags::empty())?;
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let invitation = Invitation { port, password };
        let password = invitation.password.clone().into_bytes();
        let state = State::Listening { listener, password, callers: Vec::new(), outgoing: Vec::new() };
        Ok((Self(state), invitation))
    }
}

/// Calls the root, as it was told to.
pub fn dial(address: IpAddr, invitation: &Invitation, patience: Duration) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, invitation.port), patience)?;
    stream.set_nodelay(true)?;
    stream.write_all(invitation.password.as_bytes())?;
    Ok(stream)
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
        let (link, invitation) = DialLink::listen().unwrap();
        let invitation: Invitation = invitation.to_string().parse().unwrap();
        let port = invitation.port;
        let mut root: Peer<ToWorker, FromWorker> = Peer::new(Box::new(link));
        root.queue(&ToWorker::Want(Hash::of(b"a")));
        root.flush().unwrap();
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        // One is silent, one guesses, and one says only the beginning.
        let silent = TcpStream::connect((here, port)).unwrap();
        let says = |password: &str| {
            let invitation = Invitation { port, password: password.into() };
            dial(here, &invitation, LONG).unwrap()
        };
        let _guess = says("open sesame, open sesame, open!!");
        let _begun = says(&invitation.password[..4]);
        let link = StreamLink::new(says(&invitation.password).into()).unwrap();
        let mut worker: Peer<FromWorker, ToWorker> = Peer::new(Box::new(link));
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
