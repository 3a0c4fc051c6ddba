//! What the four kinds of work have in common: each is asked for its next step until it is done.
//!
//! A job decides, its lane runs: jobs see how runs ended and never a process or a clock, so that tests
//! drive them with runs that never happened.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::compare::Compare;
use super::compile::Compile;
use super::exec::Exec;
use super::floor::Floor;
use super::headers::FileHashes;
use super::inspection::Task;
use super::launching::{Launchers, Launching};
use super::measure::Measure;
use super::run::{Finished, Keep};
use super::site::{Command, Failure, Site};
use super::talk::Modules;
use crate::model::{Gang, Outcome, Work};

/// What a job wants next.
pub enum Step {
    /// Run this and tell how it ended.
    Run(Rc<Command>, Keep),
    /// The same, and count these events.
    Count(Rc<Command>, Keep, Rc<[String]>),
    /// The same, although the task is to end.
    RunLast(Rc<Command>, Keep),
    /// Have functions look at the run that ended last, and tell what they found.
    Inspect(Box<Task>),
    /// It is over.
    Done(Box<Outcome>),
}

impl Step {
    /// It ended before it had anything to show.
    pub fn failed(failure: Failure) -> Self {
        Step::Done(Box::new(failure.into()))
    }
}

/// What jobs of one keeper learn for each other.
#[derive(Default)]
pub struct Learned {
    /// Costs of null commands here, by their arguments: a launcher is part of them.
    pub floors: Table<Vec<CString>, Floor>,
    /// Whose the launchers are.
    pub launchers: Launchers,
    /// Version line of a compiler, by its path and time of change.
    pub compilers: Table<(PathBuf, Option<SystemTime>), String>,
    /// Content of headers.
    pub hashes: FileHashes,
    /// Modules that functions looking at runs required.
    pub modules: Modules,
}

/// What lanes look up and add to. None waits for another's work: it is locked for a look and an insertion alone.
pub struct Table<K, V>(Mutex<BTreeMap<K, V>>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, V: Clone> Table<K, V> {
    /// What is known.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// From now on it is known; what came last counts.
    pub fn insert(&self, key: K, value: V) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value);
    }
}

/// One piece of work.
pub enum Job {
    /// Run once.
    Exec(Exec),
    /// Build.
    Compile(Box<Compile>),
    /// Time repeatedly.
    Measure(Box<Measure>),
    /// Time in turns.
    Compare(Box<Compare>),
    /// One of them, with a launcher before its commands.
    Launching(Launching),
}

impl Job {
    /// Prepares it. `mark` goes into the environment of all it runs; `gang` has the nodes of an MPI application.
    pub fn new(work: Work, gang: Option<Gang>, mark: &str, site: &Site) -> Result<Self, Failure> {
        let is_launched = work.commands().iter().any(|command| command.launch.is_some());
        if let Some(gang) = gang.filter(|_| is_launched) {
            return Ok(Job::Launching(Launching::new(work, gang, mark)));
        }
        Ok(match work {
            Work::Exec(spec) => Job::Exec(Exec::new(spec, mark, site, None)?),
            Work::Compile(spec) => Job::Compile(Box::new(Compile::new(spec, mark))),
            Work::Measure(spec) => Job::Measure(Box::new(Measure::new(*spec, mark, site, None)?)),
            Work::Compare(spec) => Job::Compare(Box::new(Compare::new(spec, mark, site, [])?)),
        })
    }

    /// The next step after `last`, `now_s` seconds after the job began.
    pub fn next(&mut self, last: Option<Finished>, now_s: f64, site: &Site, learned: &Learned) -> Step {
        match self {
            Job::Exec(exec) => exec.next(last, site),
            Job::Compile(compile) => compile.next(last, site, learned),
            Job::Measure(measure) => measure.next(last, now_s, learned),
            Job::Compare(compare) => compare.next(last, now_s, learned),
            Job::Launching(launching) => launching.next(last, now_s, site, learned),
        }
    }
}
