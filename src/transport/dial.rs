//! A connection that the other side makes, over TCP: workers of srun, which hands on what a program prints in lines,
//! 4 ms late; and the lifelines of workers of MPI.
//!
//! The root listens, one port for each worker, until the one that was invited has called. Whoever calls without the
//! password is not answered. Where nothing is said for long the system keeps the connection alive. This file knows
//! neither who starts the worker nor how the invitation reaches it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use rustix::rand::{GetRandomFlags, getrandom};

use super::stream::StreamLink;
use super::wait::wait;
use super::{Link, LinkError};
use crate::wire::Inbox;

/// Callers heard out at a time.
const MOST_CALLERS: usize = 8;
/// So long each of them may take, where others want to be heard.
const TO_SPEAK: Duration = Duration::from_secs(1);
/// So long nothing is said before the system asks whether the other end is there,
const IDLE: Duration = Duration::from_secs(60);
/// so often it asks again,
const AGAIN: Duration = Duration::from_secs(20);
/// and so many times without an answer before it gives the connection up.
const TIMES: u32 = 6;
/// So long nobody is answered when the system has no descriptor for it.
const PAUSE: Duration = Duration::from_secs(1);

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

/// Waits for the one that was invited.
pub struct Listener {
    listener: TcpListener,
    password: Vec<u8>,
    /// The oldest first.
    callers: Vec<Caller>,
    /// Nobody further is answered until then.
    deaf_until: Option<Instant>,
}

/// Somebody who has not said the whole password.
struct Caller {
    stream: TcpStream,
    said: Vec<u8>,
    since: Instant,
}

impl Listener {
    /// Listens for whoever will have the invitation.
    pub fn new() -> io::Result<(Self, Invitation)> {
        let mut random = [0; 16];
        getrandom(&mut random, GetRandomFlags::empty())?;
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let invitation = Invitation { port, password };
        let password = invitation.password.clone().into_bytes();
        Ok((Self { listener, password, callers: Vec::new(), deaf_until: None }, invitation))
    }

    /// The one that was invited, if it is among those who call.
    pub fn answer(&mut self) -> Option<TcpStream> {
        let now = Instant::now();
        self.deaf_until = self.deaf_until.filter(|until| now < *until);
        loop {
            if let Some(worker) = self.hear() {
                return Some(worker);
            }
            if self.deaf_until.is_some() || !self.has_room(now) {
                return None;
            }
            match self.accept() {
                Ok(stream) => self.callers.push(Caller { stream, said: Vec::new(), since: now }),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                // It stays readable, so whoever waits for it would never sleep.
                Err(_) => self.deaf_until = Some(now + PAUSE),
            }
        }
    }

    /// Listens to all who are there; is one of them the one that was invited?
    fn hear(&mut self) -> Option<TcpStream> {
        let mut at = 0;
        while at < self.callers.len() {
            match self.callers[at].is_invited(&self.password) {
                None => at += 1,
                Some(false) => drop(self.callers.remove(at)),
                Some(true) => return Some(self.callers.remove(at).stream),
            }
        }
        None
    }

    /// Is there room for one more? Who has been silent for long goes first; while nobody had time to speak the next ones
    /// wait.
    fn has_room(&mut self, now: Instant) -> bool {
        let Some(oldest) = self.callers.first().filter(|_| self.callers.len() >= MOST_CALLERS) else {
            return true;
        };
        let until = oldest.since + TO_SPEAK;
        if now < until {
            self.deaf_until = Some(until);
            return false;
        }
        let silent = |caller: &Caller| caller.said.is_empty() && caller.since + TO_SPEAK <= now;
        let silent = self.callers.iter().position(silent);
        drop(self.callers.remove(silent.unwrap_or(0)));
        true
    }

    fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        set_up(&stream)?;
        Ok(stream)
    }

    /// What to wait for.
    pub fn poll_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let listener = self.deaf_until.is_none().then(|| self.listener.as_fd());
        let callers = self.callers.iter().map(|caller| caller.stream.as_fd());
        listener.into_iter().chain(callers).map(|fd| (fd, PollFlags::IN)).collect()
    }

    /// When to look again at the latest.
    pub fn next_poll(&self) -> Option<Instant> {
        self.deaf_until
    }
}

impl Caller {
    /// `Some`: was it invited? It has said enough to know, or has gone.
    fn is_invited(&mut self, password: &[u8]) -> Option<bool> {
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

fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, IDLE)?;
    sockopt::set_tcp_keepintvl(stream, AGAIN)?;
    Ok(sockopt::set_tcp_keepcnt(stream, TIMES)?)
}

/// Calls the root, as it was told to, for as long as `patience` lasts and `gone` has nothing to say.
pub fn dial(
    address: IpAddr,
    invitation: &Invitation,
    patience: Duration,
    gone: Option<BorrowedFd<'_>>,
) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    let limit = Instant::now() + patience;
    match connect(&socket, &SocketAddr::new(address, invitation.port)) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    loop {
        let gone = gone.map(|gone| PollFd::from_borrowed_fd(gone, PollFlags::IN));
        let mut fds: Vec<_> = [PollFd::new(&socket, PollFlags::OUT)].into_iter().chain(gone).collect();
        wait(&mut fds, Some(limit))?;
        if !fds[0].revents().is_empty() {
            break;
        }
        if fds[1..].iter().any(|fd| !fd.revents().is_empty()) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if Instant::now() >= limit {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    sockopt::socket_error(&socket)??;
    let mut stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    set_up(&stream)?;
    stream.write_all(invitation.password.as_bytes())?;
    Ok(stream)
}

/// The root's end.
pub struct DialLink(State);

enum State {
    /// Nobody has called who is the worker; what it will get.
    Listening(Listener, Vec<u8>),
    /// It has.
    Connected(StreamLink),
}

impl DialLink {
    /// Listens for the worker that will have the invitation.
    pub fn listen() -> io::Result<(Self, Invitation)> {
        let (listener, invitation) = Listener::new()?;
        Ok((Self(State::Listening(listener, Vec::new())), invitation))
    }
}

impl Link for DialLink {
    fn send(&mut self, bytes: &mut Vec<u8>) -> Result<(), LinkError> {
        match &mut self.0 {
            State::Listening(_, outgoing) => {
                outgoing.append(bytes);
                Ok(())
            }
            State::Connected(link) => link.send(bytes),
        }
    }

    fn progress(&mut self, inbox: &mut Inbox) -> Result<(), LinkError> {
        if let State::Listening(listener, outgoing) = &mut self.0 {
            let Some(worker) = listener.answer() else { return Ok(()) };
            let failed = |error: io::Error| LinkError::Failed(error.to_string());
            let mut link = StreamLink::new(worker.into()).map_err(failed)?;
            link.send(outgoing)?;
            self.0 = State::Connected(link);
        }
        match &mut self.0 {
            State::Listening(..) => Ok(()),
            State::Connected(link) => link.progress(inbox),
        }
    }

    fn backlog(&self) -> usize {
        match &self.0 {
            State::Listening(_, outgoing) => outgoing.len(),
            State::Connected(link) => link.backlog(),
        }
    }

    fn poll_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        match &self.0 {
            State::Listening(listener, _) => listener.poll_fds(),
            State::Connected(link) => link.poll_fds(),
        }
    }

    fn next_poll(&self, _now: Instant) -> Option<Instant> {
        match &self.0 {
            State::Listening(listener, _) => listener.next_poll(),
            State::Connected(_) => None,
        }
    }

    fn set_quiet(&mut self, _quiet: bool) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FromWorker, Hash, ToWorker};
    use crate::transport::Peer;

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
            dial(here, &invitation, LONG, None).unwrap()
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

    /// Waits as a root does, until the one that was invited has called.
    fn answered(listener: &mut Listener) -> TcpStream {
        let limit = Instant::now() + LONG;
        loop {
            if let Some(stream) = listener.answer() {
                return stream;
            }
            assert!(Instant::now() < limit, "nobody was heard");
            let fds = listener.poll_fds();
            let mut fds: Vec<_> = fds.into_iter().map(|(fd, f)| PollFd::from_borrowed_fd(fd, f)).collect();
            wait(&mut fds, Some(listener.next_poll().unwrap_or(limit))).unwrap();
        }
    }

    #[test]
    fn no_crowd_of_strangers_keeps_the_invited_one_out() {
        let (mut listener, invitation) = Listener::new().unwrap();
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let strangers = |count: usize| -> Vec<TcpStream> {
            (0..count).map(|_| TcpStream::connect((here, invitation.port)).unwrap()).collect()
        };
        // It has called, and will speak in a moment.
        let mut invited = TcpStream::connect((here, invitation.port)).unwrap();
        let _crowd = strangers(2 * MOST_CALLERS);
        assert!(listener.answer().is_none());
        assert_eq!(listener.callers.len(), MOST_CALLERS);
        assert!(listener.next_poll().is_some(), "the next ones wait");
        assert_eq!(listener.poll_fds().len(), MOST_CALLERS, "and nobody is woken by them");
        invited.write_all(invitation.password.as_bytes()).unwrap();
        let heard = answered(&mut listener);
        assert_eq!(heard.peer_addr().unwrap().port(), invited.local_addr().unwrap().port());
        // Nor does one that comes last wait for ever.
        let (mut listener, invitation) = Listener::new().unwrap();
        let _crowd: Vec<_> =
            (0..=MOST_CALLERS).map(|_| TcpStream::connect((here, invitation.port)).unwrap()).collect();
        let _invited = dial(here, &invitation, LONG, None).unwrap();
        answered(&mut listener);
    }

    #[test]
    fn a_call_ends_with_the_one_it_was_for() {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &here).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let socket = TcpListener::from(socket);
        let port = socket.local_addr().unwrap().port();
        let invitation = Invitation { port, password: "x".into() };
        // One may wait to be answered: what the next one says is lost.
        let _first = dial(here.ip(), &invitation, LONG, None).unwrap();
        let (gone, end) = rustix::pipe::pipe().unwrap();
        let call = |patience| dial(here.ip(), &invitation, patience, Some(gone.as_fd())).unwrap_err().kind();
        assert_eq!(call(Duration::from_millis(50)), ErrorKind::TimedOut);
        drop(end);
        assert_eq!(call(LONG), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_system_that_does_not_answer_is_not_asked_again_at_once() {
        let (mut listener, _) = Listener::new().unwrap();
        // Nobody can be accepted there: an error, and not that nobody calls.
        let deaf = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        listener.listener = TcpListener::from(deaf);
        let before = Instant::now();
        assert!(listener.answer().is_none());
        assert!(listener.poll_fds().is_empty());
        assert!(listener.next_poll().is_some_and(|then| then >= before + PAUSE));
    }
}
