//! The keeper's loop: messages in, ends of programs in; runs started, outcomes out.
//!
//! Work begins when it comes, as long as the slots it occupies are free; more waits here in its order.
//! Who sends one piece more than there are slots thus keeps the cores busy while word of an end travels
//! to the root and back, which for a program of a millisecond is much of its time.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::job::{Job, Learned, Step};
use super::run::{Ended, Finished, Forced, Part, Run, Surroundings};
use super::site::{Failure, Site};
use super::slots::Slots;
use crate::model::{Attempt, FromKeeper, Outcome, Run as Order, SlotId, Status, TaskId, ToKeeper, Work};
use crate::wire::{Stream, WireError};

/// How long word of a program's start may wait for company: many programs end sooner, and one message
/// for start and end wakes the worker once.
const STARTED_MAY_WAIT: Duration = Duration::from_millis(1);

type TaskKey = (TaskId, Attempt);

/// The keeper between its start and its end.
pub struct Keeper {
    worker: Stream,
    /// None until the worker has described it.
    site: Option<Site>,
    tasks: BTreeMap<TaskKey, Task>,
    /// Work that has not begun, because others have the cores.
    waiting: VecDeque<Order>,
    slots: Slots,
    around: Surroundings,
    learned: Learned,
    /// When what is queued must be sent, if it may wait.
    send_at: Option<Instant>,
}

/// An attempt under way.
struct Task {
    job: Job,
    /// None only between two runs.
    run: Option<Run>,
    mark: String,
    /// Slots it occupies.
    cores: u32,
    begun: Instant,
    /// When it is forced to end, and after how many seconds that is.
    limit: Option<(Instant, f64)>,
}

/// Who may be ready.
#[derive(Clone, Copy)]
enum Ready {
    Worker,
    Task(TaskKey, Part),
    Slot(SlotId),
}

impl Keeper {
    /// A keeper that has heard nothing yet.
    pub fn new(socket: OwnedFd) -> Result<Self, WireError> {
        Ok(Self {
            worker: Stream::new(socket)?,
            site: None,
            tasks: BTreeMap::new(),
            waiting: VecDeque::new(),
            slots: Slots::default(),
            around: Surroundings::new()?,
            learned: Learned::default(),
            send_at: None,
        })
    }

    /// Serves until the worker's socket closes.
    pub fn serve(mut self) -> Result<(), WireError> {
        loop {
            match self.send() {
                Err(WireError::Closed) => return Ok(()),
                sent => sent?,
            }
            let ready = self.wait()?;
            let now = Instant::now();
            // Ends of programs first: their time is being taken.
            for who in &ready {
                match who {
                    Ready::Task(key, part) => self.task_ready(*key, *part, now),
                    Ready::Slot(slot) => {
                        self.slots.ready(*slot, now, &mut self.around.family, &mut self.worker)
                    }
                    Ready::Worker => {}
                }
            }
            self.timers(now);
            self.begin_waiting();
            if ready.iter().any(|who| matches!(who, Ready::Worker)) {
                match self.hear() {
                    Err(WireError::Closed) => return Ok(()),
                    heard => heard?,
                }
                self.begin_waiting();
            }
        }
    }

    fn send(&mut self) -> Result<(), WireError> {
        if self.send_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        self.send_at = None;
        self.worker.flush()
    }

    fn wait(&self) -> Result<Vec<Ready>, WireError> {
        let wants_write = if self.worker.wants_write() && self.send_at.is_none() {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        let mut fds = vec![PollFd::from_borrowed_fd(self.worker.as_fd(), PollFlags::IN | wants_write)];
        let mut who = vec![Ready::Worker];
        let mut watch = |fd, its| {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            who.push(its);
        };
        for (key, run) in self.runs() {
            run.watch(|fd, part| watch(fd, Ready::Task(key, part)));
        }
        self.slots.watch(|fd, slot| watch(fd, Ready::Slot(slot)));
        let timeout = self.next_timer().map(|at| at.saturating_duration_since(Instant::now()));
        // One millisecond more: never awake just before the time has come.
        let timeout = timeout.and_then(|wait| Timespec::try_from(wait + Duration::from_millis(1)).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(WireError::Io(error.into())),
        }
        Ok(fds.iter().zip(who).filter(|(fd, _)| !fd.revents().is_empty()).map(|(_, who)| who).collect())
    }

    fn runs(&self) -> impl Iterator<Item = (TaskKey, &Run)> {
        self.tasks.iter().filter_map(|(key, task)| Some((*key, task.run.as_ref()?)))
    }

    fn next_timer(&self) -> Option<Instant> {
        let limits = self.tasks.values().filter_map(|task| Some(task.limit?.0));
        let runs = self.runs().filter_map(|(_, run)| run.timer());
        limits.chain(runs).chain(self.slots.timer()).chain(self.send_at).min()
    }

    fn timers(&mut self, now: Instant) {
        let mut over = Vec::new();
        for (key, task) in &mut self.tasks {
            let Some(run) = &mut task.run else { continue };
            if let Some((_, limit)) = task.limit.take_if(|(at, _)| now >= *at) {
                run.stop(Forced::Timeout(limit), now, &self.around);
            }
            if let Some(ended) = run.tick(now, &mut self.around) {
                over.push((*key, ended));
            }
        }
        over.into_iter().for_each(|(key, ended)| self.run_over(key, ended));
        self.slots.tick(now, &mut self.around.family, &mut self.worker);
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
                self.site = Some(Site::new(&welcome));
                self.worker.queue(&FromKeeper::Ready);
            }
            ToKeeper::Run(order) => self.waiting.push_back(*order),
            ToKeeper::Kill(task, attempt) => {
                if let Some(at) = self.waiting.iter().position(|o| (o.task, o.attempt) == (task, attempt)) {
                    self.waiting.remove(at);
                    let never = Outcome::failed(Status::Cancelled, "cancelled before it began");
                    return self.report((task, attempt), now, never);
                }
                // Unknown: it ended by itself, and its outcome is on its way.
                if let Some(run) = self.tasks.get_mut(&(task, attempt)).and_then(|task| task.run.as_mut()) {
                    run.stop(Forced::Cancelled, now, &self.around);
                }
            }
            ToKeeper::StartSlot(slot) => {
                let fds = (self.worker.take_fd(), self.worker.take_fd());
                self.slots.start(slot, fds, self.site.as_ref(), &mut self.around.family, &mut self.worker);
            }
            ToKeeper::KillSlot(slot) => self.slots.kill(slot, now, &self.around.family),
            ToKeeper::Ping => self.worker.queue(&FromKeeper::Alive),
        }
    }

    fn begin_waiting(&mut self) {
        let slots = self.site.as_ref().map_or(0, |site| site.slots);
        while let Some(next) = self.waiting.front() {
            let busy: u32 = self.tasks.values().map(|task| task.cores).sum();
            if busy > 0 && busy + next.cores > slots {
                return;
            }
            if let Some(order) = self.waiting.pop_front() {
                self.begin(order);
            }
        }
    }

    fn begin(&mut self, order: Order) {
        let key = (order.task, order.attempt);
        let begun = Instant::now();
        let mark = format!("{}.{}", order.task, order.attempt);
        // Not for a measurement: the timer would wake us beside it.
        let may_wait = matches!(order.work, Work::Exec(_)) && !self.worker.wants_write();
        self.send_at = may_wait.then(|| begun + STARTED_MAY_WAIT);
        self.worker.queue(&FromKeeper::Started(order.task, order.attempt));
        let Some(site) = &self.site else {
            let failure = Failure::setup("the keeper was given work before it was set up");
            return self.report(key, begun, failure.into());
        };
        if self.tasks.contains_key(&key) {
            let failure = Failure::refused("this attempt runs already");
            return self.report(key, begun, failure.into());
        }
        let limit = order.timeout.filter(|limit| limit.is_finite() && *limit >= 0.0);
        let limit = limit.and_then(|s| Some((begun.checked_add(Duration::try_from_secs_f64(s).ok()?)?, s)));
        match Job::new(order.work, &mark, site) {
            Ok(job) => {
                let task = Task { job, run: None, mark, cores: order.cores, begun, limit };
                self.advance(key, task, None);
            }
            Err(failure) => self.report(key, begun, failure.into()),
        }
    }

    fn task_ready(&mut self, key: TaskKey, part: Part, now: Instant) {
        let run = self.tasks.get_mut(&key).and_then(|task| task.run.as_mut());
        if let Some(ended) = run.and_then(|run| run.ready(part, now, &mut self.around)) {
            self.run_over(key, ended);
        }
    }

    fn run_over(&mut self, key: TaskKey, ended: Ended) {
        if let Some(task) = self.tasks.remove(&key) {
            self.advance(key, task, Some(Ok(ended)));
        }
    }

    /// Asks the job what comes next, until something runs or it is over.
    fn advance(&mut self, key: TaskKey, mut task: Task, mut last: Option<Finished>) {
        loop {
            let Some(site) = &self.site else { return };
            let now_s = task.begun.elapsed().as_secs_f64();
            match task.job.next(last.take(), now_s, site, &mut self.learned) {
                Step::Done(outcome) => {
                    let begun = task.begun;
                    drop(task); // its scratch folder goes before its end is told
                    return self.report(key, begun, *outcome);
                }
                Step::Run(command, keep) => {
                    match Run::start(&command, keep, &task.mark, now_s, &mut self.around) {
                        Ok(run) => {
                            task.run = Some(run);
                            self.tasks.insert(key, task);
                            return;
                        }
                        Err(error) => last = Some(Err(error)),
                    }
                }
            }
        }
    }

    fn report(&mut self, (task, attempt): TaskKey, begun: Instant, outcome: Outcome) {
        let host = self.site.as_ref().map_or_else(crate::machine::hostname, |site| site.host.clone());
        let outcome = Outcome { host, elapsed_s: begun.elapsed().as_secs_f64(), ..outcome };
        self.send_at = None;
        self.worker.queue(&FromKeeper::Done(task, attempt, Box::new(outcome)));
    }
}
