//! The slot's end of its socket, shared by the thread that runs calls and the one that sends in time.
//!
//! The lock is held for moments only, never while waiting. Knows messages, not what they mean.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::model::{FromSlot, ToSlot};
use crate::process::Vigil;
use crate::wire::{Stream, TooLarge, WireError};

/// Results wait at most about so long for company.
const LONGEST_WAIT: Duration = Duration::from_millis(1);
/// From so many bytes on results are sent at once (B).
const WORTH_SENDING: usize = 64 * 1024;
/// With more than this waiting the slot stops until its worker reads (B).
const MOST_WAITING: usize = 16 << 20;

/// See the module.
pub struct Line {
    state: Mutex<State>,
    /// Something waits to be sent while a call runs, or the line was closed.
    changed: Condvar,
    /// The same socket, to wait for without the lock.
    socket: OwnedFd,
}

struct State {
    stream: Stream,
    /// Came while an answer was waited for.
    deferred: VecDeque<ToSlot>,
    /// Something was gathered, and the other thread told to send it in time.
    told: bool,
    closed: bool,
}

impl Line {
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let same = socket.try_clone()?;
        let state =
            State { stream: Stream::new(socket)?, deferred: VecDeque::new(), told: false, closed: false };
        Ok(Self { state: Mutex::new(state), changed: Condvar::new(), socket: same })
    }

    /// The next message; waits for it, for a moment `awake`, as long as that says so.
    pub fn receive(&self, awake: impl Fn() -> bool) -> Result<ToSlot, WireError> {
        let deferred = self.lock().deferred.pop_front();
        match deferred {
            Some(message) => Ok(message),
            None => self.receive_new(awake),
        }
    }

    /// The next message of a kind; the others stay for `receive`, in their order.
    pub fn receive_where(&self, wanted: impl Fn(&ToSlot) -> bool) -> Result<ToSlot, WireError> {
        loop {
            let message = self.receive_new(|| false)?;
            if wanted(&message) {
                return Ok(message);
            }
            self.lock().deferred.push_back(message);
        }
    }

    fn receive_new(&self, awake: impl Fn() -> bool) -> Result<ToSlot, WireError> {
        loop {
            let mut state = self.lock();
            if let Some(message) = state.stream.take()? {
                // What was gathered waits while this is seen to, which may take long.
                if state.stream.wants_write() && !std::mem::replace(&mut state.told, true) {
                    self.changed.notify_one();
                }
                return Ok(message);
            }
            drop(state);
            // Nothing more at once: this is the moment to send what was gathered.
            if !self.ready(PollFlags::IN, Some(Duration::ZERO))? {
                let mut state = self.lock();
                state.stream.flush()?;
                let blocked = state.stream.wants_write();
                drop(state);
                let wanted = if blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
                let vigil = Vigil::begun();
                while awake() && vigil.lasts(Instant::now()) && !self.ready(wanted, Some(Duration::ZERO))? {
                    std::thread::yield_now();
                }
                self.ready(wanted, None)?;
            }
            self.lock().stream.fill()?;
        }
    }

    /// The next descriptor that came with a message.
    pub fn take_fd(&self) -> Option<OwnedFd> {
        self.lock().stream.take_fd()
    }

    /// Queues a message; it leaves when nothing else is to do, when enough is there, or soon after the next message was received.
    pub fn send(&self, message: FromSlot) -> Result<(), WireError> {
        let mut state = self.lock();
        if let Err(TooLarge { bytes, limit }) = state.stream.try_queue(&message) {
            state.stream.queue(&message.shortened(bytes, limit));
        }
        if state.stream.backlog() >= WORTH_SENDING {
            state.stream.flush()?;
            while state.stream.backlog() > MOST_WAITING {
                drop(state);
                self.ready(PollFlags::OUT, None)?;
                state = self.lock();
                state.stream.flush()?;
            }
        }
        Ok(())
    }

    /// Sends what the socket takes now.
    pub fn flush(&self) -> Result<(), WireError> {
        self.lock().stream.flush()
    }

    /// Sends, until the line is closed, what has waited long enough. For a thread of its own.
    pub fn send_in_time(&self) {
        let mut state = self.lock();
        loop {
            while !state.told && !state.closed {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.closed {
                return;
            }
            state.told = false;
            drop(state);
            #[expect(clippy::disallowed_methods, reason = "a thread of its own, whose work is to wait")]
            std::thread::sleep(LONGEST_WAIT);
            let writable = self.ready(PollFlags::OUT, None);
            state = self.lock();
            // The other thread meets the same error and tells of it.
            if writable.is_err() || state.stream.flush().is_err() {
                return;
            }
        }
    }

    /// Ends `send_in_time`.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits until the socket is ready; false if the time is over.
    fn ready(&self, wanted: PollFlags, at_most: Option<Duration>) -> io::Result<bool> {
        let limit = at_most
            .map(|time| Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) });
        loop {
            match poll(&mut [PollFd::new(&self.socket, wanted)], limit.as_ref()) {
                Ok(count) => return Ok(count > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
