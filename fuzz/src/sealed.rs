//! Strangers, the invited one, and somebody on the way: whatever any of them says, only what who has the key has said
//! arrives, and nobody keeps the invited one out.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use harness::model::{FromWorker, Hash, ToWorker};
use harness::transport::dial::{DialLink, Invitation, dial};
use harness::transport::sealed::{GREETING_BYTES, Greeting, Handshake, Key, Seal, SealedLink};
use harness::transport::stream::StreamLink;
use harness::transport::{Link, LinkError, Peer};
use harness::wire::{Inbox, Outgoing, socket_pair};
use rustix::net::sockopt::set_socket_linger;

/// Of every two parties of this target.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const LONG: Duration = Duration::from_secs(5);

fn key() -> Key {
    KEY.parse().expect("it is one")
}

/// The first two messages, changed on the way.
fn greetings(data: &[u8]) {
    let (began, first) = Handshake::begin(&key()).expect("there is a random number");
    let mut said: Greeting = first;
    said.iter_mut().zip(data).for_each(|(byte, change)| *byte ^= change);
    let heard = Handshake::hear(&key(), &said);
    assert_eq!(heard.is_ok(), said == first, "who has not the key is taken for one who has it");
    let Ok(heard) = heard else { return };
    let (_, answer) = heard.answer().expect("both have said who they are");
    let mut said = answer;
    said.iter_mut().zip(data.iter().skip(GREETING_BYTES)).for_each(|(byte, change)| *byte ^= change);
    assert_eq!(began.answered(&said).is_ok(), said == answer);
}

fn seals() -> (Seal, Seal) {
    let (began, greeting) = Handshake::begin(&key()).expect("there is a random number");
    let heard = Handshake::hear(&key(), &greeting).expect("it has the key");
    let (ours, greeting) = heard.answer().expect("both have said who they are");
    (began.answered(&greeting).expect("it has the key"), ours)
}

/// What was sealed, with these changes on the way (two bytes each: where, and what), then anything at all.
fn on_the_way(data: &[u8]) {
    let (theirs, ours) = seals();
    let (sender, tap) = socket_pair().expect("there are sockets");
    let (further, receiver) = socket_pair().expect("there are sockets");
    let mut sender = SealedLink::new(StreamLink::new(sender).expect("a socket"), theirs);
    let mut receiver = SealedLink::new(StreamLink::new(receiver).expect("a socket"), ours);
    let said: Vec<u8> = (0..40).collect();
    said.chunks(20).for_each(|part| sender.send(&mut outgoing(part)).expect("somebody listens"));
    let mut bytes = [0; 256];
    let count = rustix::io::read(&tap, &mut bytes).expect("it was just said");
    let (changes, behind) = data.split_at(data.len() / 2 / 2 * 2);
    for change in changes.chunks_exact(2) {
        bytes[usize::from(change[0]) % count] ^= change[1];
    }
    rustix::io::write(&further, &bytes[..count]).expect("there is room");
    rustix::io::write(&further, &behind[..behind.len().min(4096)]).expect("there is room");
    let mut inbox = Inbox::default();
    let result = receiver.progress(&mut inbox);
    assert!(!matches!(result, Err(LinkError::Closed)));
    let heard = inbox.received() as usize;
    assert!(heard <= said.len() && heard.is_multiple_of(20), "{heard} B were heard");
}

fn outgoing(bytes: &[u8]) -> Outgoing {
    let mut outgoing = Outgoing::default();
    outgoing.tail().extend_from_slice(bytes);
    outgoing
}

/// A stranger, who goes without a trace.
fn call(address: IpAddr, invitation: &Invitation) -> TcpStream {
    let port = invitation.to_string().split(' ').next().and_then(|port| port.parse().ok());
    let stream = TcpStream::connect((address, port.expect("it has a port"))).expect("somebody listens");
    set_socket_linger(&stream, Some(Duration::ZERO)).expect("it is a socket");
    stream
}

/// Strangers call, each says a piece, then the one that was invited, who says the rest, as messages and beside them.
fn callers(data: &[u8]) {
    let here = IpAddr::from(Ipv4Addr::LOCALHOST);
    let (link, invitation) = DialLink::listen().expect("there are ports");
    let mut root: Peer<ToWorker, FromWorker> = Peer::new(Box::new(link));
    root.queue(&ToWorker::Want(Hash::of(b"a")));
    root.flush().expect("nobody is there yet");
    let pieces: Vec<&[u8]> = data.splitn(4, |byte| *byte == b'\n').collect();
    let (last, others) = pieces.split_last().expect("there is one at least");
    let mut strangers: Vec<TcpStream> = Vec::new();
    for piece in others {
        let mut stranger = call(here, &invitation);
        stranger.write_all(piece).expect("there is room");
        strangers.push(stranger);
        root.progress().expect("a stranger harms nobody");
    }
    let met = dial(here, &invitation, LONG, None).expect("it was invited");
    set_socket_linger(&met.stream, Some(Duration::ZERO)).expect("it is a socket");
    let mut raw = met.stream.try_clone().expect("there are descriptors");
    // As soon as it was answered there is something to read.
    let limit = Instant::now() + LONG;
    loop {
        root.progress().expect("who has the key is heard");
        let mut fds = [rustix::event::PollFd::from_borrowed_fd(raw.as_fd(), rustix::event::PollFlags::IN)];
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if rustix::event::poll(&mut fds, Some(&at_once)).expect("it is a socket") > 0 {
            break;
        }
        assert!(Instant::now() < limit, "strangers keep the invited one out");
    }
    let mut worker = met.answered(LONG).expect("it has called the root");
    let (sealed, plain) = last.split_at(last.len() / 2);
    worker.send(&mut outgoing(sealed)).expect("somebody listens");
    raw.write_all(plain).expect("somebody listens");
    let _ = root.progress();
    while let Ok(Some(_)) = root.take() {}
}

pub fn target(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    match which % 8 {
        0..=2 => greetings(data),
        3..=6 => on_the_way(data),
        _ => callers(data),
    }
}
