//! The keeper's loop: messages in, word of programs out; slots started and ended.
//!
//! What has to do with one task alone is its lane's business ([`super::lane`]), so that no program waits while
//! another one is being started; this loop waits for messages, word and slots, and now and then for a moment: for the end of a
//! gang's last processes, and for a SIGTERM that may be on its way.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::desk::{Desk, TaskKey, key_of};
use super::job::Learned;
use super::lane::{self, Common, sleep};
use super::site::{Failure, Site};
use super::slots::Slots;
use crate::launch::GANG_VARIABLE;
use crate::machine::Topology;
use crate::model::{Detail, FromKeeper, Outcome, Run as Order, SlotEnd, SlotId, Status, ToKeeper};
use crate::process::{self, Family, kill_marked, own};
use crate::say::say;
use crate::wire::{Stream, TooLarge, WireError};

/// How long the end of a gang's last processes on this node is waited for.
const SWEEP_PATIENCE: Duration = Duration::from_secs(2);
/// How long a program that is just being started may take: on a file system that does not answer, for ever.
const STARTS_PATIENCE: Duration = Duration::from_secs(2);
/// How much later than a program of ours we may be told to end, when all are.
const TERM_PATIENCE: Duration = Duration::from_millis(200);
/// How long lanes may take to end when nothing runs any more: they remove folders, which takes seconds on a disk that others
/// write to.
const LANES_PATIENCE: Duration = Duration::from_secs(8);
/// How long the worker may take to read the last word, when all processes here were told to end.
const LAST_WORD_PATIENCE: Duration = Duration::from_secs(1);

/// The keeper between its start and its end.
pub struct Keeper {
    worker: Stream,
    /// None until the worker has described it.
    site: Option<Arc<Site>>,
    common: Arc<Common>,
    slots: Slots,
}

/// Who may be ready.
#[derive(Clone, Copy)]
enum Ready {
    Worker,
    Word,
    Slot(SlotId),
}

impl Keeper {
    /// A keeper that has heard nothing yet.
    pub fn new(socket: OwnedFd) -> Result<Self, WireError> {
        let (family, learned) = (Arc::new(Family::default()), Learned::default());
        let desk = Desk::new()?;
        desk.set_household([Some(process::own_pid()), process::parent_pid()].into_iter().flatten());
        Ok(Self {
            worker: Stream::new(socket)?,
            site: None,
            common: Arc::new(Common { desk, family, learned, sensors: OnceLock::new() }),
            slots: Slots::new(),
        })
    }

    /// Serves until the worker's socket closes. From then on nothing is started.
    pub fn serve(&mut self) -> Result<(), WireError> {
        let ended = self.listen();
        self.common.desk.close(STARTS_PATIENCE);
        match ended {
            Err(WireError::Closed) => Ok(()),
            other => other,
        }
    }

    /// Lets the lanes clean up, now that nothing runs any more.
    pub fn end(self) {
        self.common.desk.await_lanes(LANES_PATIENCE);
    }

    fn listen(&mut self) -> Result<(), WireError> {
        loop {
            self.worker.flush()?;
            let ready = self.wait()?;
            let (now, family) = (Instant::now(), &self.common.family);
            let mut word = Vec::new();
            for who in &ready {
                match who {
                    Ready::Word => word.extend(self.common.desk.take_word()),
                    Ready::Slot(slot) => word.extend(self.slots.ready(*slot, now, family)),
                    Ready::Worker => {}
                }
            }
            word.extend(self.slots.tick(now, family));
            if self.pass_on(word) {
                say(format_args!(
                    "harness keeper: SIGTERM came to all processes here: what it ended is left undone"
                ));
                return self.say_last();
            }
            if ready.iter().any(|who| matches!(who, Ready::Worker)) {
                self.hear()?;
            }
        }
    }

    /// Tells the worker all word but that of what ended because every process here was told to; was there any?
    fn pass_on(&mut self, word: Vec<FromKeeper>) -> bool {
        let is_over = word.iter().any(was_for_everybody);
        // Where it is, all is judged by that: what was looked at first, too.
        let told = word.into_iter().filter(|word| !is_over || !was_for_everybody(word));
        told.for_each(|word| self.tell(word));
        is_over
    }

    /// What ended by itself until now is told: the worker has some time to read it.
    fn say_last(&mut self) -> Result<(), WireError> {
        let until = Instant::now() + LAST_WORD_PATIENCE;
        loop {
            let word = self.common.desk.take_word();
            self.pass_on(word);
            self.worker.flush()?;
            if !self.worker.wants_write() || Instant::now() >= until {
                return Ok(());
            }
            let mut fds = [
                PollFd::from_borrowed_fd(self.worker.as_fd(), PollFlags::OUT),
                PollFd::from_borrowed_fd(self.common.desk.bell().as_fd(), PollFlags::IN),
            ];
            sleep(&mut fds, Some(until)).map_err(|error| WireError::Io(error.into()))?;
        }
    }

    /// Of an end that is too large only that.
    fn tell(&mut self, word: FromKeeper) {
        if let Err(TooLarge { bytes, limit }) = self.worker.try_queue(&word) {
            self.worker.queue(&word.shortened(bytes, limit));
        }
    }

    fn wait(&self) -> Result<Vec<Ready>, WireError> {
        let wants_write = if self.worker.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        let word = self.common.desk.bell().as_fd();
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.worker.as_fd(), PollFlags::IN | wants_write),
            PollFd::from_borrowed_fd(word, PollFlags::IN),
        ];
        let mut who = vec![Ready::Worker, Ready::Word];
        self.slots.watch(|fd, slot| {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            who.push(Ready::Slot(slot));
        });
        sleep(&mut fds, self.slots.timer()).map_err(|error| WireError::Io(error.into()))?;
        Ok(fds.iter().zip(who).filter(|(fd, _)| !fd.revents().is_empty()).map(|(_, who)| who).collect())
    }

    fn hear(&mut self) -> Result<(), WireError> {
        let filled = self.worker.fill();
        while let Some(message) = self.worker.take::<ToKeeper>()? {
            self.obey(message);
        }
        filled
    }

    fn obey(&mut self, message: ToKeeper) {
        let now = Instant::now();
        match message {
            ToKeeper::Setup(welcome) => {
                let site = Site::new(&welcome);
                self.worker.set_limit(welcome.limits.message_bytes);
                self.common.desk.set_slots(site.slots);
                self.site = Some(Arc::new(site));
                self.worker.queue(&FromKeeper::Ready);
            }
            ToKeeper::Run(order) => self.take_in(*order),
            ToKeeper::Kill(task, attempt) => {
                if self.common.desk.cancel((task, attempt)) {
                    self.worker.queue(&FromKeeper::Recalled(task, attempt));
                }
            }
            ToKeeper::Sweep(task, attempt, mark) => {
                kill_marked(GANG_VARIABLE, &mark, SWEEP_PATIENCE);
                self.worker.queue(&FromKeeper::Swept(task, attempt));
            }
            ToKeeper::StartSlot(slot) => {
                let fds = (self.worker.take_fd(), self.worker.take_fd());
                self.slots.start(slot, fds, self.site.as_deref(), &self.common.family, &mut self.worker);
            }
            ToKeeper::StopSlot(slot) => self.slots.stop(slot),
            ToKeeper::KillSlot(slot) => self.slots.kill(slot, now, &self.common.family),
            ToKeeper::Module(name, module) => {
                self.common.learned.modules.insert(name.clone(), module);
                self.common.desk.module_came(&name);
            }
            ToKeeper::Ping => {
                self.slots.settle_memory();
                self.worker.queue(&FromKeeper::Alive);
            }
        }
    }

    fn take_in(&mut self, order: Order) {
        let (key, begun) = (key_of(&order), Instant::now());
        let Some(site) = &self.site else {
            let failure = Failure::setup("the keeper was given work before it was set up");
            return self.refuse(key, begun, failure);
        };
        if self.common.desk.has(key) {
            return self.refuse(key, begun, Failure::refused("this attempt runs already"));
        }
        if order.pin.is_some() {
            self.common.desk.learn_cores(Topology::here);
        }
        if self.common.desk.add(order)
            && let Err(error) = lane::start(&self.common, site)
            && let Some(order) = self.common.desk.lane_failed()
        {
            let error = process::with_advice(error);
            let failure = Failure::setup(format!("the keeper cannot start a thread for it: {error}"));
            self.refuse(key_of(&order), begun, failure);
        }
    }

    fn refuse(&mut self, key: TaskKey, begun: Instant, failure: Failure) {
        self.worker.queue(&FromKeeper::Started(key.0, key.1));
        self.report(key, begun, failure.into());
    }

    /// Tells the end of what never came to a lane.
    fn report(&mut self, (task, attempt): TaskKey, begun: Instant, outcome: Outcome) {
        let outcome = Outcome { elapsed_s: begun.elapsed().as_secs_f64(), ..outcome };
        self.worker.queue(&FromKeeper::Done(task, attempt, Arc::new(outcome)));
    }
}

/// Is this the end of what only died because every process here was told to? A batch system that ends or requeues a job does
/// that, and what a program did then it would not do again. So nobody hears of it: the keeper ends, and its worker
/// counts as lost.
fn was_for_everybody(word: &FromKeeper) -> bool {
    let (failed, signal) = match word {
        FromKeeper::SlotEnded(_, SlotEnd::Killed(signal)) => (true, Some(*signal)),
        FromKeeper::SlotEnded(_, end) => (*end != SlotEnd::Exited(0), None),
        FromKeeper::Done(_, _, outcome) => {
            let failed = outcome.status.lasting() && !matches!(outcome.status, Status::Ok | Status::Timeout);
            (failed, signal_of(outcome))
        }
        _ => (false, None),
    };
    // It goes to one process after another: ours may still be on its way.
    let patience = if signal == Some(libc::SIGTERM) { TERM_PATIENCE } else { Duration::ZERO };
    failed && own::is_sent(libc::SIGTERM, patience)
}

fn signal_of(outcome: &Outcome) -> Option<i32> {
    match &outcome.detail {
        Detail::Exec(result) => result.signal,
        Detail::Compile(result) => result.signal,
        Detail::Measure(result) => result.signal,
        Detail::Compare(_) | Detail::Call(_) | Detail::Calls(_) | Detail::CallError(_) | Detail::None => None,
    }
}
