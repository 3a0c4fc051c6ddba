//! What the root says on stderr while a campaign runs, and what it remembers for the last table.
//!
//! The driver produces events; this is one of their consumers. Stdout belongs to the script.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::port::WorkerInfo;
use crate::model::human::count;
use crate::model::{Kind, Outcome, PoolId, Status, TaskOptions};
use crate::say::say;

/// Seconds between two lines while something runs.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// With nothing to say, look again so often.
const REST: Duration = Duration::from_secs(3600);

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Notes, progress, the last table.
    Normal,
    /// Pools and their workers too.
    Verbose,
}

/// A task that ended, as far as the last table needs it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Kind of task.
    pub kind: Kind,
    /// `name` of the task.
    pub name: Option<String>,
    /// `params` of the task.
    pub params: Option<serde_json::Value>,
    /// How it ended; calls that went well are only counted.
    pub outcome: Arc<Outcome>,
}

/// What the last table needs.
#[derive(Default)]
pub struct Tally {
    /// Ended tasks by status.
    pub ended: BTreeMap<Status, usize>,
    /// Of those, how many the journal answered.
    pub replays: usize,
    /// Measurements and failures, in the order they ended.
    pub lines: Vec<Line>,
}

/// Counts and lines.
pub struct Progress {
    verbosity: Verbosity,
    submitted: u64,
    /// Of the ended ones, those the journal answered.
    replays: usize,
    /// Ended tasks by status.
    ended: BTreeMap<Status, usize>,
    lines: Vec<Line>,
    next_line: Option<Instant>,
}

impl Progress {
    /// Nothing has happened yet.
    pub fn new(verbosity: Verbosity) -> Self {
        Self {
            verbosity,
            submitted: 0,
            replays: 0,
            ended: BTreeMap::new(),
            lines: Vec::new(),
            next_line: None,
        }
    }

    /// Something is wrong.
    pub fn problem(&self, text: &str) {
        say(format_args!("harness: {text}"));
    }

    /// Something people should know (not with `-q`).
    pub fn note(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.problem(text);
        }
    }

    /// Something people may want to know (`-v`).
    pub fn detail(&self, text: &str) {
        if self.verbosity >= Verbosity::Verbose {
            self.problem(text);
        }
    }

    pub(super) fn pool_open(&self, id: PoolId, workers: &[WorkerInfo]) {
        for worker in workers {
            self.detail(&format!(
                "pool {id}: worker {} on {} ({}, {}, {})",
                worker.id,
                worker.host,
                count(worker.slots as usize, "slot"),
                count(worker.cores as usize, "core"),
                worker.start
            ));
        }
    }

    pub(super) fn submitted(&mut self) {
        self.submitted += 1;
        if self.next_line.is_none() {
            self.next_line = Some(Instant::now() + LINE_EVERY);
        }
    }

    /// A task ended.
    pub(super) fn ended(&mut self, kind: Kind, options: &TaskOptions, outcome: &Arc<Outcome>) {
        *self.ended.entry(outcome.status).or_default() += 1;
        // A million calls that went well need no line each.
        if kind == Kind::Measure || !outcome.ok() {
            let TaskOptions { name, params, .. } = options.clone();
            self.lines.push(Line { kind, name, params, outcome: outcome.clone() });
        }
    }

    /// A task was answered from the journal.
    pub(super) fn replayed(&mut self, kind: Kind, options: &TaskOptions, outcome: &Arc<Outcome>) {
        self.submitted += 1;
        self.replays += 1;
        self.ended(kind, options, outcome);
    }

    /// A task ended before any worker could be given it.
    pub(super) fn unrun(&mut self, kind: Kind, options: &TaskOptions, outcome: &Arc<Outcome>) {
        self.submitted += 1;
        self.ended(kind, options, outcome);
    }

    /// When `tick` has something to do.
    pub(super) fn next(&self, now: Instant) -> Instant {
        self.next_line.unwrap_or(now + REST)
    }

    /// `running` tasks on `workers` workers.
    pub(super) fn tick(&mut self, now: Instant, running: u64, workers: usize) {
        if self.next_line.is_none_or(|at| at > now) {
            return;
        }
        let done = self.done();
        let failed = done - self.ended.get(&Status::Ok).copied().unwrap_or(0) as u64;
        let waiting = self.submitted.saturating_sub(done + running);
        let workers = count(workers, "worker");
        self.note(&format!("{done} done ({failed} failed), {running} running, {waiting} waiting; {workers}"));
        self.next_line = (done < self.submitted).then(|| now + LINE_EVERY);
    }

    fn done(&self) -> u64 {
        self.ended.values().sum::<usize>() as u64
    }

    /// How many tasks had not ended.
    pub fn unfinished(&self) -> usize {
        self.submitted.saturating_sub(self.done()) as usize
    }

    /// What the last table needs.
    pub fn into_tally(self) -> Tally {
        Tally { ended: self.ended, replays: self.replays, lines: self.lines }
    }
}
