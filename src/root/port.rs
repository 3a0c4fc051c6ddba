//! The only door between the script thread and the driver.
//!
//! The script queues requests and never waits for them, the driver queues completions and never waits for the script
//! (`mailboxes`). The script's end also decides what need not run: a task that the journal already holds is answered
//! from it, in the order it was recorded and before any live completion, so that a script that searches takes the same
//! decisions again.
//! Knows nothing of Lua, of scheduling or of how a journal is read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::again::Retrying;
pub use super::ledger::Spent;
use super::ledger::{Ended, Ledger};
pub use super::lines::LineSender;
pub use super::mailboxes::DriverEnd;
use super::mailboxes::{Awaited, Mailboxes, Received};
use super::notices::Notices;
use super::settle::{Unmet, settle};
use super::trace::{Said, Scribe, Sink};
use super::witness::{Player, Witness};
use crate::model::{Arg, Hash, Kind, Outcome, Sparse, Status, TaskId, TaskOptions};

pub use super::order::{
    Baggage, CallJob, Campaign, Extra, Growth, Index, Job, Many, Misplaced, MostQueued, Order, PoolError,
    PoolInfo, PoolSpec, Quarantine, Replay, Request, RootNode, Start, Submission, What, WorkerInfo,
};

/// Of a task whose end the script has not taken yet.
pub(super) const ENDED: &str = "it has ended; its outcome comes when the script waits";

/// Stands for the next line from outside among the numbers of tasks.
pub const NEXT_LINE: TaskId = TaskId(u64::MAX);

/// How long [`Port::take`] waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// Not at all, and nothing is answered from the journal: the script is busy.
    No,
    /// As long as something is on its way.
    Forever,
    /// Until then, at the latest.
    Until(Instant),
}

/// What [`Port::take`] found.
#[derive(Debug)]
pub enum Taken {
    /// A task ended.
    Completion(Completion),
    /// A line from outside, if it was asked for; none after the last.
    Line(Option<Vec<u8>>),
    /// Nothing ended in time, or (with `Forever`) nothing is on its way.
    Nothing,
    /// The campaign is being stopped: nothing will end any more.
    Draining,
    /// Somebody at a terminal does not want to wait any longer.
    Interrupted,
}

/// The end of a task.
#[derive(Debug)]
pub struct Completion {
    /// Which.
    pub task: TaskId,
    /// How.
    pub outcome: Arc<Outcome>,
}

/// What [`port`] needs.
pub struct Setup {
    /// What the script is told about its own run.
    pub campaign: Campaign,
    /// What the journal holds.
    pub index: Index,
    /// Which of its answers are to be tried again.
    pub retrying: Retrying,
    /// What is to be noticed of its answers.
    pub notices: Notices,
    /// What earlier runs kept, by name.
    pub kept: BTreeMap<String, serde_json::Value>,
    /// Is this artefact still in the store? A build whose artefact is gone is done again.
    pub artefact_present: Box<dyn Fn(Hash) -> bool + Send>,
    /// Wakes the driver; called only when it may be asleep.
    pub wake: Box<dyn Fn() + Send>,
}

/// Makes the door: one end for the script's thread, one for the driver's.
pub fn port(setup: Setup) -> (Port, DriverEnd) {
    let Setup { campaign, index, retrying, notices, kept, artefact_present, wake } = setup;
    let mailboxes = Arc::new(Mailboxes::default());
    let ledger = Ledger::new(index, retrying, notices, &campaign, artefact_present);
    let port = Port {
        mailboxes: mailboxes.clone(),
        campaign,
        wake,
        arrived: VecDeque::new(),
        own: VecDeque::new(),
        replays: BTreeMap::new(),
        replaying: FxHashMap::default(),
        held: FxHashMap::default(),
        ledger,
        kept,
        is_whole: false,
        in_flight: 0,
        last_call: None,
        listens: false,
        awaits_line: false,
        began: Instant::now(),
        witness: Witness::default(),
    };
    (port, DriverEnd::new(mailboxes))
}

/// The script's end.
pub struct Port {
    pub(super) mailboxes: Arc<Mailboxes>,
    pub(super) campaign: Campaign,
    wake: Box<dyn Fn() + Send>,
    pub(super) arrived: VecDeque<Completion>,
    /// Ends of tasks the driver never had.
    pub(super) own: VecDeque<Completion>,
    /// Answers from the journal not yet delivered, in recorded order.
    replays: BTreeMap<(u64, TaskId), Arc<Outcome>>,
    pub(super) replaying: FxHashMap<TaskId, u64>,
    pub(super) held: FxHashMap<TaskId, Submission>,
    pub(super) ledger: Ledger,
    pub(super) kept: BTreeMap<String, serde_json::Value>,
    /// The script came to its end by itself.
    is_whole: bool,
    /// Tasks the driver has and whose end was not taken.
    in_flight: u64,
    /// The call that the driver was given last, as long as its end was not taken.
    last_call: Option<TaskId>,
    /// Is there anybody outside who has lines for it?
    listens: bool,
    /// The script waits for the next of them.
    awaits_line: bool,
    /// When the script's clock began.
    pub(super) began: Instant,
    /// Who writes down what passes here, or answers from what was written.
    pub(super) witness: Witness,
}

impl Port {
    /// The same, with a trace of what passes.
    pub(super) fn traced(mut self, sink: Sink) -> Self {
        if let Some(began) = sink.began() {
            self.began = began;
            self.witness = Witness::Scribe(Box::new(Scribe::new(sink)));
        }
        self
    }

    /// A door with no driver behind it: `player` answers. `index`: what a journal has.
    pub(super) fn played(
        campaign: Campaign,
        index: Index,
        kept: BTreeMap<String, serde_json::Value>,
        player: Box<dyn Player>,
    ) -> Self {
        let (retrying, notices) = Default::default();
        let (artefact_present, wake) = (Box::new(|_| true), Box::new(|| ()));
        let (mut port, _) = port(Setup { campaign, index, retrying, notices, kept, artefact_present, wake });
        port.witness = Witness::Player(player);
        port
    }

    /// Numbers a task and sends it on its way. Never blocks.
    pub fn submit(&mut self, order: Order) -> TaskId {
        let (task, recipe, replay) = self.ledger.enter(&order);
        if self.witness.submitted(task, &order, replay.as_ref()) {
            return task;
        }
        let Order { pool, options, mut job, deps, known, deferred } = order;
        if let Some(Replay { seq, outcome, .. }) = replay {
            self.issue_code(&mut job);
            self.request(Request::Replayed(job.kind(), options, outcome.clone()));
            self.replaying.insert(task, seq);
            self.replays.insert((seq, task), outcome);
            return task;
        }
        if let Job::Compile(spec) = &mut job
            && self.ledger.is_tried_again(recipe.as_deref())
        {
            spec.cache = false;
        }
        let extra = Extra { recipe, auxiliary: deferred, deps: deps.into() };
        let mut submission = Submission { task, pool, options, job, extra: extra.into() };
        for (dep, value) in known {
            super::settle::put(&mut submission, dep, &value);
        }
        if submission.extra.deps.is_empty() {
            self.dispatch(submission, deferred);
            return task;
        }
        if let Job::Call(call) = &mut submission.job {
            let label = |dep: &TaskId| Some((*dep, self.ledger.label(*dep)?));
            call.baggage.labels = submission.extra.deps.iter().filter_map(label).collect();
        }
        match self.settle_known(&mut submission) {
            Ok(()) => self.dispatch(submission, deferred),
            Err((unmet, after)) => {
                let outcome = Arc::new(unmet.outcome());
                self.issue_code(&mut submission.job);
                let what = Some(Box::new(submission.job.what()));
                self.request(Request::Unrun(
                    submission.job.kind(),
                    submission.options,
                    what,
                    outcome.clone(),
                ));
                self.end_early(task, outcome, after);
            }
        }
        task
    }

    /// The script gives each bytecode once, with the first call that has it: it must not end with that call.
    fn issue_code(&self, job: &mut Job) {
        if let Job::Call(call) = job
            && !call.baggage.codes.is_empty()
        {
            self.request(Request::Code(call.take_codes()));
        }
    }

    /// Why what is asked for will not be answered: the trace does not have it. None as long as there is a driver.
    pub fn objection(&mut self) -> Option<String> {
        self.witness.player()?.objection()
    }

    /// Tells the driver, which keeps the count of all tasks, of one that it will never see.
    pub fn unrun(&mut self, kind: Kind, options: Sparse<TaskOptions>, outcome: Arc<Outcome>) {
        if let Some(player) = self.witness.player() {
            return player.unrun(kind, &outcome);
        }
        self.request(Request::Unrun(kind, options, None, outcome));
    }

    /// The script has ended, and now `what` runs, which may take its time.
    pub fn leave(&self, what: impl Into<String>) {
        self.request(Request::Leave(what.into()));
    }

    /// Somebody only wanted to know how the script is used.
    pub fn only_usage(&self) {
        self.request(Request::OnlyUsage);
    }

    /// The script came to its end, and has asked for all it asks for.
    pub fn came_to_its_end(&mut self) {
        self.is_whole = true;
    }

    /// Says where the functions of a class were written, once for each.
    pub fn place(&mut self, class: u64, place: String) {
        self.witness.place(class, &place);
        self.request(Request::Place(class, place));
    }

    /// The next end of a task.
    pub fn take(&mut self, wait: Wait) -> Taken {
        let until = match wait {
            Wait::Until(moment) => Some(moment.saturating_duration_since(self.began).as_secs_f64()),
            Wait::No | Wait::Forever => None,
        };
        let taken = match self.witness.player() {
            Some(player) => player.take(until),
            None => self.next_end(wait),
        };
        if let Taken::Completion(end) = &taken {
            self.ledger.ended(end.task, &end.outcome);
        }
        self.witness.took(&taken);
        taken
    }

    fn next_end(&mut self, wait: Wait) -> Taken {
        if self.draining() {
            return Taken::Draining;
        }
        if self.take_interrupt() {
            return Taken::Interrupted;
        }
        if !self.replays.is_empty() {
            return if wait == Wait::No { Taken::Nothing } else { self.take_replay() };
        }
        if self.own.is_empty() && self.arrived.is_empty() {
            match self.receive(wait) {
                Received::Ends => {}
                Received::Line(line) => {
                    self.awaits_line = false;
                    return Taken::Line(line);
                }
                Received::Nothing if self.draining() => return Taken::Draining,
                Received::Nothing if self.take_interrupt() => return Taken::Interrupted,
                Received::Nothing => return Taken::Nothing,
            }
        }
        let completion = match self.own.pop_front() {
            Some(completion) => completion,
            None => {
                let Some(completion) = self.arrived.pop_front() else { return Taken::Nothing };
                self.in_flight -= 1;
                self.last_call = self.last_call.filter(|call| *call != completion.task);
                self.mailboxes.count_taken();
                completion
            }
        };
        Taken::Completion(completion)
    }

    /// Lets somebody outside have lines for the script.
    pub fn listen(&mut self) -> LineSender {
        self.listens = true;
        LineSender(self.mailboxes.clone())
    }

    /// Is there anybody outside who has lines?
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// What is taken next may be the next of those lines.
    pub fn await_line(&mut self) {
        self.awaits_line = true;
    }

    /// Does the script wait because as many tasks are on their way as may be?
    pub fn set_full(&self, full: bool) {
        self.mailboxes.set_full(if full { self.campaign.most_queued.tasks } else { 0 });
    }

    /// So many more calls, or fewer, are known to come, as the rest of a list that a `map` sends: they count as submitted and waiting for
    /// whoever looks.
    pub fn add_to_come(&self, more: i64) {
        self.mailboxes.add_to_come(more);
    }

    /// So many more searches are at work, or fewer: while there are any, nobody knows how much is to come.
    pub fn add_searches(&self, more: i64) {
        self.mailboxes.add_searches(more);
    }

    /// Asks for the end of a task; its outcome follows.
    pub fn cancel(&mut self, task: TaskId) {
        if task == NEXT_LINE {
            return; // it comes all the same
        }
        self.witness.said(|| Said::Cancel { task });
        if let Some(player) = self.witness.player() {
            player.cancel(task);
        } else if self.held.remove(&task).is_some() {
            let outcome = Outcome::failed(Status::Cancelled, "cancelled before it was needed");
            self.deliver_own(task, Arc::new(outcome));
        } else if !self.replaying.contains_key(&task) {
            self.request(Request::Cancel(task));
        }
    }

    /// Tasks the driver has and whose end was not taken.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// What was to end has ended, or another line has begun since.
    pub fn forget_interrupts(&self) {
        self.mailboxes.forget_interrupts();
    }

    /// Is the campaign being stopped?
    pub fn draining(&self) -> bool {
        self.mailboxes.draining()
    }

    /// Does somebody at a terminal want what the script does now to end? Asked once, it is no more.
    pub fn take_interrupt(&self) -> bool {
        self.mailboxes.take_interrupt()
    }

    /// Puts in what is known of its dependencies; `Err` names why it cannot run, and after which answer
    /// from the journal to say so.
    fn settle_known(&mut self, submission: &mut Submission) -> Result<(), (Unmet, Option<u64>)> {
        for dep in submission.extra.deps.clone() {
            if let Some(seq) = self.replaying.get(&dep) {
                if let Some(outcome) = self.replays.get(&(*seq, dep)) {
                    settle(submission, dep, outcome).map_err(|unmet| (unmet, Some(*seq)))?;
                }
                continue;
            }
            match self.ledger.end_of(dep) {
                Some(Ended { artefact: Some(hash), .. }) => {
                    super::settle::put(submission, dep, &Arg::Artefact(hash));
                }
                Some(Ended { status, .. }) if status != Status::Ok && !submission.options.accept_failed => {
                    return Err((Unmet::failed(submission, dep, status, None), None));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, submission: Submission, deferred: bool) {
        if deferred {
            self.held.insert(submission.task, submission);
            return;
        }
        for dep in submission.extra.deps.iter() {
            if let Some(needed) = self.held.remove(dep) {
                self.dispatch(needed, false);
            }
        }
        self.in_flight += 1;
        if let Job::Call(_) = submission.job {
            self.last_call = Some(submission.task);
        }
        self.request(Request::Submit(submission));
    }

    fn end_early(&mut self, task: TaskId, outcome: Arc<Outcome>, after: Option<u64>) {
        match after {
            Some(seq) => {
                self.replaying.insert(task, seq);
                self.replays.insert((seq, task), outcome);
            }
            None => self.deliver_own(task, outcome),
        }
    }

    fn deliver_own(&mut self, task: TaskId, outcome: Arc<Outcome>) {
        self.own.push_back(Completion { task, outcome });
    }

    fn take_replay(&mut self) -> Taken {
        let Some(((_, task), outcome)) = self.replays.pop_first() else { return Taken::Nothing };
        self.replaying.remove(&task);
        Taken::Completion(Completion { task, outcome })
    }

    /// Fetches what the driver queued, or the line that is awaited.
    fn receive(&mut self, wait: Wait) -> Received {
        if wait != Wait::No {
            // All that the script asks for before it needs something new has been asked for.
            self.tell_answers();
            self.tell_notices(false);
        }
        let alone = self.in_flight == 1 && self.last_call.is_some();
        let awaited = Awaited { ends: self.in_flight > 0, line: self.awaits_line, alone };
        self.mailboxes.receive(&mut self.arrived, awaited, wait)
    }

    fn tell_answers(&mut self) {
        let keys = self.ledger.unsaid();
        if !keys.is_empty() {
            self.request(Request::Answered(keys));
        }
    }

    fn tell_notices(&mut self, over: bool) {
        for line in self.ledger.notices(over) {
            self.request(Request::Notice(line));
        }
    }

    pub(super) fn request(&self, request: Request) {
        if matches!(self.witness, Witness::Player(_)) {
            return; // there is nobody
        }
        if self.mailboxes.request(request) {
            (self.wake)();
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.tell_answers();
        if !self.draining() {
            self.tell_notices(true);
            let forgotten = if self.is_whole { self.ledger.forgotten() } else { None };
            forgotten.into_iter().for_each(|line| self.request(Request::Notice(line)));
        }
        self.request(Request::End);
    }
}

#[cfg(test)]
#[path = "port_tests.rs"]
mod tests;
