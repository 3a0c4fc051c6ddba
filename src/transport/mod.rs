//! How root and workers reach each other: a [`Link`] is one end of a reliable byte stream, a [`Peer`] the
//! messages on it.
//!
//! `stream` is a socket to a child on this node, or the standard input and output that ssh carries; `dial` a worker
//! that connects by itself, over a stream that is `sealed`; `mpi` is MPI between nodes. Nothing above this room can tell
//! which one it talks through, and nothing here knows what the messages mean.

pub mod dial;
#[cfg(feature = "mpi")]
pub mod mpi;
pub mod sealed;
pub mod stream;
pub mod wait;

use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use crate::model::Message;
use crate::wire::{Inbox, MESSAGE_LIMIT, Outgoing, TooLarge};

/// Why a link cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other end is gone.
    #[error("the connection was closed by the other end")]
    Closed,
    /// The transport failed, and how.
    #[error("{0}")]
    Failed(String),
}

/// One end of a byte stream between root and worker. Nothing here blocks.
pub trait Link {
    /// Takes all of `bytes` for sending.
    fn send(&mut self, bytes: &mut Outgoing) -> Result<(), LinkError>;

    /// Sends on what could not leave at once, and puts what came into `inbox`. What is left afterwards shows in `poll_fds` or
    /// `next_poll`: nobody calls this before one of them says so.
    fn progress(&mut self, inbox: &mut Inbox) -> Result<(), LinkError>;

    /// Bytes taken for sending that have not left yet.
    fn backlog(&self) -> usize;

    /// What to wait for, where there are descriptors.
    fn poll_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)>;

    /// When to look again, where there is none. `backed_up`: something waits behind what runs, so no slot idles while word travels.
    fn next_poll(&self, now: Instant, backed_up: bool) -> Option<Instant>;

    /// Look rarely (a measurement has the node), or as usual.
    fn set_quiet(&mut self, quiet: bool);

    /// From now on the connection is over once the other end's system has not taken what was sent for so long, where the
    /// transport can tell: who is cut off ends its work before somebody else is given it.
    fn give_up_after(&mut self, _silence: Duration) {}

    /// Must it stay as long as this process, though nobody hears what comes of it any more?
    fn outlives_its_use(&self) -> bool {
        false
    }

    /// Ends the connection in an orderly way, if the transport has one. May block: call it under the guard.
    fn close(self: Box<Self>) {}
}

/// What is left of a link that was hung up.
struct HungUp;

impl Link for HungUp {
    fn send(&mut self, _bytes: &mut Outgoing) -> Result<(), LinkError> {
        Err(LinkError::Closed)
    }

    fn progress(&mut self, _inbox: &mut Inbox) -> Result<(), LinkError> {
        Err(LinkError::Closed)
    }

    fn backlog(&self) -> usize {
        0
    }

    fn poll_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        Vec::new()
    }

    fn next_poll(&self, _now: Instant, _backed_up: bool) -> Option<Instant> {
        None
    }

    fn set_quiet(&mut self, _quiet: bool) {}
}

/// Messages over a link: `Out` leave, `In` come.
pub struct Peer<Out, In> {
    link: Box<dyn Link>,
    outgoing: Outgoing,
    inbox: Inbox,
    /// A message that leaves may take so much (B).
    limit: usize,
    /// Was to be said, and cannot be.
    unsaid: Option<TooLarge>,
    types: PhantomData<(Out, In)>,
}

impl<Out: Message, In: Message> Peer<Out, In> {
    /// Messages over `link`.
    pub fn new(link: Box<dyn Link>) -> Self {
        let (outgoing, inbox) = (Outgoing::default(), Inbox::default());
        Self { link, outgoing, inbox, limit: MESSAGE_LIMIT, unsaid: None, types: PhantomData }
    }

    /// From now on a message that leaves takes no more than so much (B).
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(MESSAGE_LIMIT);
    }

    /// Queues a message; what is queued between two flushes travels together. `flush` says it if this one was too large.
    pub fn queue(&mut self, message: &Out) {
        self.unsaid = self.try_queue(message).err().or(self.unsaid);
    }

    /// Queues a message that may be too large: then nothing of it leaves, and something else can be said.
    pub fn try_queue(&mut self, message: &Out) -> Result<(), TooLarge> {
        self.outgoing.put(message, self.limit)
    }

    /// Hands what is queued to the link.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        if !self.outgoing.is_empty() {
            self.link.send(&mut self.outgoing)?;
        }
        self.unsaid.map_or(Ok(()), |error| Err(LinkError::Failed(error.to_string())))
    }

    /// Lets the link work; afterwards `take` has what came.
    pub fn progress(&mut self) -> Result<(), LinkError> {
        self.link.progress(&mut self.inbox)
    }

    /// The next message that came, if there is one.
    pub fn take(&mut self) -> Result<Option<In>, LinkError> {
        self.inbox.take().map_err(|error| LinkError::Failed(error.to_string()))
    }

    /// Nobody is spoken to here any more, nor heard: what that took is let go of, and the other end learns that it is
    /// over, where it still can.
    pub fn hang_up(&mut self) {
        (self.outgoing, self.inbox, self.unsaid) = (Outgoing::default(), Inbox::default(), None);
        if !self.link.outlives_its_use() {
            self.link = Box::new(HungUp);
        }
    }

    /// All bytes that ever came: while they grow the other end lives.
    pub fn received(&self) -> u64 {
        self.inbox.received()
    }

    /// Bytes not sent yet.
    pub fn backlog(&self) -> usize {
        self.outgoing.len() + self.link.backlog()
    }

    /// The link itself, for what has nothing to do with messages.
    pub fn link(&mut self) -> &mut dyn Link {
        &mut *self.link
    }

    /// The link itself, to look at.
    pub fn link_ref(&self) -> &dyn Link {
        &*self.link
    }

    /// The link itself, when the messages are over.
    pub fn into_link(self) -> Box<dyn Link> {
        self.link
    }
}
