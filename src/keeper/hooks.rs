//! What runs around the runs of a program that is timed: once before all, before each, after each, once after all.
//!
//! It has the folder and the environment of the program, without its launcher. Timed apart and judged apart: it counts
//! for no sample, and where it fails the measurement is one that could not be prepared. Knows commands and how they
//! ended; when each of them runs is the subject's affair.

use std::rc::Rc;

use super::job::Step;
use super::run::{Finished, Keep};
use super::site::{Command, Failure, Site};
use super::verdict::{Failed, judge};
use crate::model::{self, CommandSpec, HookSpec, HookTimes, Status};

/// Kept of what each of them says, for the reason of a failure (B).
const OUTPUT_LIMIT: usize = 4096;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hook {
    /// Before everything else.
    Setup,
    /// Before each run.
    Prepare,
    /// After each run.
    Conclude,
    /// At the end, whatever the end was.
    Cleanup,
}

/// Those of a program.
#[derive(Default)]
pub struct Hooks {
    setup: Option<Rc<Command>>,
    prepare: Option<Rc<Command>>,
    conclude: Option<Rc<Command>>,
    cleanup: Option<Rc<Command>>,
    times: HookTimes,
}

impl Hooks {
    /// `program` is what they run around, without a launcher.
    pub fn new(asked: &model::Hooks, program: &Command, site: &Site) -> Result<Self, Failure> {
        let command = |spec: &Option<HookSpec>| {
            let Some(HookSpec { argv, shell }) = spec.clone() else { return Ok(None) };
            let argv = site.argv(&CommandSpec { argv, shell, ..CommandSpec::default() })?;
            Ok(Some(Rc::new(program.with_argv(argv))))
        };
        Ok(Self {
            setup: command(&asked.setup)?,
            prepare: command(&asked.prepare)?,
            conclude: command(&asked.conclude)?,
            cleanup: command(&asked.cleanup)?,
            times: HookTimes::default(),
        })
    }

    /// To run it, if it was asked for.
    pub fn step(&self, hook: Hook) -> Option<Step> {
        let keep = Keep { stdout: 0, stderr: OUTPUT_LIMIT };
        match hook {
            Hook::Setup => Some(Step::Run(self.setup.clone()?, keep)),
            Hook::Prepare => Some(Step::Run(self.prepare.clone()?, keep)),
            Hook::Conclude => Some(Step::Run(self.conclude.clone()?, keep)),
            Hook::Cleanup => Some(Step::RunLast(self.cleanup.clone()?, keep)),
        }
    }

    /// It ended so. `name` says which it was.
    pub fn take(&mut self, hook: Hook, name: &str, last: Finished) -> Result<(), Failed> {
        let failed = match last {
            Ok(ended) => {
                let wall_s = ended.usage.wall_s;
                match hook {
                    Hook::Setup => self.times.setup_s = Some(wall_s),
                    Hook::Prepare => self.times.prepare_s.push(wall_s),
                    Hook::Conclude => self.times.conclude_s.push(wall_s),
                    Hook::Cleanup => self.times.cleanup_s = Some(wall_s),
                }
                match judge(&ended, &[]) {
                    Ok(()) => return Ok(()),
                    Err(failure) => Failed { failure, ended: Some(Box::new(ended)) },
                }
            }
            Err(error) => Failed::to_start(&error),
        };
        let mut failed = failed.of(name);
        if hook == Hook::Cleanup {
            self.times.cleanup_failure = Some(failed.failure.reason.clone());
        }
        // Whatever went wrong, it was not the program.
        if !failed.is_last() {
            failed.failure.status = Status::SetupFailed;
        }
        Err(failed)
    }

    /// What they took; none if there are none.
    pub fn times(&self) -> Option<HookTimes> {
        let all = [&self.setup, &self.prepare, &self.conclude, &self.cleanup];
        all.iter().any(|hook| hook.is_some()).then(|| self.times.clone())
    }

    /// For tests: those of a program that bear their names.
    #[cfg(test)]
    pub fn named(program: &Command, names: &[Hook]) -> Self {
        let command = |hook: Hook, argv: &std::ffi::CStr| {
            names.contains(&hook).then(|| Rc::new(program.with_argv(vec![argv.to_owned()])))
        };
        Self {
            setup: command(Hook::Setup, c"setup"),
            prepare: command(Hook::Prepare, c"prepare"),
            conclude: command(Hook::Conclude, c"conclude"),
            cleanup: command(Hook::Cleanup, c"cleanup"),
            times: HookTimes::default(),
        }
    }
}
