//! A stream that is sealed: without the key nobody reads what is said there, changes it unnoticed or says anything.
//!
//! The protocol is Noise (`Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s`, by the crate `snow`). Each end says 48 bytes first,
//! which only who has the key can have made, and which give both the keys for this one connection: who records it and
//! learns the key later reads nothing of it. Then come messages of at most 64 KiB, each with its length in front. This
//! file knows neither how the ends found each other nor what they say.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use snow::{Builder, HandshakeState, TransportState};

use super::stream::StreamLink;
use super::{Link, LinkError};
use crate::wire::{Inbox, Outgoing};

const PROTOCOL: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// What proves that a message is from who has the key (B).
const TAG_BYTES: usize = 16;
/// Most that one message carries (B).
const PIECE_BYTES: usize = 65_535 - TAG_BYTES;
/// The first thing either end says (B): its key for this connection, and the proof.
pub const GREETING_BYTES: usize = 32 + TAG_BYTES;

/// The first thing either end says.
pub type Greeting = [u8; GREETING_BYTES];

/// What both ends know, and nobody else. Its text is 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// One that nobody can guess.
    pub fn random() -> Result<Self, Errno> {
        let mut bytes = [0; 32];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
        }
        Ok(Self(bytes))
    }

    fn builder(&self) -> Result<Builder<'_>, snow::Error> {
        Builder::new(PROTOCOL.parse()?).psk(0, &self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Is told to nobody by accident.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A text is no key.
#[derive(Debug, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub struct NoKey;

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoKey);
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| NoKey)?;
        }
        Ok(Self(bytes))
    }
}

/// Half of the greetings: one end has said its own, or heard the other one's.
pub struct Handshake(HandshakeState);

impl Handshake {
    /// Begins: what to say.
    pub fn begin(key: &Key) -> Result<(Self, Greeting), snow::Error> {
        let mut state = key.builder()?.build_initiator()?;
        let mut greeting = [0; GREETING_BYTES];
        state.write_message(&[], &mut greeting)?;
        Ok((Self(state), greeting))
    }

    /// Somebody has begun who has the key, or an error.
    pub fn hear(key: &Key, greeting: &Greeting) -> Result<Self, snow::Error> {
        let mut state = key.builder()?.build_responder()?;
        state.read_message(greeting, &mut [])?;
        Ok(Self(state))
    }

    /// Of who has heard: what to answer.
    pub fn answer(mut self) -> Result<(Seal, Greeting), snow::Error> {
        let mut greeting = [0; GREETING_BYTES];
        self.0.write_message(&[], &mut greeting)?;
        Ok((Seal(self.0.into_transport_mode()?), greeting))
    }

    /// Of who has begun: somebody has answered who has the key, or an error.
    pub fn answered(mut self, greeting: &Greeting) -> Result<Seal, snow::Error> {
        self.0.read_message(greeting, &mut [])?;
        Ok(Seal(self.0.into_transport_mode()?))
    }
}

/// The keys of one connection.
pub struct Seal(TransportState);

/// One end of a sealed stream.
pub struct SealedLink {
    stream: StreamLink,
    seal: TransportState,
    /// What came and was not opened.
    sealed: Inbox,
    outgoing: Outgoing,
}

impl SealedLink {
    /// Whatever is said over `stream` from now on is sealed.
    pub fn new(stream: StreamLink, Seal(seal): Seal) -> Self {
        Self {
            stream,
            seal,
            sealed: Inbox::of_pieces(PIECE_BYTES + TAG_BYTES),
            outgoing: Outgoing::default(),
        }
    }

    fn open(&mut self, inbox: &mut Inbox) -> Result<(), LinkError> {
        while let Some(piece) =
            self.sealed.take_bytes().map_err(|error| LinkError::Failed(error.to_string()))?
        {
            let space = inbox.space(piece.len());
            let count = self.seal.read_message(piece, space).map_err(unsealed)?;
            inbox.filled(count);
        }
        Ok(())
    }
}

impl Link for SealedLink {
    fn send(&mut self, bytes: &mut Outgoing) -> Result<(), LinkError> {
        let sealed = self.outgoing.tail();
        while !bytes.is_empty() {
            let front = bytes.front();
            let piece = &front[..front.len().min(PIECE_BYTES)];
            let length = piece.len() + TAG_BYTES;
            sealed.extend_from_slice(&(length as u32).to_le_bytes());
            let start = sealed.len();
            sealed.resize(start + length, 0);
            self.seal.write_message(piece, &mut sealed[start..]).map_err(unsealed)?;
            bytes.sent(length - TAG_BYTES);
        }
        self.stream.send(&mut self.outgoing)
    }

    fn progress(&mut self, inbox: &mut Inbox) -> Result<(), LinkError> {
        let read = self.stream.progress(&mut self.sealed);
        self.open(inbox)?;
        read
    }

    fn backlog(&self) -> usize {
        self.stream.backlog()
    }

    fn poll_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        self.stream.poll_fds()
    }

    fn next_poll(&self, now: Instant, backed_up: bool) -> Option<Instant> {
        self.stream.next_poll(now, backed_up)
    }

    fn set_quiet(&mut self, quiet: bool) {
        self.stream.set_quiet(quiet);
    }

    fn give_up_after(&mut self, silence: Duration) {
        self.stream.give_up_after(silence);
    }
}

fn unsealed(error: snow::Error) -> LinkError {
    LinkError::Failed(format!("what came over the network is not what the other end sent: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FromWorker, Hash, ToWorker};
    use crate::transport::Peer;
    use crate::wire::socket_pair;
    use rustix::io::{read, write};
    use std::os::fd::OwnedFd;

    fn seals(key: &Key) -> (Seal, Seal) {
        let (began, greeting) = Handshake::begin(key).unwrap();
        let (answered, greeting) = Handshake::hear(key, &greeting).unwrap().answer().unwrap();
        (answered, began.answered(&greeting).unwrap())
    }

    /// The root's end, that of the worker, and the seal of the latter.
    fn line() -> (Peer<ToWorker, FromWorker>, OwnedFd, Seal) {
        let (root, worker) = socket_pair().unwrap();
        let (ours, theirs) = seals(&Key::random().unwrap());
        (Peer::new(Box::new(SealedLink::new(StreamLink::new(root).unwrap(), ours))), worker, theirs)
    }

    #[test]
    fn a_key_is_its_text() {
        let key = Key::random().unwrap();
        assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        assert_ne!(Key::random().unwrap(), key);
        for text in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }

    #[test]
    fn without_the_key_nobody_is_greeted() {
        let (key, other) = (Key::random().unwrap(), Key::random().unwrap());
        let (_, greeting) = Handshake::begin(&other).unwrap();
        assert!(Handshake::hear(&key, &greeting).is_err());
        let (began, greeting) = Handshake::begin(&key).unwrap();
        assert!(Handshake::hear(&other, &greeting).is_err());
        let mut touched = greeting;
        touched[3] ^= 1;
        assert!(Handshake::hear(&key, &touched).is_err());
        // Nor does who cannot answer pass for the root: its own greeting, said back.
        assert!(began.answered(&greeting).is_err());
    }

    #[test]
    fn what_is_said_arrives_whole_and_cannot_be_read_on_the_way() {
        let (mut root, socket, seal) = line();
        let piece = vec![b'x'; 3 * PIECE_BYTES + 5];
        let said = ToWorker::Chunk(Hash::of(b"a"), 0, piece.clone(), true);
        root.queue(&said);
        root.queue(&ToWorker::Want(Hash::of(b"b")));
        root.flush().unwrap();
        // Somebody on the way.
        let (mut seen, mut bytes) = (Vec::new(), vec![0; 1 << 20]);
        while seen.len() < piece.len() + 4 * (TAG_BYTES + 4) || root.backlog() > 0 {
            let count = read(&socket, &mut bytes).unwrap();
            seen.extend_from_slice(&bytes[..count]);
            root.progress().unwrap();
        }
        assert!(!seen.windows(8).any(|bytes| bytes == b"xxxxxxxx"));
        let (sent, received) = socket_pair().unwrap();
        let mut worker: Peer<FromWorker, ToWorker> =
            Peer::new(Box::new(SealedLink::new(StreamLink::new(received).unwrap(), seal)));
        let mut came = Vec::new();
        for bytes in seen.chunks(40_000) {
            write(&sent, bytes).unwrap();
            worker.progress().unwrap();
            while let Some(message) = worker.take().unwrap() {
                came.push(message);
            }
        }
        assert_eq!(came, [said, ToWorker::Want(Hash::of(b"b"))]);
        drop(sent);
        assert!(matches!(worker.progress(), Err(LinkError::Closed)));
    }

    #[test]
    fn a_changed_or_repeated_message_ends_the_link() {
        for repeated in [false, true] {
            let (mut root, socket, seal) = line();
            root.queue(&ToWorker::Want(Hash::of(b"a")));
            root.flush().unwrap();
            let mut bytes = [0; 256];
            let count = read(&socket, &mut bytes).unwrap();
            let (sent, received) = socket_pair().unwrap();
            let mut worker: Peer<FromWorker, ToWorker> =
                Peer::new(Box::new(SealedLink::new(StreamLink::new(received).unwrap(), seal)));
            if repeated {
                write(&sent, &bytes[..count]).unwrap();
                worker.progress().unwrap();
                assert!(worker.take().unwrap().is_some());
            } else {
                bytes[count / 2] ^= 1;
            }
            write(&sent, &bytes[..count]).unwrap();
            let error = worker.progress().unwrap_err().to_string();
            assert!(error.contains("is not what the other end sent"), "{error}");
            assert_eq!(worker.take().unwrap(), None);
        }
    }
}
