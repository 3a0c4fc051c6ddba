//! Messages over a local stream socket: length-prefixed postcard, buffered both ways, never blocking.
//!
//! Everything small that is queued between two flushes leaves in one `sendmsg`, so a burst of small messages costs one
//! system call. Descriptors ride along with the message they belong to. A part of a message that is large
//! ([`Message::bulk`]) is copied on neither side: it leaves from where it lies, behind the rest of its message, and comes
//! into memory of its own. Of messages nothing else is known here.

mod inbox;
mod outgoing;

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

pub use inbox::{Inbox, decode};
pub use outgoing::{Outgoing, append};

use crate::model::Message;

/// A longer message is taken for garbage, and never sent (B).
pub const MESSAGE_LIMIT: usize = 1 << 30;
/// Once so much has come, the rest is for the next time (B): who sends without end does not keep his reader from all others.
pub const READ_MOST: usize = 4 << 20;
/// Room to read into at the least (B).
const READ_BYTES: usize = 64 * 1024;
/// A bulk of so many bytes travels apart from its message. Then a word comes before the message: its length, and this bit,
/// which the length of no message has.
const APART_BYTES: usize = 64 * 1024;
const APART: usize = 1 << 31;
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
    outgoing: Outgoing,
    /// All that was ever sent (B).
    sent: u64,
    /// So much of what comes next has come by another way already (B).
    known: usize,
    /// Descriptors to send, and what will have been sent when the message begins that they belong to.
    outgoing_fds: VecDeque<(u64, Vec<OwnedFd>)>,
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
            outgoing: Outgoing::default(),
            sent: 0,
            known: 0,
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
    pub fn queue<M: Message>(&mut self, message: &M) {
        self.unsaid = self.try_queue(message).err().or(self.unsaid);
    }

    /// Queues a message that may be too large: then nothing of it is sent, and something else can be said.
    pub fn try_queue<M: Message>(&mut self, message: &M) -> Result<(), TooLarge> {
        self.outgoing.put(message, self.limit)
    }

    /// Queues a message and descriptors that arrive with it, in this order.
    pub fn queue_with_fds<M: Message>(&mut self, message: &M, fds: Vec<OwnedFd>) {
        let start = self.queued();
        match self.try_queue(message) {
            Err(error) => self.unsaid = Some(error),
            Ok(()) => self.outgoing_fds.push_back((start, fds)),
        }
    }

    /// Is something waiting to be sent?
    pub fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Bytes waiting to be sent.
    pub fn backlog(&self) -> usize {
        self.outgoing.len()
    }

    /// All bytes that were ever queued, sent or not.
    pub fn queued(&self) -> u64 {
        self.sent + self.outgoing.len() as u64
    }

    /// Those of them from number `at` on, if they are there in one piece.
    pub fn queued_since(&self, at: u64) -> Option<&[u8]> {
        self.outgoing.last((self.queued() - at) as usize)
    }

    /// All bytes that ever came.
    pub fn received(&self) -> u64 {
        self.inbox.received()
    }

    /// These bytes, which follow what has come, came by another way. Should they come through the socket, too, they are dropped.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.inbox.space(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.inbox.filled(bytes.len());
        self.known += bytes.len();
    }

    /// Sends what the socket takes now.
    pub fn flush(&mut self) -> Result<(), WireError> {
        while self.wants_write() {
            // Descriptors go with the first byte of their message: stop short of the next one's.
            let with_fds = self.outgoing_fds.front().is_some_and(|(at, _)| *at == self.sent);
            let skip = usize::from(with_fds);
            let front = self.outgoing.front();
            let most = self.outgoing_fds.get(skip).map_or(usize::MAX, |(at, _)| (at - self.sent) as usize);
            let bytes = [IoSlice::new(&front[..front.len().min(most)])];
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
                    self.sent += sent as u64;
                    self.outgoing.sent(sent);
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
        self.unsaid.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Reads what is there, as far as [`READ_MOST`] goes. `Closed` is said only once everything that came before has been read.
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
                    let known = self.known.min(message.bytes);
                    if known > 0 {
                        self.inbox.space(READ_BYTES).copy_within(known..message.bytes, 0);
                        self.known -= known;
                    }
                    self.inbox.filled(message.bytes - known);
                    total += message.bytes;
                    if message.bytes < room || total >= READ_MOST {
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
    pub fn take<M: Message>(&mut self) -> Result<Option<M>, WireError> {
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
