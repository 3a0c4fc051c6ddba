//! The driver: joins script, scheduler, workers and journal on the root's main thread.
//!
//! Everything that happens becomes an event for the core, every action of the core becomes a message; no
//! decision is made here. An outcome reaches the script only after its record is written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use rustix::event::{PollFd, PollFlags};

use super::clock::Clock;
use super::deadline::Deadline;
use super::forecast::Forecast;
use super::held::Told;
use super::homing::Homing;
use super::nodes::Faults;
use super::pools::Pools;
use super::port::DriverEnd;
use super::programs::Programs;
use super::progress::Progress;
use super::remote::Said;
use super::sources::Reader;
use super::states::States;
use super::status::{Counter, present};
use super::stop::{Ending, Leaving, Postponed, still_running};
use super::surroundings::Surroundings;
use super::tasks::{Live, Tasks};
use super::trace::Sink;
use super::twins::Twins;
use super::workers::Worker;
use crate::artefact::Store;
use crate::core::{Action, Core, Event, GRACE_US, GpuSet, Tick};
use crate::journal::JournalWriter;
use crate::model::human::duration;
use crate::model::{Attempt, Hash, Kind, Limits, Outcome, TaskId, ToWorker, WorkerId};
use crate::process::{Signals, Vigil, Wake};
use crate::transport::wait::{earlier, wait};

/// So long at the most it is not looked at what a script asks for that has asked for more than there is room for: to be woken for each
/// of thousands costs it as much as to ask.
const REST: Duration = Duration::from_millis(1);

/// Everything the driver works with.
pub(super) struct Driver {
    pub(super) core: Core,
    pub(super) tasks: Tasks,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) pools: Pools,
    pub(super) port: DriverEnd,
    pub(super) journal: JournalWriter,
    /// The campaign's id, for records.
    pub(super) campaign: String,
    pub(super) store: Store,
    pub(super) progress: Progress,
    pub(super) signals: Signals,
    pub(super) wake: Arc<Wake>,
    /// Finds modules for slots.
    pub(super) modules: Reader,
    /// All bytecode issued, in order.
    pub(super) code: Vec<(Hash, Arc<[u8]>)>,
    pub(super) issued: BTreeSet<Hash>,
    /// Where the functions of a class were written.
    pub(super) places: FxHashMap<u64, String>,
    /// Ended tasks whose record is not written yet.
    pub(super) recording: FxHashMap<TaskId, (Live, Arc<Outcome>)>,
    /// Builds that have ended, while what they made is on its way to the root.
    pub(super) homing: BTreeMap<(WorkerId, Hash), Homing>,
    /// Events the core has not seen, and whether it is at work on earlier ones.
    events: VecDeque<Event>,
    handling: bool,
    actions: Vec<Action>,
    pub(super) clock: Clock,
    /// When what is being done was read, and looked at again after what may block: to do so for each task costs as much as a
    /// tenth of a call.
    pub(super) now: Instant,
    wake_at: Option<Tick>,
    /// What keeps the script from being over although it has ended.
    pub(super) leaving: Option<Leaving>,
    pub(super) script_over: bool,
    /// All it did was to tell how it is used.
    pub(super) only_usage: bool,
    pub(super) surroundings: Surroundings,
    /// The campaign's folder, and the programs that are named by path there.
    pub(super) dir: PathBuf,
    pub(super) programs: Programs,
    /// Measurements of one program under several names.
    pub(super) twins: Twins,
    /// What the script keeps for its next run.
    pub(super) states: States,
    /// When its time is over.
    pub(super) deadline: Option<Deadline>,
    /// The signal that was heeded last, and when.
    pub(super) heeded: Option<(Instant, i32)>,
    pub(super) draining: Option<(Instant, String)>,
    /// Calls that were known to come when it was stopped.
    pub(super) unsent: usize,
    /// Tasks that were not started, because they would not have ended in time.
    pub(super) held: usize,
    /// What people were told of such tasks.
    pub(super) told: Told,
    /// Ends that are in the journal by now.
    pub(super) recorded: usize,
    /// Tasks that have ended and that no journal keeps: calls and programs without a `key`.
    pub(super) unrecorded: usize,
    /// Of those, there is one that the next run need not repeat.
    pub(super) answers_next: bool,
    /// What a stop leaves undone.
    pub(super) postponed: Postponed,
    /// Tasks that no worker was left for, since one came last.
    pub(super) forsaken: usize,
    /// What went wrong on which node.
    pub(super) faults: Faults,
    pub(super) ending: Option<Ending>,
    /// Where others ask how far the campaign is.
    pub(super) counter: Counter,
    /// Does somebody type what is run, one line after the other?
    pub(super) interactive: bool,
    /// Before this no worker has been silent for too long. Not known after a look, and when a worker is told what makes it sooner.
    pub(super) silent_at: Option<Instant>,
    /// Workers that may have said something, some perhaps twice.
    pub(super) heard: Vec<WorkerId>,
    /// A call came or ended since it last slept.
    pub(super) stirred: bool,
    /// The script has submitted something since then.
    pub(super) submitted: bool,
    vigil: Vigil,
    trace: Sink,
}

/// What the driver is made of.
pub(super) struct Parts {
    pub(super) pools: Pools,
    pub(super) port: DriverEnd,
    pub(super) journal: JournalWriter,
    pub(super) campaign: String,
    pub(super) dir: PathBuf,
    pub(super) store: Store,
    pub(super) progress: Progress,
    pub(super) signals: Signals,
    pub(super) wake: Arc<Wake>,
    pub(super) modules: Reader,
    pub(super) deadline: Option<Deadline>,
    pub(super) forecast: Forecast,
    pub(super) surroundings: Surroundings,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) counter: Counter,
    pub(super) interactive: bool,
    pub(super) trace: Sink,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            pools,
            port,
            journal,
            campaign,
            dir,
            store,
            progress,
            signals,
            wake,
            modules,
            deadline,
            forecast,
            surroundings,
            workers,
            counter,
            interactive,
            trace,
        } = parts;
        let mut driver = Self {
            core: Core::new(),
            tasks: Tasks::default(),
            workers,
            pools,
            port,
            journal,
            campaign,
            dir,
            store,
            progress,
            signals,
            wake,
            modules,
            code: Vec::new(),
            issued: BTreeSet::new(),
            places: FxHashMap::default(),
            recording: FxHashMap::default(),
            homing: BTreeMap::new(),
            events: VecDeque::new(),
            handling: false,
            actions: Vec::new(),
            clock: Clock::new(),
            now: Instant::now(),
            wake_at: None,
            leaving: None,
            script_over: false,
            only_usage: false,
            surroundings,
            programs: Programs::default(),
            twins: Twins::default(),
            states: States::default(),
            deadline,
            heeded: None,
            draining: None,
            unsent: 0,
            held: 0,
            told: Told::default(),
            recorded: 0,
            unrecorded: 0,
            answers_next: false,
            postponed: Postponed::default(),
            forsaken: 0,
            faults: Faults::default(),
            ending: None,
            counter,
            interactive,
            silent_at: None,
            heard: Vec::new(),
            stirred: false,
            submitted: false,
            vigil: Vigil::default(),
            trace,
        };
        driver.look_ahead(&forecast);
        driver
    }

    /// Works until the script is over and everything it asked for has ended, or the campaign is stopped.
    pub(super) fn run(&mut self) -> Ending {
        loop {
            if self.clock.has_stood_still() {
                self.tell_the_end();
            }
            self.read_signals();
            self.read_requests();
            self.read_workers();
            self.pass_modules();
            self.read_journal();
            if self.clock.has_worked_for_long(Instant::now()) {
                // Busy, or stopped: what was said meanwhile lies unread, and counts before anybody's time is over. What that has
                // the core start must end in time, of which there is less than its clock shows.
                self.tell_the_end();
                self.wait_until(Some(Instant::now()), true);
                self.read_requests(); // the wait has heard of them, too
                self.read_workers();
            }
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
        if std::mem::replace(&mut self.handling, true) {
            return self.events.push_back(event); // an action caused it: first the other actions of its event
        }
        let mut actions = std::mem::take(&mut self.actions);
        let mut next = Some(event);
        while let Some(event) = next {
            self.trace.event(&event);
            self.core.handle(self.clock.now(), event, &mut actions);
            for action in actions.drain(..) {
                self.trace.action(&action);
                self.act(action);
            }
            next = self.events.pop_front();
        }
        self.actions = actions;
        self.handling = false;
    }

    pub(super) fn limits(&self) -> Limits {
        self.pools.launcher.limits
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start { task, attempt, gang, gpus } => self.start(task, attempt, &gang, &gpus),
            Action::Recall { worker, task, attempt } => self.tell(worker, &ToWorker::Recall(task, attempt)),
            Action::Kill { worker, task, attempt } => {
                if !self.cut_homing_short(worker, task, attempt) {
                    self.tell(worker, &ToWorker::Kill(task, attempt));
                }
            }
            Action::Offer { worker, artefact } => self.offer(worker, artefact),
            Action::Quiet { worker, on } => {
                if let Some(entry) = self.workers.get_mut(&worker) {
                    entry.quiet = on;
                    entry.last_heard = Instant::now();
                    entry.peer.queue(&ToWorker::Quiet(on));
                    self.silent_at = None;
                    self.calm_links();
                }
            }
            Action::GiveUp { worker } => {
                let grace = duration(GRACE_US as f64 / 1e6);
                self.lose(
                    worker,
                    &format!(
                        "a task that was to be killed has not ended for {grace} and nothing else can run there"
                    ),
                );
            }
            Action::Quarantine { pool, host } => self.quarantine(pool, &host),
            Action::Readmit { pool, host } => self.readmit(pool, &host),
            Action::Hold { task } => self.hold(task),
            Action::Resolve { task, end } => self.resolve(task, end),
            Action::WakeAt(tick) => self.wake_at = Some(tick),
        }
    }

    pub(super) fn tell(&mut self, worker: WorkerId, message: &ToWorker) {
        if let Some(entry) = self.workers.get_mut(&worker) {
            entry.peer.queue(message);
        }
    }

    /// Has a measurement the root's own node?
    fn is_calm_here(&self) -> bool {
        self.workers.values().any(|worker| worker.quiet && self.is_here(worker))
    }

    /// When to look again because a call has just come or ended, and at most one task could run.
    fn next_look(&mut self, now: Instant) -> Option<Instant> {
        if std::mem::take(&mut self.stirred) {
            self.vigil = if self.core.runnable() <= 1 { Vigil::begun() } else { Vigil::default() };
        }
        self.vigil.next_look(now).filter(|_| !self.is_calm_here())
    }

    /// While a measurement has the root's own node, the root looks at its MPI links rarely too, and draws next to nothing.
    fn calm_links(&mut self) {
        let here = self.is_calm_here();
        for worker in self.workers.values_mut() {
            worker.peer.link().set_quiet(here);
        }
        self.progress.quiet(here, Instant::now());
        self.counter.quiet(here);
    }

    fn start(&mut self, task: TaskId, attempt: Attempt, gang: &[WorkerId], gpus: &[GpuSet]) {
        let Some(live) = self.tasks.live(task) else { return };
        let Some(worker) = gang.first().copied() else { return };
        live.attempt = attempt;
        live.rare.worker = Some(worker);
        (live.rare.outcome, live.rare.has_begun) = (None, false);
        let kind = live.submission.job.kind();
        if kind != Kind::Call {
            self.now = Instant::now();
        }
        live.rare.started = Some(self.now.into());
        if live.is_of_gang() {
            let variables = self.pools.variables(live.pool);
            live.assemble(&self.campaign, gang, &self.workers, variables);
        }
        live.grant(gang, gpus, &self.workers, &self.pools.gpu_names);
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        // It cannot run after all, or need not; the core learns it as an answer of the worker.
        let unmet = live.take_unmet().map(|unmet| unmet.outcome());
        let known = || self.twins.answer(&live.submission, live.pool, entry.host());
        let too_much = || live.too_much_for(self.pools.memory(live.pool));
        if let Some(outcome) = unmet.or_else(known).or_else(too_much) {
            live.rare.outcome = Some(Arc::new(outcome));
            self.finished(worker, task, attempt);
            return;
        }
        if kind == Kind::Call {
            for (hash, bytes) in &self.code[entry.known_code..] {
                entry.peer.queue(&ToWorker::Code(*hash, bytes.to_vec()));
            }
            entry.known_code = self.code.len();
        }
        if let Err(error) = live.send(|message| entry.peer.try_queue(message)) {
            live.rare.outcome = Some(Arc::new(live.too_large(error)));
            self.finished(worker, task, attempt);
            return;
        }
        self.progress.started(self.now);
    }

    fn keep_time(&mut self) {
        let now = Instant::now();
        self.now = now;
        self.watch_deadline(now);
        self.watch_held();
        self.watch_end(now);
        if self.states.due().is_some_and(|at| at <= now) {
            self.save_states();
        }
        if self.wake_at.is_some_and(|at| at <= self.clock.now()) {
            self.wake_at = None;
            self.handle(Event::Tick);
        }
        self.watch_silences(now);
        self.watch_homing(now);
        self.tend_pools(now);
        self.answer_questions();
        self.progress.tick(now, || present(&self.core, &self.workers, &self.port, &self.recording));
        if self.progress.may_hang(now) {
            self.tell_what_has_no_limit();
        }
    }

    /// Who waits for a measurement that hangs is told which it is. One with a `timeout` ends by itself.
    fn tell_what_has_no_limit(&self) {
        let measured = self.workers.values().filter(|worker| worker.quiet && self.is_here(worker));
        let running = measured.flat_map(|worker| self.core.tasks_of(worker.id));
        let running = running.filter_map(|(task, runs)| self.tasks.look(task).filter(|_| runs));
        let endless = running.filter(|live| live.submission.options.timeout.is_none());
        for text in endless.filter_map(still_running) {
            self.progress.problem(&format!(
                "{text}: it has the root's node, and nothing is said until it ends (`harness status --now` asks)"
            ));
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
        self.clock.worked(now);
        let mut deadline =
            earlier(self.wake_at.and_then(|at| self.clock.moment(at)), Some(self.progress.next(now)));
        deadline = earlier(deadline, self.next_look(now));
        deadline = earlier(deadline, self.pools.next_deadline());
        deadline = earlier(deadline, self.next_drain());
        deadline = earlier(deadline, self.next_look_at_held(now));
        deadline = earlier(deadline, self.states.due());
        deadline = earlier(deadline, self.next_end());
        deadline = earlier(deadline, self.homing_due());
        deadline = earlier(deadline, self.next_silence());
        if std::mem::take(&mut self.submitted) && self.core.is_backed_up() && self.port.rest() {
            deadline = earlier(deadline, Some(now + REST));
        }
        self.wait_until(deadline, true);
        self.clock.waited(Instant::now());
    }

    /// Gives up workers that have been silent for too long.
    fn watch_silences(&mut self, now: Instant) {
        if self.silent_at.is_none_or(|at| at > now) {
            return;
        }
        // What they said while the root did something else, for long, lies unread.
        self.heard.extend(self.silent_workers(now).into_iter().map(|(id, _)| id));
        self.read_workers();
        for (id, silence) in self.silent_workers(now) {
            let silence = duration(silence.as_secs_f64());
            let reason =
                format!("it has not been heard of for {silence} (hung, stopped, or its node is lost)");
            self.lose(id, &reason);
        }
        self.silent_at = None;
    }

    /// Those that have been silent for too long, and how long that is.
    fn silent_workers(&self, now: Instant) -> Vec<(WorkerId, Duration)> {
        let limits = self.limits();
        let silent =
            self.workers.values().filter(|worker| worker.silent_at(&limits).is_some_and(|at| at <= now));
        silent.map(|worker| (worker.id, worker.patience(&limits))).collect()
    }

    /// When the first worker may have been silent for too long. All are looked at then, and not each time that one of them
    /// says something.
    fn next_silence(&mut self) -> Option<Instant> {
        if self.silent_at.is_none() {
            let limits = self.limits();
            let heeded = self.workers.values().filter(|worker| !worker.is_gone());
            self.silent_at = heeded.filter_map(|worker| worker.silent_at(&limits)).min();
        }
        self.silent_at
    }

    /// Sleeps until a worker, the script or a signal wants something, `journal` has news, or `deadline` has come. Notes which workers
    /// may have said something: of thousands few have.
    pub(super) fn wait_until(&mut self, mut deadline: Option<Instant>, journal: bool) {
        let now = Instant::now();
        self.heard.clear();
        let journal = journal.then(|| self.journal.as_fd());
        let sources = [Some(self.wake.as_fd()), Some(self.signals.as_fd()), journal];
        let mut fds: Vec<PollFd<'_>> =
            sources.into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let others = fds.len();
        let mut owners = Vec::new();
        let backed_up = self.core.is_backed_up();
        for worker in self.workers.values().filter(|worker| !worker.is_gone()) {
            let link = worker.peer.link_ref();
            let waited = link.poll_fds().into_iter().chain(worker.said.as_ref().and_then(Said::poll_fd));
            for (fd, flags) in waited {
                fds.push(PollFd::from_borrowed_fd(fd, flags));
                owners.push(worker.id);
            }
            if let Some(at) = link.next_poll(now, backed_up) {
                // It has something to do by itself, whatever comes.
                self.heard.push(worker.id);
                deadline = earlier(deadline, Some(at));
            }
            if worker.is_to_be_pumped() {
                deadline = Some(now);
            }
        }
        match wait(&mut fds, deadline) {
            Ok(()) => {
                let ready = fds[others..].iter().zip(owners).filter(|(fd, _)| !fd.revents().is_empty());
                self.heard.extend(ready.map(|(_, owner)| owner));
            }
            // poll fails only for lack of memory: go round, slowly.
            Err(_) => {
                self.heard.extend(owners);
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        self.wake.clear();
    }
}
