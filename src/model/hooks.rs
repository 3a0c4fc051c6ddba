//! What runs around the runs of a program that is timed: as it was asked for, and what it took.
//!
//! It is timed apart and counts for no sample. Plain data; when each of them runs is the keeper's to know.

use serde::{Deserialize, Serialize};

use super::Arg;

/// A command of its own, in the folder and the environment of the program. Exactly one of the two is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookSpec {
    /// Program and arguments, no shell.
    pub argv: Vec<Arg>,
    /// A line for `/bin/sh -c`.
    pub shell: Option<String>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// Once, before everything else.
    pub setup: Option<HookSpec>,
    /// Before each run.
    pub prepare: Option<HookSpec>,
    /// After each run.
    pub conclude: Option<HookSpec>,
    /// Once, at the end, whatever the end was.
    pub cleanup: Option<HookSpec>,
}

impl Hooks {
    /// Their arguments.
    pub fn args(&self) -> impl Iterator<Item = &Arg> {
        let all = [&self.setup, &self.prepare, &self.conclude, &self.cleanup];
        all.into_iter().flatten().flat_map(|hook| &hook.argv)
    }

    /// The same, to be filled in.
    pub fn args_mut(&mut self) -> impl Iterator<Item = &mut Arg> {
        let all = [&mut self.setup, &mut self.prepare, &mut self.conclude, &mut self.cleanup];
        all.into_iter().flatten().flat_map(|hook| &mut hook.argv)
    }
}

/// What they took, wall time in s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookTimes {
    /// Of `setup`.
    pub setup_s: Option<f64>,
    /// Of each `prepare` in order, those of warm-up runs first, of runs for counters last.
    pub prepare_s: Vec<f64>,
    /// Of each `conclude`.
    pub conclude_s: Vec<f64>,
    /// Of `cleanup`.
    pub cleanup_s: Option<f64>,
    /// Why `cleanup` failed, if it did: the samples count all the same.
    pub cleanup_failure: Option<String>,
}
