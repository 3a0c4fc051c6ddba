//! The two mailboxes between the script's thread and the driver, each a mutex around a batch.
//!
//! Nobody waits for a mutex longer than it takes to put something in, and nobody is woken who is awake: the driver only
//! once for all that was asked since it last looked, and not while it rests, the script only while it waits. Lines from outside (`lines`) lie in
//! the script's. Knows nothing of what the requests, completions and lines mean.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::lines::Lines;
use super::order::{PoolError, PoolInfo, Request};
use super::port::{Completion, Wait};
use crate::model::{Outcome, TaskId};
use crate::process::Vigil;

/// A line that was told so often to end, and has not, is not told again.
const MOST_INTERRUPTS: u32 = 2;

/// What both ends have.
#[derive(Default)]
pub(super) struct Mailboxes {
    to_driver: Mutex<ToDriver>,
    to_script: Mutex<ToScript>,
    arrived: Condvar,
    /// A line from outside was taken.
    room: Condvar,
    /// Completions of the driver that the script has taken.
    taken: AtomicU64,
    draining: AtomicBool,
    /// So many tasks are on their way, and the script waits until fewer are; 0 while it does not.
    full: AtomicU64,
    /// See [`Port::add_to_come`](super::port::Port::add_to_come).
    to_come: AtomicU64,
    /// See [`Port::add_searches`](super::port::Port::add_searches).
    searches: AtomicU64,
    /// Somebody at a terminal wants what the script does now to end, and nothing else.
    interrupted: AtomicBool,
    /// So often since the line began.
    interrupts: AtomicU32,
}

#[derive(Default)]
struct ToDriver {
    requests: Vec<Request>,
    /// The driver was woken since it last looked.
    told: bool,
}

#[derive(Default)]
pub(super) struct ToScript {
    completions: VecDeque<Completion>,
    lines: Lines,
    pub(super) spawned: Option<Result<PoolInfo, PoolError>>,
    pub(super) explained: Option<String>,
    waiting: bool,
    /// For a completion, and for nothing else: no time limit ends the wait.
    for_completions: bool,
}

/// What the script's end waits for.
#[derive(Clone, Copy)]
pub(super) struct Awaited {
    /// Is any task on its way?
    pub(super) ends: bool,
    /// The next line from outside.
    pub(super) line: bool,
    /// It is the end of a call, the only task on its way: the script stays awake for a moment.
    pub(super) alone: bool,
}

/// What came.
pub(super) enum Received {
    /// Ends of tasks.
    Ends,
    /// A line from outside; none after the last.
    Line(Option<Vec<u8>>),
    /// Nothing (in time).
    Nothing,
}

/// A panic elsewhere leaves a batch, never half a batch: the content is good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For the script's end.
impl Mailboxes {
    /// Leaves a request; true if the driver may be asleep.
    pub(super) fn request(&self, request: Request) -> bool {
        let mut outbox = lock(&self.to_driver);
        outbox.requests.push(request);
        !std::mem::replace(&mut outbox.told, true)
    }

    /// Waits for an answer of the driver; none if the campaign is being stopped.
    pub(super) fn answer<T>(&self, take: impl Fn(&mut ToScript) -> Option<T>) -> Option<T> {
        let mut inbox = lock(&self.to_script);
        loop {
            if let Some(answer) = take(&mut inbox) {
                return Some(answer);
            }
            if self.draining() {
                return None;
            }
            inbox.waiting = true;
            // No deadline: whatever the driver waits for to answer has one, and its end, of whatever kind, is `drain`.
            inbox = self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Fetches what the driver queued into `arrived`, which is empty, or else the next line.
    pub(super) fn receive(
        &self,
        arrived: &mut VecDeque<Completion>,
        awaited: Awaited,
        wait: Wait,
    ) -> Received {
        let expected = awaited.ends || awaited.line;
        let vigil = if awaited.alone && wait != Wait::No { Vigil::begun() } else { Vigil::default() };
        let mut inbox = lock(&self.to_script);
        loop {
            if !inbox.completions.is_empty() {
                std::mem::swap(&mut inbox.completions, arrived);
                return Received::Ends;
            }
            if awaited.line
                && let Some(line) = inbox.lines.take()
            {
                self.room.notify_one();
                return Received::Line(line);
            }
            if wait == Wait::No
                || !expected && wait == Wait::Forever
                || self.draining()
                || self.interrupted.load(Ordering::Acquire)
            {
                return Received::Nothing;
            }
            let now = Instant::now();
            match wait {
                Wait::Until(end) if end <= now => return Received::Nothing,
                _ if vigil.lasts(now) => {
                    drop(inbox);
                    std::thread::yield_now();
                    inbox = lock(&self.to_script);
                }
                Wait::No | Wait::Forever => {
                    inbox.waiting = true;
                    inbox.for_completions = !awaited.line;
                    inbox = self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
                }
                Wait::Until(end) => {
                    let left = end.saturating_duration_since(now);
                    inbox.waiting = true;
                    let woken = self.arrived.wait_timeout(inbox, left);
                    inbox = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// The script has taken one of the driver's completions.
    pub(super) fn count_taken(&self) {
        self.taken.fetch_add(1, Ordering::Release);
    }

    /// Is the campaign being stopped?
    pub(super) fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The script waits because so many tasks are on their way; 0: it does so no longer.
    pub(super) fn set_full(&self, full: u64) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// See [`Port::add_to_come`](super::port::Port::add_to_come).
    pub(super) fn add_to_come(&self, more: i64) {
        self.to_come.fetch_add(more as u64, Ordering::Relaxed); // wraps, as it should for fewer
    }

    /// See [`Port::add_searches`](super::port::Port::add_searches).
    pub(super) fn add_searches(&self, more: i64) {
        self.searches.fetch_add(more as u64, Ordering::Relaxed); // likewise
    }

    /// Another line has begun.
    pub(super) fn forget_interrupts(&self) {
        self.interrupts.store(0, Ordering::Release);
        self.interrupted.store(false, Ordering::Release);
    }

    /// Is what the script does now to end? Asked once, it is no more.
    pub(super) fn take_interrupt(&self) -> bool {
        self.interrupted.load(Ordering::Acquire) && self.interrupted.swap(false, Ordering::AcqRel)
    }
}

/// For whoever leaves something for the script.
impl Mailboxes {
    /// A line from outside, none after the last; waits while too much is left there. False: nobody will take it.
    pub(super) fn put_line(&self, line: Option<Vec<u8>>) -> bool {
        let mut inbox = lock(&self.to_script);
        while !inbox.lines.has_room() && !self.draining() {
            // No deadline: whoever writes waits for the script to read, and `drain` ends it.
            inbox = self.room.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        inbox.lines.put(line);
        self.wake(inbox);
        !self.draining()
    }

    fn wake(&self, mut inbox: MutexGuard<'_, ToScript>) {
        inbox.for_completions = false;
        let waiting = std::mem::replace(&mut inbox.waiting, false);
        drop(inbox);
        if waiting {
            self.arrived.notify_one();
        }
    }
}

/// The driver's end.
pub struct DriverEnd {
    mailboxes: Arc<Mailboxes>,
    outgoing: VecDeque<Completion>,
}

impl DriverEnd {
    pub(super) fn new(mailboxes: Arc<Mailboxes>) -> Self {
        Self { mailboxes, outgoing: VecDeque::new() }
    }

    /// Everything asked since the last time. Also hands over what `complete` gathered, so that a driver
    /// that looks here in every round never forgets an answer.
    pub fn requests(&mut self) -> Vec<Request> {
        self.flush();
        let mut outbox = lock(&self.mailboxes.to_driver);
        outbox.told = false;
        std::mem::take(&mut outbox.requests)
    }

    /// Until it looks again the driver is not woken for what is asked. False: something has been already.
    pub(super) fn rest(&mut self) -> bool {
        let mut outbox = lock(&self.mailboxes.to_driver);
        outbox.told = true;
        outbox.requests.is_empty()
    }

    /// A task ended; the script learns of it at the next `flush` or `requests`.
    pub fn complete(&mut self, task: TaskId, outcome: Arc<Outcome>) {
        self.outgoing.push_back(Completion { task, outcome });
    }

    /// How many of the completions handed over the script has taken. Later submissions know their outcomes;
    /// one made before may still name their tasks.
    pub fn taken(&self) -> u64 {
        self.mailboxes.taken.load(Ordering::Acquire)
    }

    /// Hands over what `complete` gathered.
    pub fn flush(&mut self) {
        if self.outgoing.is_empty() {
            return;
        }
        let mut inbox = lock(&self.mailboxes.to_script);
        inbox.completions.append(&mut self.outgoing);
        self.mailboxes.wake(inbox);
    }

    /// The answer to [`Request::Spawn`] and [`Request::Grow`].
    pub fn spawned(&mut self, answer: Result<PoolInfo, PoolError>) {
        let mut inbox = lock(&self.mailboxes.to_script);
        inbox.spawned = Some(answer);
        self.mailboxes.wake(inbox);
    }

    /// The answer to [`Request::Explain`].
    pub fn explained(&mut self, answer: String) {
        let mut inbox = lock(&self.mailboxes.to_script);
        inbox.explained = Some(answer);
        self.mailboxes.wake(inbox);
    }

    /// Stops the script: from now on nothing ends.
    pub fn drain(&mut self) {
        let inbox = lock(&self.mailboxes.to_script);
        self.mailboxes.draining.store(true, Ordering::Release);
        self.mailboxes.wake(inbox);
        self.mailboxes.room.notify_all();
    }

    /// What the script does now is to end. False if it was told so before in this line, and has not noticed it, or goes on
    /// all the same.
    pub fn interrupt(&mut self) -> bool {
        let inbox = lock(&self.mailboxes.to_script);
        let noticed = !self.mailboxes.interrupted.swap(true, Ordering::AcqRel);
        let times = self.mailboxes.interrupts.fetch_add(1, Ordering::AcqRel);
        self.mailboxes.wake(inbox);
        noticed && times < MOST_INTERRUPTS
    }

    /// How many tasks are on their way, if the script waits because they are as many as may be.
    pub(super) fn full(&self) -> Option<u64> {
        Some(self.mailboxes.full.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }

    /// How many calls are known to come.
    pub(super) fn to_come(&self) -> u64 {
        self.mailboxes.to_come.load(Ordering::Relaxed)
    }

    /// Does a search decide as it goes what else it submits?
    pub(super) fn searches(&self) -> bool {
        self.mailboxes.searches.load(Ordering::Relaxed) > 0
    }

    /// Does the script wait for a completion, for as long as it takes, and has asked for nothing that was not read?
    pub(super) fn script_waits(&self) -> bool {
        let inbox = lock(&self.mailboxes.to_script);
        inbox.waiting && inbox.for_completions && lock(&self.mailboxes.to_driver).requests.is_empty()
    }
}

impl Drop for DriverEnd {
    /// A script never waits for a driver that is gone.
    fn drop(&mut self) {
        self.flush();
        self.drain();
    }
}
