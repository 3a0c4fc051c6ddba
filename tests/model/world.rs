//! A campaign in small: a script, the real [`Core`], the driver's rule for records and futures, the journal, ordered
//! links, and workers; and all that may happen next. docs/protocol.md says the same in words.
//!
//! Whatever the network, the processes and time may do is a [`Step`], and how often accidents happen is bounded by the
//! [`Accidents`] that are left. Each step judges what must hold in it.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;
use std::hash::{Hash as _, Hasher};

use harness::core::{Action, Core, Dep, DepState, End, Event, GpuSet, Request, Tick};
use harness::model::{Attempt, Exclusive, Hash, Kind, Placement, PoolId, TaskId, WorkerId};

/// What a script asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub kind: Kind,
    pub retries: u32,
    /// The number of the task it depends on.
    pub dep: Option<u64>,
    pub timeout_us: Option<u64>,
}

/// What else may happen, and how often.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub struct Accidents {
    /// A worker dies; of what it has said on its way any last part is lost.
    pub crashes: u8,
    /// The root dies and the campaign is run again.
    pub resumes: u8,
    /// A program fails.
    pub failures: u8,
    /// Any answer of a worker is heard once more, at any time.
    pub repeats: u8,
    /// A task with a limit neither ends nor can be killed.
    pub hangs: u8,
    /// The script cancels a task.
    pub cancels: u8,
    /// Time passes although something else could happen.
    pub hurries: u8,
    /// The campaign is to stop: it submits nothing more, and everything is cancelled.
    pub drains: u8,
}

/// What is wrong with everything around the core: each has to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    /// A future resolves when its record is handed to the writer.
    ReportsBeforeWriting,
    /// A kill of the root takes the record that was written last with it.
    LosesWhatWasWritten,
    /// The journal is not asked when a task is submitted.
    JournalNotAsked,
    /// Answers of earlier attempts are taken for one of the present.
    AttemptUnchecked,
    /// A worker is declared lost, and what it runs goes on.
    LostGoesOn,
    /// Nobody notices the loss of a worker.
    LossUnnoticed,
    /// An attempt that is done is forgotten by its worker.
    EndUntold,
    /// So is what goes back.
    ReturnUntold,
}

/// The beginning of a run.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub workers: u32,
    pub slots: u16,
    pub wishes: Vec<Wish>,
    pub accidents: Accidents,
    pub fault: Fault,
}

/// Something that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The script submits its next task.
    Submit,
    /// The worker hears what was sent to it first.
    Down(usize),
    /// The root hears what the worker said first.
    Up(usize),
    /// An answer that it has heard, again.
    Again(usize, usize),
    /// A task ends on the worker, well or not.
    Ends(usize, TaskId, bool),
    /// It will never end by itself.
    Hangs(usize, TaskId),
    /// What runs there proves long, and what was sent ahead of programs goes back.
    GivesBack(usize),
    /// The worker dies; so much of what it said arrives.
    Dies(usize, usize),
    /// The root notices.
    Lost(usize),
    /// The next record is written.
    Write,
    /// The driver hears of that and resolves the future.
    Report,
    Cancel(TaskId),
    Drain,
    /// Until the core wants to be woken.
    TimePasses,
    /// The root dies, and with it all that is not in the journal; the campaign is run again.
    RootDies,
}

/// A worker with its keeper, and the link.
#[derive(Clone, Debug, Default)]
struct Machine {
    down: VecDeque<Action>,
    up: VecDeque<Event>,
    /// Answers that the root has heard, while they may come again.
    heard: Vec<Event>,
    /// Nothing more will be said.
    dead: bool,
    /// And the core knows.
    told: bool,
    running: Vec<(TaskId, Attempt)>,
    pipe: VecDeque<(TaskId, Attempt)>,
    hung: BTreeSet<TaskId>,
    quiet: bool,
}

/// What the driver knows of a task.
#[derive(Clone, Debug, Default)]
struct Track {
    starts: u32,
    /// Attempts that came back and had not begun.
    returns: u32,
    /// Where its present attempt is.
    placed: Option<WorkerId>,
    end: Option<End>,
    ok: bool,
    cancelled: bool,
    reported: bool,
}

/// See the module.
#[derive(Clone)]
pub struct World {
    campaign: Campaign,
    core: Core,
    now: u64,
    wake: Option<u64>,
    machines: Vec<Machine>,
    tracks: Vec<Track>,
    left: Accidents,
    /// Records the writer has, and those it has written and not told of.
    unwritten: VecDeque<TaskId>,
    untold: VecDeque<TaskId>,
    /// Tasks whose records answer a later run, in order.
    journal: Vec<TaskId>,
    draining: bool,
    /// The answer that is heard now.
    hearing: Option<(WorkerId, Attempt)>,
}

type Judged = Result<(), String>;

impl World {
    pub fn new(campaign: Campaign) -> Self {
        let (left, machines) = (campaign.accidents, Vec::new());
        let mut world = Self {
            campaign,
            core: Core::new(),
            now: 0,
            wake: None,
            machines,
            tracks: Vec::new(),
            left,
            unwritten: VecDeque::new(),
            untold: VecDeque::new(),
            journal: Vec::new(),
            draining: false,
            hearing: None,
        };
        world.begin_session().expect("nothing has happened");
        world
    }

    /// Equal for states from which the same may happen.
    pub fn view(&self) -> u64 {
        let mut text = format!("{:?}", self.core);
        // How far the core is with checking itself.
        text.truncate(text.rfind("unchecked: ").unwrap_or(text.len()));
        let rest = (&self.machines, &self.tracks, &self.unwritten, &self.untold, &self.journal);
        let _ = write!(text, "{rest:?}{:?}{:?}{}", self.now, self.wake, self.draining);
        let mut hasher = DefaultHasher::new();
        (text, self.left).hash(&mut hasher);
        hasher.finish()
    }

    /// Everything that may happen now.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = self.progress();
        if self.left.hurries > 0 && self.wake.is_some() && steps != [Step::TimePasses] {
            steps.push(Step::TimePasses);
        }
        for (at, machine) in self.machines.iter().enumerate() {
            if !machine.told {
                steps.extend((0..machine.heard.len()).map(|which| Step::Again(at, which)));
            }
            if self.left.crashes > 0 && !machine.dead {
                steps.extend((0..=machine.up.len()).map(|kept| Step::Dies(at, kept)));
            }
            if !machine.dead && self.is_behind_programs(machine) {
                steps.push(Step::GivesBack(at));
            }
            for (task, _) in self.moving(machine) {
                if self.left.failures > 0 {
                    steps.push(Step::Ends(at, task, false));
                }
                let is_limited = self.campaign.wishes[task.0 as usize].timeout_us.is_some();
                if self.left.hangs > 0 && is_limited {
                    steps.push(Step::Hangs(at, task));
                }
            }
        }
        if self.left.cancels > 0 {
            let open = (0..).zip(&self.tracks).filter(|(_, track)| track.end.is_none());
            steps.extend(open.map(|(task, _)| Step::Cancel(TaskId(task))));
        }
        if self.left.drains > 0 {
            steps.push(Step::Drain);
        }
        if self.left.resumes > 0 {
            steps.push(Step::RootDies);
        }
        steps
    }

    /// What happens by itself, sooner or later; time passes where nothing else does.
    fn progress(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.all_submitted() {
            steps.push(Step::Submit);
        }
        for (at, machine) in self.machines.iter().enumerate() {
            if !machine.down.is_empty() {
                steps.push(Step::Down(at));
            }
            if !machine.up.is_empty() {
                steps.push(Step::Up(at));
            } else if machine.dead && !machine.told && self.campaign.fault != Fault::LossUnnoticed {
                steps.push(Step::Lost(at));
            }
            steps.extend(self.moving(machine).map(|(task, _)| Step::Ends(at, task, true)));
        }
        if !self.unwritten.is_empty() {
            steps.push(Step::Write);
        }
        if !self.untold.is_empty() {
            steps.push(Step::Report);
        }
        if steps.is_empty() && self.wake.is_some() && !self.all_reported() {
            steps.push(Step::TimePasses);
        }
        steps
    }

    fn moving<'a>(&self, machine: &'a Machine) -> impl Iterator<Item = (TaskId, Attempt)> + use<'a> {
        machine.running.iter().copied().filter(|(task, _)| !machine.hung.contains(task))
    }

    /// Programs wait there, and only for programs.
    fn is_behind_programs(&self, machine: &Machine) -> bool {
        let is_program =
            |(task, _): &(TaskId, Attempt)| self.campaign.wishes[task.0 as usize].kind == Kind::Exec;
        !machine.pipe.is_empty() && machine.running.iter().chain(&machine.pipe).all(is_program)
    }

    fn all_submitted(&self) -> bool {
        self.draining || self.tracks.len() == self.campaign.wishes.len()
    }

    fn all_reported(&self) -> bool {
        self.all_submitted() && self.tracks.iter().all(|track| track.reported)
    }

    /// Does nothing happen by itself any more?
    pub fn rests(&self) -> bool {
        self.progress().is_empty()
    }

    /// What must hold then: every task has ended, and its future is resolved.
    pub fn judge_rest(&self) -> Judged {
        match self.tracks.iter().position(|track| !track.reported) {
            Some(task) => Err(format!("task {task} never ends: {:?}", self.tracks[task])),
            None if self.core.unresolved() > 0 => Err("the core waits for more".into()),
            None => Ok(()),
        }
    }

    /// It happens.
    pub fn take(&mut self, step: Step) -> Judged {
        match step {
            Step::Submit => self.submit(),
            Step::Down(at) => match self.machines[at].down.pop_front() {
                Some(action) => self.obey(at, action),
                None => Ok(()),
            },
            Step::Up(at) => {
                let Some(event) = self.machines[at].up.pop_front() else { return Ok(()) };
                if self.left.repeats > 0 && !matches!(event, Event::Have { .. }) {
                    self.machines[at].heard.push(event.clone());
                }
                self.hear(event)
            }
            Step::Again(at, which) => {
                self.left.repeats -= 1;
                let event = self.machines[at].heard.swap_remove(which);
                if self.left.repeats == 0 {
                    self.machines.iter_mut().for_each(|machine| machine.heard.clear());
                }
                self.hear(event)
            }
            Step::Ends(at, task, ok) => {
                self.left.failures -= u8::from(!ok);
                self.end(at, task, ok)
            }
            Step::Hangs(at, task) => {
                self.left.hangs -= 1;
                self.machines[at].hung.insert(task);
                Ok(())
            }
            Step::GivesBack(at) => {
                let pipe = std::mem::take(&mut self.machines[at].pipe);
                let told = pipe.into_iter().filter(|_| self.campaign.fault != Fault::ReturnUntold);
                for (task, attempt) in told.collect::<Vec<_>>() {
                    self.tracks[task.0 as usize].returns += 1;
                    self.say(at, Event::Recalled { worker: WorkerId(at as u32), task, attempt });
                }
                Ok(())
            }
            Step::Dies(at, kept) => {
                self.left.crashes -= 1;
                self.machines[at].up.truncate(kept);
                self.die(at);
                Ok(())
            }
            Step::Lost(at) => {
                self.machines[at].told = true;
                self.feed(Event::WorkerLost { worker: WorkerId(at as u32) })
            }
            Step::Write => {
                let Some(task) = self.unwritten.pop_front() else { return Ok(()) };
                if self.tracks[task.0 as usize].end == Some(End::Finished) {
                    self.journal.push(task);
                }
                self.untold.push_back(task);
                Ok(())
            }
            Step::Report => {
                if let Some(task) = self.untold.pop_front() {
                    self.tracks[task.0 as usize].reported = true;
                }
                Ok(())
            }
            Step::Cancel(task) => {
                self.left.cancels -= 1;
                self.tracks[task.0 as usize].cancelled = true;
                self.feed(Event::Cancel { task })
            }
            Step::Drain => {
                self.left.drains -= 1;
                self.draining = true;
                self.tracks.iter_mut().for_each(|track| track.cancelled = true);
                self.feed(Event::Drain)
            }
            Step::TimePasses => {
                self.left.hurries -= u8::from(self.progress() != [Step::TimePasses]);
                let Some(wake) = self.wake.take() else { return Ok(()) };
                self.now = self.now.max(wake);
                self.feed(Event::Tick)
            }
            Step::RootDies => self.resume(),
        }
    }

    fn begin_session(&mut self) -> Judged {
        self.machines = vec![Machine::default(); self.campaign.workers as usize];
        self.feed(Event::PoolOpened { pool: PoolId(0) })?;
        for worker in 0..self.campaign.workers {
            self.feed(Event::WorkerReady {
                worker: WorkerId(worker),
                pool: PoolId(0),
                host: format!("n{worker}"),
                allocation: 0,
                slots: self.campaign.slots,
                sockets: vec![self.campaign.slots].into(),
                gpus: GpuSet::default(),
                measures: true,
            })?;
        }
        self.feed(Event::PoolSettled { pool: PoolId(0) })
    }

    /// What was told is in the journal, or it is lost now. Workers and keepers end with the root.
    fn resume(&mut self) -> Judged {
        self.left.resumes -= 1;
        if self.campaign.fault == Fault::LosesWhatWasWritten {
            self.journal.pop();
        }
        for (task, track) in self.tracks.iter().enumerate() {
            if track.reported
                && track.end == Some(End::Finished)
                && !self.journal.contains(&TaskId(task as u64))
            {
                return Err(format!("task {task} was reported, and its record is lost"));
            }
        }
        (self.core, self.now, self.wake, self.draining) = (Core::new(), 0, None, false);
        (self.unwritten, self.untold) = (VecDeque::new(), VecDeque::new());
        self.tracks.clear();
        self.begin_session()
    }

    fn submit(&mut self) -> Judged {
        let task = TaskId(self.tracks.len() as u64);
        let wish = self.campaign.wishes[self.tracks.len()];
        if self.journal.contains(&task) && self.campaign.fault != Fault::JournalNotAsked {
            let end = Some(End::Finished);
            self.tracks.push(Track { end, ok: true, reported: true, ..Track::default() });
            return Ok(());
        }
        self.tracks.push(Track::default());
        let dep = |task: u64| {
            let track = &self.tracks[task as usize];
            let state = match &track.end {
                None => DepState::Pending,
                Some(End::Finished) if track.ok => DepState::Ok(self.built(TaskId(task))),
                Some(_) => DepState::Failed,
            };
            Dep { task: TaskId(task), state }
        };
        let exclusive = (wish.kind == Kind::Measure).then_some(Exclusive::Node);
        self.feed(Event::Submitted(Request {
            task,
            kind: wish.kind,
            pool: PoolId(0),
            placement: Placement { exclusive, ..Placement::default() }.into(),
            timeout_us: wish.timeout_us,
            retries: wish.retries,
            deps: wish.dep.map(dep).into_iter().collect(),
            accept_failed: false,
            inputs: Vec::new(),
            // All runs are of one program: once one has ended others are sent ahead.
            class: if wish.kind == Kind::Exec { u64::MAX } else { task.0 },
            like: None,
            recorded: true,
            tried: None,
        }))
    }

    /// What a build gives.
    fn built(&self, task: TaskId) -> Option<Hash> {
        let is_build = self.campaign.wishes[task.0 as usize].kind == Kind::Compile;
        is_build.then(|| Hash::of(&task.0.to_le_bytes()))
    }

    /// The root hears a worker.
    fn hear(&mut self, mut event: Event) -> Judged {
        let answered = match &mut event {
            Event::Started { worker, task, attempt }
            | Event::Recalled { worker, task, attempt }
            | Event::Finished { worker, task, attempt, .. } => Some((worker, *task, attempt)),
            _ => None,
        };
        if let Some((worker, task, attempt)) = answered {
            self.hearing = Some((*worker, *attempt));
            let track = &self.tracks[task.0 as usize];
            if self.campaign.fault == Fault::AttemptUnchecked {
                (*worker, *attempt) = (track.placed.unwrap_or(*worker), Attempt(track.starts));
            }
        }
        if let Event::Finished { task, ok, .. } = &event
            && self.tracks[task.0 as usize].end.is_none()
        {
            self.tracks[task.0 as usize].ok = *ok;
        }
        let judged = self.feed(event);
        self.hearing = None;
        judged
    }

    /// Hands an event to the core and carries its actions out.
    fn feed(&mut self, event: Event) -> Judged {
        let mut actions = Vec::new();
        self.core.handle(Tick(self.now), event, &mut actions);
        self.core.check();
        actions.into_iter().try_for_each(|action| self.carry_out(action))
    }

    fn carry_out(&mut self, action: Action) -> Judged {
        match action {
            Action::WakeAt(Tick(at)) => self.wake = Some(self.wake.map_or(at, |wake| wake.min(at))),
            Action::Hold { task } => return Err(format!("task {task} is held back, and time has no end")),
            Action::Quarantine { host, .. } | Action::Readmit { host, .. } => {
                return Err(format!("nobody keeps off nodes, and {host} is"));
            }
            Action::GiveUp { worker } => self.die(worker.0 as usize),
            Action::Resolve { task, end } => self.resolve(task, end)?,
            Action::Start { task, attempt, ref gang, .. } => {
                let track = &mut self.tracks[task.0 as usize];
                if track.end.is_some() || self.journal.contains(&task) {
                    return Err(format!("task {task} starts although it has ended"));
                }
                if attempt.0 != track.starts + 1 {
                    return Err(format!("{attempt:?} of task {task} comes after {}", track.starts));
                }
                let wish = &self.campaign.wishes[task.0 as usize];
                // A call that has not begun is sent again for nothing, and so is a program that came back.
                if wish.kind != Kind::Call && attempt.0 > 1 + wish.retries + track.returns {
                    return Err(format!("task {task} is tried more often than it may be"));
                }
                (track.starts, track.placed) = (attempt.0, Some(gang.leader()));
                self.send(gang.leader(), action)?;
            }
            Action::Recall { worker, .. }
            | Action::Kill { worker, .. }
            | Action::Offer { worker, .. }
            | Action::Quiet { worker, .. } => self.send(worker, action)?,
        }
        Ok(())
    }

    fn send(&mut self, worker: WorkerId, action: Action) -> Judged {
        let machine = &mut self.machines[worker.0 as usize];
        if machine.told {
            return Err(format!("{action:?} for a worker that is lost"));
        }
        if !machine.dead {
            machine.down.push_back(action);
        }
        Ok(())
    }

    fn resolve(&mut self, task: TaskId, end: End) -> Judged {
        let track = &mut self.tracks[task.0 as usize];
        let retries = self.campaign.wishes[task.0 as usize].retries;
        if track.end.is_some() {
            return Err(format!("task {task} ends twice"));
        }
        let present = track.placed.map(|worker| (worker, Attempt(track.starts)));
        match &end {
            End::Finished if self.hearing != present => {
                return Err(format!("task {task} ends by an answer to another attempt"));
            }
            End::Cancelled if !track.cancelled => return Err(format!("nobody has cancelled task {task}")),
            End::LostWorker { workers }
                if workers.len() <= retries as usize && self.machines.iter().any(|machine| !machine.told) =>
            {
                return Err(format!("task {task} is given up after {} losses", workers.len()));
            }
            End::Refused { reason } => return Err(format!("task {task} is refused: {reason}")),
            _ => {}
        }
        track.end = Some(end);
        track.reported = self.campaign.fault == Fault::ReportsBeforeWriting;
        self.unwritten.push_back(task);
        Ok(())
    }

    /// The worker is no more, and with it what it ran.
    fn die(&mut self, at: usize) {
        let goes_on = self.campaign.fault == Fault::LostGoesOn;
        let machine = &mut self.machines[at];
        machine.dead = true;
        machine.down.clear();
        if !goes_on {
            machine.running.clear();
            machine.pipe.clear();
        }
    }

    fn say(&mut self, at: usize, event: Event) {
        if !self.machines[at].dead {
            self.machines[at].up.push_back(event);
        }
    }

    /// The worker does what it is told.
    fn obey(&mut self, at: usize, action: Action) -> Judged {
        let worker = WorkerId(at as u32);
        let machine = &mut self.machines[at];
        match action {
            Action::Start { task, attempt, .. } => {
                let kind = self.campaign.wishes[task.0 as usize].kind;
                let full = machine.running.len() >= self.campaign.slots.into();
                if full && matches!(kind, Kind::Call | Kind::Exec) {
                    machine.pipe.push_back((task, attempt));
                    return Ok(());
                }
                return self.begin(at, task, attempt);
            }
            Action::Recall { task, attempt, .. } | Action::Kill { task, attempt, .. } => {
                if let Some(place) = machine.pipe.iter().position(|call| *call == (task, attempt)) {
                    machine.pipe.remove(place);
                    self.say(at, Event::Recalled { worker, task, attempt });
                } else if matches!(action, Action::Kill { .. })
                    && machine.running.contains(&(task, attempt))
                    && !machine.hung.contains(&task)
                {
                    return self.end(at, task, false);
                }
            }
            // The root has it, and answers for it.
            Action::Offer { artefact, .. } => self.say(at, Event::Have { worker, artefact }),
            Action::Quiet { on, .. } => machine.quiet = on,
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: usize, task: TaskId, attempt: Attempt) -> Judged {
        let mut everywhere = self.machines.iter().flat_map(|machine| &machine.running);
        if everywhere.any(|(other, _)| *other == task) {
            return Err(format!("task {task} runs twice at once"));
        }
        let alone = |task: TaskId| self.campaign.wishes[task.0 as usize].kind == Kind::Measure;
        let machine = &self.machines[at];
        if machine.running.len() >= self.campaign.slots.into() {
            return Err(format!("task {task} has no slot"));
        }
        if alone(task) && !(machine.quiet && machine.running.is_empty() && machine.pipe.is_empty()) {
            return Err(format!("task {task} is measured, and not alone"));
        }
        if !alone(task) && (machine.quiet || machine.running.iter().any(|(other, _)| alone(*other))) {
            return Err(format!("task {task} begins beside a measurement"));
        }
        self.machines[at].running.push((task, attempt));
        self.say(at, Event::Started { worker: WorkerId(at as u32), task, attempt });
        Ok(())
    }

    fn end(&mut self, at: usize, task: TaskId, ok: bool) -> Judged {
        let machine = &mut self.machines[at];
        let Some(place) = machine.running.iter().position(|(other, _)| *other == task) else { return Ok(()) };
        let (_, attempt) = machine.running.remove(place);
        let artefact = self.built(task).filter(|_| ok);
        if self.campaign.fault != Fault::EndUntold {
            let worker = WorkerId(at as u32);
            self.say(
                at,
                Event::Finished { worker, task, attempt, ok, unfit: false, artefact, elapsed_us: 1000 },
            );
        }
        match self.machines[at].pipe.pop_front() {
            Some((next, attempt)) => self.begin(at, next, attempt),
            None => Ok(()),
        }
    }
}
