//! Messages over a local stream socket: length-prefixed postcard, buffered both ways, never blocking.
//!
//! Everything queued between two flushes leaves in one `sendmsg`, so a burst of small messages costs one
//! system call. Descriptors ride along with the message they belong to. Knows nothing of what it carries.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use postcard::ser_flavors::Flavor;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A longer message is taken for garbage, and never sent (B).
pub const MESSAGE_LIMIT: usize = 1 << 30;
/// Room to read into at the least (B).
const READ_BYTES: usize = 64 * 1024;
/// A larger inbox is given back once it is empty (B).
const KEPT_BYTES: usize = 1 << 20;
/// Descriptors one message may carry.
const MAX_FDS: usize = 4;

/// Why a stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The other end is gone.
    #[error("the other end closed the connection")]
    Closed,
    /// The system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What came is not a message.
    #[error("not a message of this protocol: {0}")]
    Garbage(String),
    /// What was to be said is longer than a message may be.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// A message that is not sent, because nobody would take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {bytes} B, and the most is {limit} B")]
pub struct TooLarge {
    /// What it takes (B).
    pub bytes: usize,
    /// What it may take (B).
    pub limit: usize,
}

/// One end of a socket that carries messages.
pub struct Stream {
    socket: OwnedFd,
    inbox: Inbox,
    outgoing: Vec<u8>,
    /// Where the first unsent byte of `outgoing` is.
    sent: usize,
    /// Descriptors to send, with the offset in `outgoing` of the message they belong to.
    outgoing_fds: VecDeque<(usize, Vec<OwnedFd>)>,
    incoming_fds: VecDeque<OwnedFd>,
    /// A message may take so much (B).
    limit: usize,
    /// Was to be said, and cannot be.
    unsaid: Option<TooLarge>,
}

/// Two connected sockets, both closed on exec.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

impl Stream {
    /// Takes over a connected socket.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            socket,
            inbox: Inbox::default(),
            outgoing: Vec::new(),
            sent: 0,
            outgoing_fds: VecDeque::new(),
            incoming_fds: VecDeque::new(),
            limit: MESSAGE_LIMIT,
            unsaid: None,
        })
    }

    /// From now on a message sent here takes no more than so much (B).
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(MESSAGE_LIMIT);
    }

    /// Queues a message; nothing is sent before `flush`, which says it if this one was too large.
    pub fn queue<M: Serialize>(&mut self, message: &M) {
        self.queue_with_fds(message, Vec::new());
    }

    /// Queues a message that may be too large: then nothing of it is sent, and something else can be said.
    pub fn try_queue<M: Serialize>(&mut self, message: &M) -> Result<(), TooLarge> {
        append(&mut self.outgoing, message, self.limit)
    }

    /// Queues a message and descriptors that arrive with it, in this order.
    pub fn queue_with_fds<M: Serialize>(&mut self, message: &M, fds: Vec<OwnedFd>) {
        let start = self.outgoing.len();
        match self.try_queue(message) {
            Err(error) => self.unsaid = Some(error),
            Ok(()) if fds.is_empty() => {}
            Ok(()) => self.outgoing_fds.push_back((start, fds)),
        }
    }

    /// Is something waiting to be sent?
    pub fn wants_write(&self) -> bool {
        self.sent < self.outgoing.len()
    }

    /// Bytes waiting to be sent.
    pub fn backlog(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    /// Sends what the socket takes now.
    pub fn flush(&mut self) -> Result<(), WireError> {
        while self.wants_write() {
            // Descriptors go with the first byte of their message: stop short of the next one's.
            let with_fds = self.outgoing_fds.front().is_some_and(|(at, _)| *at == self.sent);
            let skip = usize::from(with_fds);
            let end = self.outgoing_fds.get(skip).map_or(self.outgoing.len(), |(at, _)| *at);
            let bytes = [IoSlice::new(&self.outgoing[self.sent..end])];
            let fds: Vec<BorrowedFd<'_>> = match self.outgoing_fds.front() {
                Some((_, fds)) if with_fds => fds.iter().map(AsFd::as_fd).collect(),
                _ => Vec::new(),
            };
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
                return Err(WireError::Garbage(format!("more than {MAX_FDS} descriptors in one message")));
            }
            match sendmsg(&self.socket, &bytes, &mut control, SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    self.sent += sent;
                    if with_fds && sent > 0 {
                        self.outgoing_fds.pop_front();
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(WireError::Closed),
                Err(error) => return Err(WireError::Io(error.into())),
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        self.unsaid.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Reads what is there. `Closed` is said only once everything that came before has been read.
    pub fn fill(&mut self) -> Result<(), WireError> {
        let mut total = 0;
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let free = self.inbox.space(READ_BYTES);
            let room = free.len();
            let got =
                recvmsg(&self.socket, &mut [IoSliceMut::new(free)], &mut control, RecvFlags::CMSG_CLOEXEC);
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    self.incoming_fds.extend(fds);
                }
            }
            match got {
                Ok(message) if message.bytes == 0 && total > 0 => return Ok(()),
                Ok(message) if message.bytes == 0 => return Err(WireError::Closed),
                Ok(message) => {
                    self.inbox.filled(message.bytes);
                    total += message.bytes;
                    if message.bytes < room {
                        return Ok(());
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Err(WireError::Closed),
                Err(error) => return Err(WireError::Io(error.into())),
            }
        }
    }

    /// The next whole message that was read, if there is one.
    pub fn take<M: DeserializeOwned>(&mut self) -> Result<Option<M>, WireError> {
        self.inbox.take()
    }

    /// The next descriptor that came, if there is one.
    pub fn take_fd(&mut self) -> Option<OwnedFd> {
        self.incoming_fds.pop_front()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Appends one message, with its length in front, to a byte stream; nothing of one that takes more than `limit`.
pub fn append<M: Serialize>(stream: &mut Vec<u8>, message: &M, limit: usize) -> Result<(), TooLarge> {
    let start = stream.len();
    stream.extend_from_slice(&[0; 4]);
    let appended = Appended { stream, most: start + 4 + limit, left_out: 0 };
    // Serialising plain data into memory cannot fail; a type that could is a programming error.
    let left_out = postcard::serialize_with_flavor(message, appended).expect("messages are plain data");
    let bytes = stream.len() - start - 4 + left_out;
    if bytes > limit {
        stream.truncate(start);
        return Err(TooLarge { bytes, limit });
    }
    stream[start..start + 4].copy_from_slice(&(bytes as u32).to_le_bytes());
    Ok(())
}

/// Puts what is serialised at the end of a byte stream: bytes by the slice, for a message may be large. A slice that
/// makes it too large is counted, and not copied.
struct Appended<'a> {
    stream: &'a mut Vec<u8>,
    /// The stream is not to become longer than that.
    most: usize,
    left_out: usize,
}

impl Flavor for Appended<'_> {
    type Output = usize;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.stream.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() > self.most.saturating_sub(self.stream.len()) {
            self.left_out += bytes.len();
        } else {
            self.stream.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.left_out)
    }
}

/// What came of a byte stream of messages and was not taken yet.
pub struct Inbox {
    /// Stays initialised to its end, so that no read has to clear memory first.
    bytes: Vec<u8>,
    /// Where the first byte not taken is.
    start: usize,
    /// Where what came ends.
    end: usize,
    /// All that ever came (B).
    received: u64,
    /// What is longer is taken for garbage (B).
    limit: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self::of_pieces(MESSAGE_LIMIT)
    }
}

impl Inbox {
    /// For what never comes in longer pieces (B): nobody who claims so is given the room.
    pub fn of_pieces(limit: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, received: 0, limit }
    }

    /// Where to put what comes next: at least `least` bytes.
    pub fn space(&mut self, least: usize) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > KEPT_BYTES {
                self.bytes = Vec::new();
            }
        }
        if self.bytes.len() - self.end < least {
            self.make_room(least);
        }
        &mut self.bytes[self.end..]
    }

    /// Moves what is there to the front, and where that is not enough makes room for all of the message that has
    /// begun: a large one is moved once, not each time the room has doubled.
    fn make_room(&mut self, least: usize) {
        let there = self.end - self.start;
        let rest_of_it = self.coming().ok().flatten().map_or(0, |length| (4 + length).saturating_sub(there));
        // Of many small ones nobody knows how many: twice as much each time.
        let wanted = there + least + if rest_of_it > 0 { rest_of_it } else { there };
        if there + least.max(rest_of_it) <= self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
        } else {
            // Fresh memory comes cleared from the system; what exists would have to be.
            let mut larger = vec![0; wanted];
            larger[..there].copy_from_slice(&self.bytes[self.start..self.end]);
            self.bytes = larger;
        }
        (self.start, self.end) = (0, there);
    }

    /// So many bytes of the space were filled.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
        self.received += count as u64;
    }

    /// All that ever came (B): while it grows the other end lives, however large its message.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Length of the message that comes next, once its prefix is there.
    fn coming(&self) -> Result<Option<usize>, WireError> {
        let Some(prefix) = self.bytes[self.start..self.end].first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > self.limit {
            return Err(WireError::Garbage(format!("a message of {length} bytes")));
        }
        Ok(Some(length))
    }

    /// The next whole message, if there is one.
    pub fn take<M: DeserializeOwned>(&mut self) -> Result<Option<M>, WireError> {
        self.take_bytes()?.map(decode).transpose()
    }

    /// The bytes of the next whole message, if there is one.
    pub fn take_bytes(&mut self) -> Result<Option<&[u8]>, WireError> {
        let Some(length) = self.coming()? else { return Ok(None) };
        let Some(body) = self.bytes[self.start..self.end].get(4..4 + length) else { return Ok(None) };
        self.start += 4 + length;
        Ok(Some(body))
    }
}

/// One message from exactly these bytes: anything left over is an error.
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, WireError> {
    let (message, rest) = postcard::take_from_bytes(bytes).map_err(|e| WireError::Garbage(e.to_string()))?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(WireError::Garbage(format!("{} bytes left over", rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FromWorker, Hash, ToWorker};

    #[test]
    fn messages_and_descriptors_arrive_in_order() {
        let (a, b) = socket_pair().unwrap();
        let (mut a, mut b) = (Stream::new(a).unwrap(), Stream::new(b).unwrap());
        let (x, y) = socket_pair().unwrap();
        a.queue(&FromWorker::Alive);
        a.queue_with_fds(&FromWorker::Have(Hash::of(b"x")), vec![x, y]);
        a.queue(&FromWorker::Ready);
        a.flush().unwrap();
        let mut seen = Vec::new();
        while seen.len() < 3 {
            b.fill().unwrap();
            while let Some(message) = b.take::<FromWorker>().unwrap() {
                seen.push(message);
            }
        }
        assert_eq!(seen, [FromWorker::Alive, FromWorker::Have(Hash::of(b"x")), FromWorker::Ready]);
        assert!(b.take_fd().is_some() && b.take_fd().is_some() && b.take_fd().is_none());
        drop(a);
        assert!(matches!(b.fill(), Err(WireError::Closed)));
    }

    #[test]
    fn a_message_larger_than_the_socket_buffer_comes_through() {
        let (a, b) = socket_pair().unwrap();
        let (mut a, mut b) = (Stream::new(a).unwrap(), Stream::new(b).unwrap());
        let sent = ToWorker::Code(Hash::of(b""), vec![7; 3 << 20]);
        a.queue(&sent);
        let got = loop {
            a.flush().unwrap();
            b.fill().unwrap();
            if let Some(message) = b.take::<ToWorker>().unwrap() {
                break message;
            }
        };
        assert_eq!(got, sent);
        assert!(!a.wants_write());
    }

    #[test]
    fn an_inbox_makes_room_for_a_large_message_once_and_gives_it_back() {
        let mut stream = Vec::new();
        append(&mut stream, &FromWorker::Alive, MESSAGE_LIMIT).unwrap();
        append(&mut stream, &ToWorker::Code(Hash::of(b""), vec![7; 8 << 20]), MESSAGE_LIMIT).unwrap();
        let (mut inbox, mut sizes) = (Inbox::default(), Vec::new());
        for piece in stream.chunks(1000) {
            inbox.space(READ_BYTES)[..piece.len()].copy_from_slice(piece);
            inbox.filled(piece.len());
            if sizes.is_empty() {
                assert_eq!(inbox.take::<FromWorker>().unwrap(), Some(FromWorker::Alive));
            }
            sizes.push(inbox.bytes.len());
        }
        sizes.dedup();
        assert!(sizes.len() <= 2, "{sizes:?}");
        assert_eq!(inbox.received(), stream.len() as u64);
        let Some(ToWorker::Code(_, bytes)) = inbox.take().unwrap() else { panic!("another message") };
        assert_eq!(bytes.len(), 8 << 20);
        assert!(inbox.space(READ_BYTES).len() < KEPT_BYTES);
    }

    /// The rest may still come; if the other end closes instead, nothing is made of what is there.
    #[test]
    fn a_message_that_is_cut_off_is_none() {
        let message = ToWorker::Code(Hash::of(b"f"), vec![7; 300]);
        let whole = postcard::to_allocvec(&message).unwrap();
        for length in 0..whole.len() {
            assert!(matches!(decode::<ToWorker>(&whole[..length]), Err(WireError::Garbage(_))), "{length}");
        }
        let mut framed = Vec::new();
        append(&mut framed, &message, MESSAGE_LIMIT).unwrap();
        for length in 0..framed.len() {
            let mut inbox = Inbox::default();
            inbox.space(READ_BYTES)[..length].copy_from_slice(&framed[..length]);
            inbox.filled(length);
            assert!(matches!(inbox.take::<ToWorker>(), Ok(None)), "{length}");
        }
    }

    /// Zeros nobody reads take no memory.
    #[test]
    fn a_message_above_the_limit_leaves_nothing_and_what_comes_next_is_understood() {
        assert_eq!(MESSAGE_LIMIT, crate::model::Limits::default().message_bytes);
        let mut stream = Vec::new();
        for (least, limit) in [(MESSAGE_LIMIT, MESSAGE_LIMIT), (5 << 30, MESSAGE_LIMIT), (100, 99)] {
            let error =
                append(&mut stream, &ToWorker::Code(Hash::of(b""), vec![0; least]), limit).unwrap_err();
            assert!(error.limit == limit && (least + 1..least + 100).contains(&error.bytes), "{error:?}");
            assert!(stream.is_empty() && stream.capacity() < 1000);
        }
        // At the limit it is one, and a byte below it none: whatever its last part is.
        for message in [ToWorker::Code(Hash::of(b""), vec![7; 300]), ToWorker::Want(Hash::of(b"x"))] {
            let bytes = postcard::to_allocvec(&message).unwrap().len();
            assert_eq!(append(&mut Vec::new(), &message, bytes), Ok(()));
            let refused = append(&mut Vec::new(), &message, bytes - 1);
            assert_eq!(refused, Err(TooLarge { bytes, limit: bytes - 1 }));
        }
    }

    #[test]
    fn a_stream_says_what_fits_and_ends_with_what_does_not() {
        let (a, b) = socket_pair().unwrap();
        let (mut a, mut b) = (Stream::new(a).unwrap(), Stream::new(b).unwrap());
        a.set_limit(1000);
        assert!(a.try_queue(&ToWorker::Code(Hash::of(b""), vec![0; 2000])).is_err());
        a.queue(&ToWorker::Quiet(true));
        a.flush().unwrap();
        a.queue(&ToWorker::Retire);
        a.queue(&ToWorker::Code(Hash::of(b""), vec![0; 2000]));
        let error = a.flush().unwrap_err().to_string();
        assert!(
            error.starts_with("a message of 20") && error.ends_with(" B, and the most is 1000 B"),
            "{error}"
        );
        b.fill().unwrap();
        let came: Vec<ToWorker> = std::iter::from_fn(|| b.take().unwrap()).collect();
        assert_eq!(came, [ToWorker::Quiet(true), ToWorker::Retire]);
    }

    #[test]
    fn bytes_left_over_and_absurd_lengths_are_errors() {
        let mut bytes = postcard::to_allocvec(&FromWorker::Alive).unwrap();
        assert_eq!(decode::<FromWorker>(&bytes).unwrap(), FromWorker::Alive);
        bytes.push(0);
        assert!(matches!(decode::<FromWorker>(&bytes), Err(WireError::Garbage(_))));
    }
}
