//! The slot's end of its socket, shared by the thread that runs calls and the one that sends in time.
//!
//! The lock is held for moments only, never while waiting. Knows messages, not what they mean.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::model::{FromSlot, ToSlot};
use crate::process::{Gate, KEPT_BYTES, Vigil};
use crate::wire::{Stream, TooLarge, WireError};

/// Results wait at most about so long for company.
const LONGEST_WAIT: Duration = Duration::from_millis(1);
/// From so many bytes on results are sent at once (B).
const WORTH_SENDING: usize = KEPT_BYTES / 2;

/// See the module.
pub struct Line {
    state: Mutex<State>,
    /// Something waits to be sent while a call runs, or the line was closed.
    changed: Condvar,
    /// The same socket, to wait for without the lock.
    socket: OwnedFd,
    /// Keeps what was not sent yet.
    gate: Arc<Gate>,
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
    pub fn new(socket: OwnedFd, gate: Arc<Gate>) -> io::Result<Self> {
        let same = socket.try_clone()?;
        let state =
            State { stream: Stream::new(socket)?, deferred: VecDeque::new(), told: false, closed: false };
        Ok(Self { state: Mutex::new(state), changed: Condvar::new(), socket: same, gate })
    }

    /// The next message; waits for it, for a moment `awake`, as long as that says so.
    pub fn receive(&self, awake: impl Fn() -> bool) -> Result<ToSlot, WireError> {
        loop {
            let mut state = self.lock();
            let message = match state.deferred.pop_front() {
                None => state.stream.take()?,
                deferred => deferred,
            };
            if let Some(message) = message {
                // What was gathered waits while this is seen to, which may take long.
                if state.stream.wants_write() && !std::mem::replace(&mut state.told, true) {
                    self.changed.notify_one();
                }
                return Ok(message);
            }
            drop(state);
            self.await_more(&awake)?;
        }
    }

    /// The next message of a kind; the others stay for `receive`, in their order.
    pub fn receive_where(&self, wanted: impl Fn(&ToSlot) -> bool) -> Result<ToSlot, WireError> {
        loop {
            let mut state = self.lock();
            match state.stream.take()? {
                Some(message) if wanted(&message) => return Ok(message),
                Some(message) => state.deferred.push_back(message),
                None => {
                    drop(state);
                    self.await_more(|| false)?;
                }
            }
        }
    }

    /// Fetches more; waits for it where there is none.
    fn await_more(&self, awake: impl Fn() -> bool) -> Result<(), WireError> {
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
        self.lock().stream.fill()
    }

    /// The next descriptor that came with a message.
    pub fn take_fd(&self) -> Option<OwnedFd> {
        self.lock().stream.take_fd()
    }

    /// Queues a message; it leaves when nothing else is to do, when enough is there, or soon after the next message was received. From
    /// now on a worker hears it though this process ends: what is more than the gate keeps has left when this returns.
    pub fn send(&self, message: FromSlot) -> Result<(), WireError> {
        let mut state = self.lock();
        let at = state.stream.queued();
        if let Err(TooLarge { bytes, limit }) = state.stream.try_queue(&message) {
            state.stream.queue(&message.shortened(bytes, limit));
        }
        let backlog = state.stream.backlog();
        match state.stream.queued_since(at).filter(|_| backlog <= KEPT_BYTES) {
            Some(bytes) => {
                self.gate.keep(at, bytes);
                if backlog >= WORTH_SENDING {
                    state.stream.flush()?;
                }
            }
            None => loop {
                state.stream.flush()?;
                if !state.stream.wants_write() {
                    break;
                }
                drop(state);
                self.ready(PollFlags::OUT, None)?;
                state = self.lock();
            },
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
            // The socket took a part: the rest follows as soon as it takes more.
            state.told |= state.stream.wants_write();
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
            let mut socket = [PollFd::new(&self.socket, wanted)];
            match poll(&mut socket, limit.as_ref()) {
                // It would say so for ever.
                Ok(_) if socket[0].revents().contains(PollFlags::NVAL) => {
                    return Err(io::Error::other("its socket was closed by somebody else in this process"));
                }
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::model::{Attempt, Hash, Module, Outcome, Status, TaskId};
    use crate::wire::socket_pair;

    /// A slot's line, whose other thread sends in time, and the worker's end.
    fn ends() -> (Arc<Line>, Stream, std::thread::JoinHandle<()>) {
        let (worker, slot) = socket_pair().unwrap();
        let (gate, _) = Gate::create().unwrap();
        let line = Arc::new(Line::new(slot, Arc::new(gate)).unwrap());
        let sender = std::thread::spawn({
            let line = line.clone();
            move || line.send_in_time()
        });
        (line, Stream::new(worker).unwrap(), sender)
    }

    fn done(text: Vec<u8>) -> FromSlot {
        let outcome = Outcome::failed(Status::Error, String::from_utf8(text).unwrap());
        FromSlot::Done(TaskId(1), Attempt(0), Arc::new(outcome))
    }

    /// What comes to the worker while the slot says nothing more.
    fn heard(worker: &mut Stream) -> FromSlot {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            worker.fill().unwrap();
            if let Some(message) = worker.take().unwrap() {
                return message;
            }
            assert!(Instant::now() < limit, "it was never sent");
            std::thread::yield_now();
        }
    }

    fn tell(worker: &mut Stream, messages: &[ToSlot]) {
        messages.iter().for_each(|message| worker.queue(message));
        worker.flush().unwrap();
    }

    fn end(line: &Line, sender: std::thread::JoinHandle<()>) {
        line.close();
        sender.join().unwrap();
    }

    #[test]
    fn a_result_is_sent_while_what_came_before_it_is_seen_to() {
        let (line, mut worker, sender) = ends();
        let module = ToSlot::Module("m".into(), Module::Missing(String::new()));
        let later = [ToSlot::Forget(Hash::of(b"a")), ToSlot::Forget(Hash::of(b"b"))];
        tell(&mut worker, &[later[0].clone(), later[1].clone(), module.clone()]);
        // A call waits for a module while two messages come, and ends.
        assert_eq!(line.receive_where(|message| matches!(message, ToSlot::Module(..))).unwrap(), module);
        assert_eq!(line.receive(|| false).unwrap(), later[0]);
        line.send(done(b"ended".to_vec())).unwrap();
        assert_eq!(line.receive(|| false).unwrap(), later[1]);
        assert_eq!(heard(&mut worker), done(b"ended".to_vec()), "the slot is at the next call for an hour");
        end(&line, sender);
    }

    #[test]
    fn what_is_not_kept_has_left_before_the_slot_goes_on() {
        let (line, mut worker, sender) = ends();
        let (small, large) = (vec![b'x'; 100], vec![b'y'; 4 << 20]);
        let slot = std::thread::spawn({
            let (line, messages) = (line.clone(), [small.clone(), large.clone(), small.clone()].map(done));
            move || {
                messages.map(|message| {
                    line.send(message).unwrap();
                    line.lock().stream.backlog()
                })
            }
        });
        assert_eq!([heard(&mut worker), heard(&mut worker)], [small.clone(), large].map(done));
        let left = slot.join().unwrap();
        assert!(left[0] > 0 && left[1] == 0 && left[2] == left[0], "{left:?}");
        let gate = &line.gate;
        worker.receive(&gate.said_since(worker.received()));
        assert_eq!(worker.take::<FromSlot>().unwrap(), Some(done(small)), "the last one was not sent");
        end(&line, sender);
    }
}
