//! What the three kinds of work have in common: each is asked for its next step until it is done.
//!
//! A job decides, its lane runs: jobs see how runs ended and never a process or a clock, so that tests
//! drive them with runs that never happened.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::compile::Compile;
use super::exec::Exec;
use super::headers::FileHashes;
use super::measure::{Floor, Measure};
use super::run::{Finished, Keep};
use super::site::{Command, Failure, Site};
use crate::model::{Outcome, Work};

/// What a job wants next.
pub enum Step {
    /// Run this and tell how it ended.
    Run(Rc<Command>, Keep),
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
    /// Cost of a null command here.
    pub floor: Option<Floor>,
    /// Version line of a compiler, by its path and time of change.
    pub compilers: BTreeMap<(PathBuf, Option<SystemTime>), String>,
    /// Content of headers.
    pub hashes: FileHashes,
}

/// One piece of work.
pub enum Job {
    /// Run once.
    Exec(Exec),
    /// Build.
    Compile(Box<Compile>),
    /// Time repeatedly.
    Measure(Box<Measure>),
}

impl Job {
    /// Prepares it. `mark` goes into the environment of all it runs.
    pub fn new(work: Work, mark: &str, site: &Site) -> Result<Self, Failure> {
        Ok(match work {
            Work::Exec(spec) => Job::Exec(Exec::new(spec, mark, site)?),
            Work::Compile(spec) => Job::Compile(Box::new(Compile::new(spec, mark))),
            Work::Measure(spec) => Job::Measure(Box::new(Measure::new(spec, mark, site)?)),
        })
    }

    /// The next step after `last`, `now_s` seconds after the job began.
    pub fn next(
        &mut self,
        last: Option<Finished>,
        now_s: f64,
        site: &Site,
        learned: &Mutex<Learned>,
    ) -> Step {
        let learned = || learned.lock().unwrap_or_else(PoisonError::into_inner);
        match self {
            Job::Exec(exec) => exec.next(last, site),
            Job::Compile(compile) => compile.next(last, site, &mut learned()),
            Job::Measure(measure) => measure.next(last, now_s, &mut learned()),
        }
    }
}
