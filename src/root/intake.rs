//! What the script asks for, as the driver takes it in: tasks become events for the core, the rest goes to whom it concerns.

use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::driver::Driver;
use super::forecast::like;
use super::order::program_class;
use super::port::{Job, Request, Submission, What};
use super::record;
use super::stop::Leaving;
use super::workers::Stage;
use crate::core::{Dep, DepState, Event, Request as Ask};
use crate::machine;
use crate::model::{Answered, Exclusive, Hash, Kind, Record, ToWorker};

/// A longer time limit is none (µs): some 30 years.
const LONGEST_US: f64 = 1e15;
/// So many keys of answers are in one line of the journal.
const ANSWERS_IN_A_LINE: usize = 1000;
/// So many requests that were read together count as made at the same time.
const DATED_TOGETHER: usize = 64;

impl Driver {
    pub(super) fn read_requests(&mut self) {
        // Asked first: what was submitted before a completion was taken may still refer to that task.
        let taken = self.port.taken();
        for (n, request) in self.port.requests().into_iter().enumerate() {
            if n % DATED_TOGETHER == 0 {
                self.now = Instant::now();
            }
            match request {
                Request::Submit(submission) => self.submit(submission),
                Request::Cancel(task) => self.handle(Event::Cancel { task }),
                Request::Spawn(spec) => {
                    self.open_pool(*spec);
                    self.now = Instant::now();
                }
                Request::Explain(task) => {
                    let why = self.explain(task);
                    self.port.explained(why);
                }
                Request::Grow(pool, how) => self.grow_pool(pool, how.0, how.1),
                Request::Close(pool) => self.pools.close_when_idle(pool),
                Request::Forget(share) => {
                    for worker in self.workers.values_mut().filter(|w| matches!(w.stage, Stage::Ready(_))) {
                        worker.peer.queue(&ToWorker::Forget(share));
                    }
                }
                Request::Code(codes) => self.issue(codes),
                Request::Replayed(kind, options, outcome) => {
                    self.twins.built(&outcome);
                    self.progress.replayed(kind, &options, &outcome);
                }
                Request::Unrun(kind, options, what, outcome) => {
                    let what = what.and_then(|what| told(&self.places, *what));
                    self.progress.unrun(kind, &options, what, &outcome);
                }
                Request::Place(class, place) => {
                    self.places.insert(class, place);
                }
                Request::Answered(keys) => self.record_answers(&keys),
                Request::Notice(text) => self.progress.note(&text),
                Request::Keep(kept) => self.states.keep(kept.0, kept.1, Instant::now()),
                Request::Leave(what) => self.leaving = Some(Leaving::new(what)),
                Request::OnlyUsage => self.only_usage = true,
                Request::End => {
                    self.leaving = None;
                    self.script_over = true;
                    self.save_states();
                }
            }
        }
        self.tasks.forget(taken);
    }

    /// What the journal answered and is to say, so many in a line.
    fn record_answers(&mut self, keys: &[Hash]) {
        for keys in keys.chunks(ANSWERS_IN_A_LINE) {
            let answered = Answered { keys: keys.to_vec(), answered_unix_s: machine::unix_seconds() };
            self.journal.append(record::NO_TASK, Record::Answered(answered));
        }
    }

    /// Keeps bytecode for the workers, each once.
    fn issue(&mut self, codes: Vec<(Hash, Arc<[u8]>)>) {
        for (hash, bytes) in codes {
            if self.issued.insert(hash) {
                self.code.push((hash, bytes));
            }
        }
    }

    fn submit(&mut self, mut submission: Submission) {
        if let Job::Call(call) = &mut submission.job {
            let codes = call.take_codes();
            self.issue(codes);
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
        let recorded = submission.extra.recipe.is_some();
        let tried = submission.extra.recipe.as_ref().and_then(|recipe| recipe.tried);
        if matches!(kind, Kind::Measure | Kind::Compare) {
            submission.options.placement.exclusive.get_or_insert(Exclusive::Node);
        }
        if kind != Kind::Call {
            self.now = Instant::now(); // few, and people look at when they began
        }
        self.progress.submitted(kind, submission.job.count(), self.now);
        self.stirred |= kind == Kind::Call;
        self.submitted = true;
        self.tasks.insert(submission, pool, self.now);
        let Some(live) = self.tasks.live(task) else { return };
        let skipped = live.rare.unmet.is_some();
        let mut inputs = live.artefacts();
        if kind == Kind::Call {
            inputs.extend(self.pools.artefacts(pool)); // a slot begins with its first call
        }
        let deps = live
            .submission
            .extra
            .deps
            .iter()
            .map(|dep| Dep { task: *dep, state: DepState::Pending })
            // A dependency that failed unseen by the script: the core skips the task, the reason is ours.
            .chain(skipped.then_some(Dep { task, state: DepState::Failed }))
            .collect();
        let options = &live.submission.options;
        let asked = Ask {
            task,
            kind,
            pool,
            placement: options.placement.clone().into(),
            timeout_us: options.timeout.map(|seconds| (seconds * 1e6).min(LONGEST_US) as u64),
            retries: options.retries.unwrap_or(1),
            deps,
            accept_failed: options.accept_failed,
            inputs,
            class,
            like: like(kind, options.name.as_deref()),
            recorded,
            tried,
        };
        self.handle(Event::Submitted(asked));
    }
}

/// What a task does, if anybody knows.
pub(super) fn told(places: &FxHashMap<u64, String>, what: What) -> Option<String> {
    match what {
        What::Function(class) => places.get(&class).cloned(),
        What::Command(line) => Some(line),
    }
}
