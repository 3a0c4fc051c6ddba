//! A connection that the other side makes, over TCP: workers of srun, which hands on what a program prints in lines,
//! 4 ms late; and the lifelines of workers of MPI.
//!
//! The root listens, one port for each worker, until the one that was invited has called. Whoever calls without the key
//! of the invitation is not answered, and the key itself is never said. Where nothing is said for long the system keeps
//! the connection alive. This file knows neither who starts the worker nor how the invitation reaches it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

use super::sealed::{GREETING_BYTES, Greeting, Handshake, Key, SealedLink};
use super::stream::{LONGEST_UNTAKEN, StreamLink, untaken};
use super::wait::wait;
use super::{Link, LinkError};
use crate::wire::{Inbox, Outgoing};

/// Callers that the system lets wait to be heard.
const BACKLOG: i32 = 128;
/// Callers heard out at a time.
const MOST_CALLERS: usize = 32;
/// So long each of them may take, where others want to be heard.
const TO_SPEAK: Duration = Duration::from_secs(1);
/// So long nothing is said before the system asks whether the other end is there,
const IDLE: Duration = Duration::from_secs(60);
/// so often it asks again,
const AGAIN: Duration = Duration::from_secs(20);
/// and so many times without an answer before it gives the connection up; as it does where what was said is not taken for so long
/// ([`LONGEST_UNTAKEN`]).
const TIMES: u32 = 6;
/// Who calls asks so much sooner: cut off, it ends before whoever was called gives its work to somebody else.
const SOONER: Duration = Duration::from_secs(15);
/// So long nobody is answered when the system has no descriptor for it.
const PAUSE: Duration = Duration::from_secs(1);

/// Where to call, and the key that whoever answers there has too. Its text is `PORT KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    port: u16,
    key: Key,
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.port, self.key)
    }
}

impl FromStr for Invitation {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let (port, key) = text.trim_end().split_once(' ').unwrap_or_default();
        match (port.parse(), key.parse()) {
            (Ok(port), Ok(key)) => Ok(Self { port, key }),
            // It is not repeated: a part of it may be the key.
            _ => Err(io::Error::other("what was handed on is no invitation")),
        }
    }
}

/// Waits for the one that was invited.
pub struct Listener {
    listener: TcpListener,
    key: Key,
    /// The oldest first.
    callers: Vec<Caller>,
    /// Nobody further is answered until then.
    deaf_until: Option<Instant>,
}

/// Somebody who has not said the whole greeting.
struct Caller {
    stream: TcpStream,
    greeting: Greeting,
    /// So much of it was said (B).
    said: usize,
    since: Instant,
}

/// Two that have the same key, after the first of them has spoken.
pub struct Met {
    /// Nothing else was said there.
    pub stream: TcpStream,
    handshake: Handshake,
}

impl Met {
    /// Who was called answers.
    fn answer(self) -> io::Result<SealedLink> {
        let Self { mut stream, handshake } = self;
        let (seal, greeting) = handshake.answer().map_err(io::Error::other)?;
        // A socket on which nothing was written takes so little at once.
        stream.write_all(&greeting)?;
        Ok(SealedLink::new(StreamLink::new(stream.into())?, seal))
    }

    /// Who has called waits for the answer.
    pub fn answered(self, patience: Duration) -> io::Result<SealedLink> {
        let Self { mut stream, handshake } = self;
        let limit = Instant::now() + patience;
        let (mut greeting, mut heard) = ([0; GREETING_BYTES], 0);
        while heard < greeting.len() {
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            match stream.read(&mut greeting[heard..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => heard += count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        let stranger = |_| io::Error::other("who answers there is not the root that invited this worker");
        let seal = handshake.answered(&greeting).map_err(stranger)?;
        Ok(SealedLink::new(StreamLink::new(stream.into())?, seal))
    }
}

impl Listener {
    /// Listens for whoever will have the invitation.
    pub fn new() -> io::Result<(Self, Invitation)> {
        let key = Key::random()?;
        let listener =
            listen(Ipv6Addr::UNSPECIFIED.into()).or_else(|_| listen(Ipv4Addr::UNSPECIFIED.into()))?;
        let port = listener.local_addr()?.port();
        let invitation = Invitation { port, key: key.clone() };
        Ok((Self { listener, key, callers: Vec::new(), deaf_until: None }, invitation))
    }

    /// The one that was invited, if it is among those who call.
    pub fn answer(&mut self) -> Option<Met> {
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
                Ok(stream) => {
                    let greeting = [0; GREETING_BYTES];
                    self.callers.push(Caller { stream, greeting, said: 0, since: now });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                // It stays readable, so whoever waits for it would never sleep.
                Err(_) => self.deaf_until = Some(now + PAUSE),
            }
        }
    }

    /// Listens to all who are there; is one of them the one that was invited?
    fn hear(&mut self) -> Option<Met> {
        let mut at = 0;
        while at < self.callers.len() {
            match self.callers[at].greeting() {
                Ok(None) => at += 1,
                Ok(Some(greeting)) => {
                    let stream = self.callers.remove(at).stream;
                    if let Ok(handshake) = Handshake::hear(&self.key, &greeting) {
                        return Some(Met { stream, handshake });
                    }
                }
                Err(_) => drop(self.callers.remove(at)),
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
        let silent = |caller: &Caller| caller.said == 0 && caller.since + TO_SPEAK <= now;
        let silent = self.callers.iter().position(silent);
        drop(self.callers.remove(silent.unwrap_or(0)));
        true
    }

    fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        set_up(&stream, IDLE)?;
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
    /// What it said, once it has said all of it.
    fn greeting(&mut self) -> io::Result<Option<Greeting>> {
        match self.stream.read(&mut self.greeting[self.said..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.said += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok((self.said == GREETING_BYTES).then_some(self.greeting))
    }
}

fn set_up(stream: &TcpStream, idle: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    untaken(stream, LONGEST_UNTAKEN)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, idle)?;
    sockopt::set_tcp_keepintvl(stream, AGAIN)?;
    Ok(sockopt::set_tcp_keepcnt(stream, TIMES)?)
}

/// Listens at all addresses of this family; at those of IPv6 for IPv4 too, whatever the system does by default.
fn listen(address: IpAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    bind(&socket, &SocketAddr::new(address, 0))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Calls the root, as it was told to, for as long as `patience` lasts and `gone` has nothing to say.
pub fn dial(
    address: IpAddr,
    invitation: &Invitation,
    patience: Duration,
    gone: Option<BorrowedFd<'_>>,
) -> io::Result<Met> {
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
    set_up(&stream, IDLE - SOONER)?;
    let (handshake, greeting) = Handshake::begin(&invitation.key).map_err(io::Error::other)?;
    stream.write_all(&greeting)?;
    Ok(Met { stream, handshake })
}

/// The root's end.
pub struct DialLink(State);

enum State {
    /// Nobody has called who is the worker; what it will get.
    Listening(Listener, Outgoing),
    /// It has.
    Connected(Box<SealedLink>),
}

impl DialLink {
    /// Listens for the worker that will have the invitation.
    pub fn listen() -> io::Result<(Self, Invitation)> {
        let (listener, invitation) = Listener::new()?;
        Ok((Self(State::Listening(listener, Outgoing::default())), invitation))
    }
}

impl Link for DialLink {
    fn send(&mut self, bytes: &mut Outgoing) -> Result<(), LinkError> {
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
            let mut link = worker.answer().map_err(failed)?;
            link.send(outgoing)?;
            self.0 = State::Connected(Box::new(link));
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

    fn next_poll(&self, _now: Instant, _backed_up: bool) -> Option<Instant> {
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
    use crate::wire;
    use std::thread;

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
    fn only_who_has_the_key_is_the_worker() {
        let (link, invitation) = DialLink::listen().unwrap();
        let invitation: Invitation = invitation.to_string().parse().unwrap();
        let port = invitation.port;
        let mut root: Peer<ToWorker, FromWorker> = Peer::new(Box::new(link));
        root.queue(&ToWorker::Want(Hash::of(b"a")));
        root.flush().unwrap();
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        // One is silent, one has a key of its own, one says only the beginning, and one speaks another language.
        let silent = TcpStream::connect((here, port)).unwrap();
        let _guess = dial(here, &Invitation { port, key: Key::random().unwrap() }, LONG, None).unwrap();
        let (_, greeting) = Handshake::begin(&invitation.key).unwrap();
        let mut begun = TcpStream::connect((here, port)).unwrap();
        begun.write_all(&greeting[..4]).unwrap();
        let mut other = TcpStream::connect((here, port)).unwrap();
        other.write_all(b"GET / HTTP/1.1\r\nHost: node1\r\nAccept: */*\r\n\r\n").unwrap();
        let called = dial(here, &invitation, LONG, None).unwrap();
        let worker = thread::spawn(move || {
            let mut link = called.answered(LONG).unwrap();
            let mut bytes = Outgoing::default();
            bytes.put(&FromWorker::Ready, wire::MESSAGE_LIMIT).unwrap();
            link.send(&mut bytes).unwrap();
            link
        });
        let came = loop {
            step(&mut root).unwrap();
            if let Some(message) = root.take().unwrap() {
                break message;
            }
        };
        assert_eq!(came, FromWorker::Ready);
        let mut worker: Peer<FromWorker, ToWorker> = Peer::new(Box::new(worker.join().unwrap()));
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
    fn answered(listener: &mut Listener) -> Met {
        let limit = Instant::now() + LONG;
        loop {
            if let Some(met) = listener.answer() {
                return met;
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
        invited.write_all(&Handshake::begin(&invitation.key).unwrap().1).unwrap();
        let heard = answered(&mut listener).stream;
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
        let invitation = Invitation { port, key: Key::random().unwrap() };
        // One may wait to be answered: what the next one says is lost.
        let _first = dial(here.ip(), &invitation, LONG, None).unwrap();
        let (gone, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let call =
            |patience| dial(here.ip(), &invitation, patience, Some(gone.as_fd())).err().unwrap().kind();
        assert_eq!(call(Duration::from_millis(50)), ErrorKind::TimedOut);
        drop(end);
        assert_eq!(call(LONG), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_worker_believes_only_the_root_that_invited_it() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let call = || dial(here, &Invitation { port, key: Key::random().unwrap() }, LONG, None).unwrap();
        let refused = |met: Met, patience| met.answered(patience).err().unwrap();
        let met = call();
        let (mut stranger, _) = listener.accept().unwrap();
        stranger.write_all(&Handshake::begin(&Key::random().unwrap()).unwrap().1).unwrap();
        assert!(refused(met, LONG).to_string().contains("is not the root that invited this worker"));
        let met = call();
        assert_eq!(refused(met, Duration::from_millis(20)).kind(), ErrorKind::TimedOut);
        let met = call();
        drop((stranger, listener));
        assert!(matches!(refused(met, LONG).kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof));
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
