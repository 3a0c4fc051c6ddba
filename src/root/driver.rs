//! The driver: joins script, scheduler, workers and journal on the root's main thread.
//!
//! Everything that happens becomes an event for the core, every action of the core becomes a message; no
//! decision is made here. An outcome reaches the script only after its record is written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash as _, Hasher};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHasher};
use rustix::event::{PollFd, PollFlags};

use super::clock::Clock;
use super::pools::Pools;
use super::port::{DriverEnd, Job, Request, Submission};
use super::progress::Progress;
use super::record;
use super::tasks::{Live, Tasks};

use super::workers::{Stage, Worker};
use crate::artefact::Store;
use crate::core::{Action, Core, Dep, DepState, End, Event, Request as Ask, Tick};
use crate::journal::{JournalWriter, Lost};
use crate::model::human::duration;
use crate::model::{
    Arg, Attempt, CommandSpec, Detail, Exclusive, Hash, Kind, Limits, Module, Outcome, Status, TaskId,
    ToWorker, WorkerId, exit,
};
use crate::process::{Signals, Wake};
use crate::transport::wait::{earlier, wait};

/// Finds a module by its name.
pub(super) type Sources = Box<dyn Fn(&str) -> Module>;

/// A longer time limit is none (µs): some 30 years.
const LONGEST_US: f64 = 1e15;
/// Signals that stop the campaign in an orderly way.
pub(super) const STOPPING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Why the driver ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The script is over and nothing is left to do.
    Finished,
    /// Stopped by a signal; the text says which.
    Drained(String),
    /// A second signal: at once.
    Interrupted,
    /// The journal cannot be written any more.
    JournalFailed(String),
}

/// Everything the driver works with.
pub(super) struct Driver {
    pub(super) core: Core,
    pub(super) tasks: Tasks,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) pools: Pools,
    pub(super) port: DriverEnd,
    pub(super) journal: JournalWriter,
    /// The campaign's id, for records.
    campaign: String,
    pub(super) store: Store,
    pub(super) progress: Progress,
    pub(super) signals: Signals,
    pub(super) wake: Arc<Wake>,
    /// Finds modules for slots.
    pub(super) sources: Sources,
    /// All bytecode issued, in order.
    pub(super) code: Vec<(Hash, Arc<[u8]>)>,
    issued: BTreeSet<Hash>,
    /// Ended tasks whose record is not written yet.
    recording: FxHashMap<TaskId, (Box<Live>, Arc<Outcome>)>,
    /// Artefacts that workers need and that are on their way to the root.
    pub(super) awaited: BTreeMap<Hash, BTreeSet<WorkerId>>,
    /// Events the core has not seen, and whether it is at work on earlier ones.
    events: VecDeque<Event>,
    handling: bool,
    actions: Vec<Action>,
    clock: Clock,
    wake_at: Option<Tick>,
    script_over: bool,
    draining: Option<(Instant, String)>,
    ending: Option<Ending>,
}

/// What the driver is made of.
pub(super) struct Parts {
    pub(super) pools: Pools,
    pub(super) port: DriverEnd,
    pub(super) journal: JournalWriter,
    pub(super) campaign: String,
    pub(super) store: Store,
    pub(super) progress: Progress,
    pub(super) signals: Signals,
    pub(super) wake: Arc<Wake>,
    pub(super) sources: Sources,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { pools, port, journal, campaign, store, progress, signals, wake, sources, workers } =
            parts;
        Self {
            core: Core::new(),
            tasks: Tasks::default(),
            workers,
            pools,
            port,
            journal,
            campaign,
            store,
            progress,
            signals,
            wake,
            sources,
            code: Vec::new(),
            issued: BTreeSet::new(),
            recording: FxHashMap::default(),
            awaited: BTreeMap::new(),
            events: VecDeque::new(),
            handling: false,
            actions: Vec::new(),
            clock: Clock::new(),
            wake_at: None,
            script_over: false,
            draining: None,
            ending: None,
        }
    }

    /// Works until the script is over and everything it asked for has ended, or the campaign is stopped.
    pub(super) fn run(&mut self) -> Ending {
        loop {
            self.read_signals();
            self.read_requests();
            self.read_workers();
            self.read_journal();
            self.keep_time();
            self.flush();
            if let Some(ending) = self.ending() {
                return ending;
            }
            self.sleep();
        }
    }

    /// Tells the core, and does what it says.
    pub(super) fn handle(&mut self, event: Event) {
        self.events.push_back(event);
        if std::mem::replace(&mut self.handling, true) {
            return; // an action caused it: first the other actions of its event
        }
        let mut actions = std::mem::take(&mut self.actions);
        while let Some(event) = self.events.pop_front() {
            self.core.handle(self.clock.now(), event, &mut actions);
            for action in actions.drain(..) {
                self.act(action);
            }
        }
        self.actions = actions;
        self.handling = false;
    }

    pub(super) fn limits(&self) -> Limits {
        self.pools.launcher.limits
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start { task, attempt, gang } => {
                if let Some(leader) = gang.first() {
                    self.start(task, attempt, *leader);
                }
            }
            Action::Recall { worker, task, attempt } => self.tell(worker, &ToWorker::Recall(task, attempt)),
            Action::Kill { worker, task, attempt } => self.tell(worker, &ToWorker::Kill(task, attempt)),
            Action::Offer { worker, artefact } => self.offer(worker, artefact),
            Action::Quiet { worker, on } => {
                if let Some(entry) = self.workers.get_mut(&worker) {
                    entry.quiet = on;
                    entry.last_heard = Instant::now();
                    entry.peer.queue(&ToWorker::Quiet(on));
                    self.calm_links();
                }
            }
            Action::GiveUp { worker } => {
                self.lose(
                    worker,
                    "a task that was to be killed has not ended for 10 s and nothing else can run there",
                );
            }
            Action::Resolve { task, end } => self.resolve(task, end),
            Action::WakeAt(tick) => {
                self.wake_at = Some(self.wake_at.map_or(tick, |old| old.min(tick)));
            }
        }
    }

    pub(super) fn tell(&mut self, worker: WorkerId, message: &ToWorker) {
        if let Some(entry) = self.workers.get_mut(&worker) {
            entry.peer.queue(message);
        }
    }

    /// While a measurement has the root's own node, the root looks at its MPI links rarely too.
    fn calm_links(&mut self) {
        let local = self.workers.values().any(|worker| worker.quiet && worker.child.is_some());
        for worker in self.workers.values_mut() {
            worker.peer.link().set_quiet(local);
        }
    }

    fn start(&mut self, task: TaskId, attempt: Attempt, worker: WorkerId) {
        let Some(live) = self.tasks.live(task) else { return };
        live.attempt = attempt;
        live.worker = Some(worker);
        live.started = Some(Instant::now());
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        if let Some(unmet) = live.unmet.take() {
            // It cannot run after all; the core learns it as an answer of the worker.
            live.outcome = Some(Box::new(unmet.outcome()));
            self.finished(worker, task, attempt);
            return;
        }
        if live.submission.job.kind() == Kind::Call {
            for (hash, bytes) in &self.code[entry.known_code..] {
                entry.peer.queue(&ToWorker::Code(*hash, bytes.to_vec()));
            }
            entry.known_code = self.code.len();
        }
        entry.peer.queue(&live.message());
    }

    pub(super) fn finished(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        let Some(live) = self.tasks.live(task) else { return };
        let Some(outcome) = &live.outcome else { return };
        let artefact = match &outcome.detail {
            Detail::Compile(result) => result.artefact,
            _ => None,
        };
        let elapsed_us = (outcome.elapsed_s * 1e6) as u64;
        let ok = outcome.ok();
        self.handle(Event::Finished { worker, task, attempt, ok, artefact, elapsed_us });
    }

    /// A task has ended for good: journal first, then the future.
    fn resolve(&mut self, task: TaskId, end: End) {
        let lost = match end {
            End::LostWorker { attempts } => self.why_lost(task, attempts),
            _ => String::new(),
        };
        let Some(live) = self.tasks.live(task) else { return };
        if end == End::Overdue
            && let Some(worker) = live.worker
        {
            // Its cores stay occupied for the core until it is lost: nothing else could run there.
            self.lose(worker, "a task did not end long after its time limit, although it was to be killed");
        }
        let Some(live) = self.tasks.live(task) else { return };
        let host = live.worker.and_then(|id| self.workers.get(&id)).map(|worker| worker.host().to_string());
        let mut outcome = match end {
            End::Finished => live.outcome.take().map(|outcome| *outcome),
            End::Skipped { cause } => {
                let unmet = live.unmet.take().map(|unmet| unmet.outcome());
                unmet.or_else(|| {
                    let reason = format!("task {cause}, which it depends on, failed");
                    Some(Outcome::failed(Status::Skipped, reason))
                })
            }
            End::Cancelled => Some(match self.pools.failure(live.pool) {
                Some(reason) => Outcome::failed(Status::Refused, reason),
                None => Outcome::failed(Status::Cancelled, "cancelled before it ended"),
            }),
            End::LostWorker { .. } => Some(Outcome::failed(Status::LostWorker, lost)),
            End::Overdue => Some(Outcome::failed(
                Status::LostWorker,
                "no answer long after its time limit: its worker does not respond",
            )),
            End::Refused { reason } => Some(Outcome::failed(Status::Refused, reason)),
        }
        .unwrap_or_else(|| Outcome::failed(Status::LostWorker, "its outcome never arrived"));
        if outcome.host.is_empty() {
            outcome.host = host.unwrap_or_default();
        }
        let outcome = Arc::new(outcome);
        let Some(ended) = self.tasks.end(task, &outcome) else { return };
        if self.draining.is_some() && outcome.status == Status::Cancelled {
            // Not an end but a postponement: the script never hears of it, the next run does it.
            return;
        }
        match record::of(&self.campaign, &ended, &outcome) {
            Some(record) => {
                self.recording.insert(task, (ended, outcome));
                self.journal.append(task.0, record);
            }
            None => self.hand(&ended, outcome),
        }
    }

    /// Why a task is lost with its worker: the one it ran on, else the last of its pool.
    fn why_lost(&mut self, task: TaskId, attempts: u32) -> String {
        let Some((own, pool)) = self.tasks.live(task).map(|live| (live.worker, live.pool)) else {
            return String::new();
        };
        let loss = |worker: &Worker| match &worker.stage {
            Stage::Gone(text) => Some(text.clone()),
            _ => None,
        };
        let of_pool =
            || self.workers.values().rev().filter(|worker| worker.pool == Some(pool)).find_map(loss);
        let own = own.and_then(|id| self.workers.get(&id)).and_then(loss);
        let loss = own.or_else(of_pool).unwrap_or_else(|| "its pool was closed".into());
        match attempts {
            0 => format!("no worker is left that could run it: {loss}"),
            1 => format!("its worker was lost while it ran: {loss}"),
            n => format!("its worker was lost while it ran, {n} times; the last: {loss}"),
        }
    }

    /// Counts an end and hands it to the script: what is to be recorded is by now.
    fn hand(&mut self, ended: &Live, outcome: Arc<Outcome>) {
        let Submission { task, job, options, .. } = &ended.submission;
        self.progress.ended(job.kind(), options, &outcome);
        self.port.complete(*task, outcome);
        self.tasks.handed(*task);
    }

    fn read_requests(&mut self) {
        // Asked first: what was submitted before a completion was taken may still refer to that task.
        let taken = self.port.taken();
        for request in self.port.requests() {
            match request {
                Request::Submit(submission) => self.submit(submission),
                Request::Cancel(task) => self.handle(Event::Cancel { task }),
                Request::Spawn(spec) => self.open_pool(spec),
                Request::Close(pool) => self.pools.close_when_idle(pool),
                Request::Forget(share) => {
                    for worker in self.workers.values_mut().filter(|w| matches!(w.stage, Stage::Ready(_))) {
                        worker.peer.queue(&ToWorker::Forget(share));
                    }
                }
                Request::Replayed(kind, options, outcome) => self.progress.replayed(kind, &options, &outcome),
                Request::Unrun(kind, options, outcome) => self.progress.unrun(kind, &options, &outcome),
                Request::End => self.script_over = true,
            }
        }
        self.tasks.forget(taken);
    }

    fn submit(&mut self, mut submission: Submission) {
        if let Job::Call(call) = &mut submission.job {
            for (hash, bytes) in call.codes.drain(..) {
                if self.issued.insert(hash) {
                    self.code.push((hash, bytes));
                }
            }
        }
        let opened = || self.pools.newest().or_else(|| self.pools.failed_default());
        let pool = match submission.pool.or_else(opened) {
            Some(pool) => pool,
            None => self.open_default_pool(),
        };
        let task = submission.task;
        let class = match &submission.job {
            Job::Call(call) => call.class,
            Job::Exec(spec) => program_class(&spec.command),
            _ => 0,
        };
        let kind = submission.job.kind();
        if kind == Kind::Measure {
            submission.options.placement.exclusive.get_or_insert(Exclusive::Node);
        }
        let options = submission.options.clone();
        self.progress.submitted();
        self.tasks.insert(submission, pool);
        let Some(live) = self.tasks.live(task) else { return };
        let skipped = live.unmet.is_some();
        let mut inputs = live.artefacts();
        if kind == Kind::Call {
            inputs.extend(self.pools.artefacts(pool)); // a slot begins with its first call
        }
        let deps = live
            .submission
            .deps
            .iter()
            .map(|dep| Dep { task: *dep, state: DepState::Pending })
            // A dependency that failed unseen by the script: the core skips the task, the reason is ours.
            .chain(skipped.then_some(Dep { task, state: DepState::Failed }))
            .collect();
        self.handle(Event::Submitted(Ask {
            task,
            kind,
            pool,
            placement: options.placement,
            timeout_us: options.timeout.map(|seconds| (seconds * 1e6).min(LONGEST_US) as u64),
            retries: options.retries.unwrap_or(1),
            deps,
            accept_failed: options.accept_failed,
            inputs,
            class,
        }));
    }

    fn read_journal(&mut self) {
        let news = self.journal.written();
        if let Some(reason) = self.recorded(news) {
            self.ending.get_or_insert(Ending::JournalFailed(reason));
        }
    }

    /// Brings the last records to the disk, or ends the process: a file system may never answer. Why records are
    /// lost, if some are.
    pub(super) fn close_journal(&mut self, path: &str) -> Option<String> {
        let limit = self.limits().journal;
        let reason = format!(
            "the last records have not reached {path} for {} (its file system does not answer); what was reported \
             before is there, run the same command again to go on",
            duration(limit.as_secs_f64())
        );
        let journal = &mut self.journal;
        let code = i32::from(exit::JOURNAL);
        let news = self.pools.launcher.guard.watch(limit, code, reason, || journal.close());
        self.recorded(news)
    }

    /// Hands on what is recorded; why the rest is not.
    fn recorded(&mut self, news: Vec<Result<u64, Lost>>) -> Option<String> {
        let mut reason = None;
        for written in news {
            match written {
                Ok(token) => {
                    if let Some((ended, outcome)) = self.recording.remove(&TaskId(token)) {
                        self.hand(&ended, outcome);
                    }
                }
                Err(lost) => reason = reason.or(Some(lost.to_string())),
            }
        }
        reason
    }

    fn keep_time(&mut self) {
        let now = Instant::now();
        if self.wake_at.is_some_and(|at| at <= self.clock.now()) {
            self.wake_at = None;
            self.handle(Event::Tick);
        }
        let silence = self.limits().worker_silence;
        let silent: Vec<WorkerId> = self
            .workers
            .values()
            .filter(|worker| worker.silent_at(silence).is_some_and(|at| at <= now))
            .map(|worker| worker.id)
            .collect();
        for id in silent {
            let silence = duration(silence.as_secs_f64());
            let reason =
                format!("it has not been heard of for {silence} (hung, stopped, or its node is lost)");
            self.lose(id, &reason);
        }
        self.tend_pools(now);
        let ready = self.workers.values().filter(|w| matches!(w.stage, Stage::Ready(_))).count();
        self.progress.tick(now, self.core.running(), ready);
    }

    fn read_signals(&mut self) {
        while let Some(signal) = self.signals.take() {
            match signal {
                signal if STOPPING.contains(&signal) => self.stop(signal),
                // Ambiguous (walltime near, or "a worker died" from Hydra) and harmless to ignore: lost
                // workers are noticed by their links, and the end of the walltime comes as SIGTERM.
                _ => {}
            }
        }
    }

    /// The first signal stops the campaign in an orderly way, the second at once.
    fn stop(&mut self, signal: i32) {
        let word = crate::process::signal_name(signal);
        if self.draining.is_some() {
            self.ending = Some(Ending::Interrupted);
            return;
        }
        self.draining = Some((Instant::now(), word.to_string()));
        self.port.drain();
        self.handle(Event::Drain);
    }

    fn ending(&mut self) -> Option<Ending> {
        if let Some(ending) = self.ending.take() {
            return Some(ending);
        }
        let idle = self.tasks.live_count() == 0 && self.recording.is_empty();
        match &self.draining {
            Some((since, word)) if idle && self.script_over || since.elapsed() > self.limits().drain => {
                Some(Ending::Drained(word.clone()))
            }
            Some(_) => None,
            None => (self.script_over && idle).then_some(Ending::Finished),
        }
    }

    pub(super) fn flush(&mut self) {
        self.port.flush();
        let mut failed = Vec::new();
        let mut unreadable = Vec::new();
        for worker in self.workers.values_mut().filter(|worker| !worker.is_gone()) {
            unreadable.extend(worker.pump(&self.store).err());
            if let Err(error) = worker.peer.flush() {
                failed.push((worker.id, error));
            }
        }
        let news = !(unreadable.is_empty() && failed.is_empty());
        for (hash, reason) in unreadable {
            self.progress.problem(&format!("cannot read artefact {hash}: {reason}"));
            self.give_up_artefact(hash);
        }
        for (id, error) in failed {
            self.link_ended(id, &error);
        }
        if news {
            // What follows from it must not wait until something else happens.
            self.flush();
        }
    }

    pub(super) fn sleep(&mut self) {
        let now = Instant::now();
        let silence = self.limits().worker_silence;
        self.clock.worked(now);
        let mut deadline =
            earlier(self.wake_at.and_then(|at| self.clock.moment(at)), Some(self.progress.next(now)));
        deadline = earlier(deadline, self.pools.next_deadline());
        if let Some((since, _)) = &self.draining {
            deadline = earlier(deadline, Some(*since + self.limits().drain));
        }
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.journal.as_fd(), PollFlags::IN),
        ];
        for worker in self.workers.values().filter(|worker| !worker.is_gone()) {
            let link = worker.peer.link_ref();
            fds.extend(link.poll_fd().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
            deadline = earlier(deadline, link.next_poll(now));
            deadline = earlier(deadline, worker.silent_at(silence));
        }
        if wait(&mut fds, deadline).is_err() {
            // poll fails only for lack of memory: go round, slowly.
            std::thread::yield_now();
        }
        self.wake.clear();
        self.clock.waited(Instant::now());
    }
}

/// Runs of one program take similar time.
fn program_class(command: &CommandSpec) -> u64 {
    let mut hasher = FxHasher::default();
    match command.argv.first() {
        Some(Arg::Text(program)) => program.hash(&mut hasher),
        Some(Arg::Artefact(artefact)) => artefact.hash(&mut hasher),
        Some(Arg::Task(build)) => build.hash(&mut hasher),
        None => command.shell.hash(&mut hasher),
    }
    hasher.finish()
}
