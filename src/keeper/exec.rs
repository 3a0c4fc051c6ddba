//! `exec`: one run; files it was asked for go into the store.

use std::rc::Rc;

use super::job::Step;
use super::launching::Prefixed;
use super::run::{Ended, Finished, Keep};
use super::scratch::Scratch;
use super::site::{Command, Failure, Site, inside};
use super::verdict::{judge_command, not_started, run_result};
use crate::artefact::StoreError;
use crate::model::{Detail, ExecSpec, Launched, Outcome, RunResult, Status};

/// A program to run once.
pub struct Exec {
    command: Rc<Command>,
    ok_codes: Vec<i32>,
    outputs: Vec<String>,
    launched: Option<Launched>,
    /// Removed when the job is dropped.
    _scratch: Option<Scratch>,
}

impl Exec {
    /// Prepares folder, inputs and environment.
    pub fn new(spec: ExecSpec, mark: &str, site: &Site, prefixed: Option<Prefixed>) -> Result<Self, Failure> {
        for output in &spec.outputs {
            inside(output)?;
        }
        let (mut command, scratch) = site.command(&spec.command, mark)?;
        let launched = prefixed.map(|prefixed| command.launch(prefixed)).transpose()?;
        let command = Rc::new(command);
        Ok(Self { command, ok_codes: spec.ok_codes, outputs: spec.outputs, launched, _scratch: scratch })
    }

    /// Run, then done.
    pub fn next(&mut self, last: Option<Finished>, site: &Site) -> Step {
        match last {
            None => Step::Run(self.command.clone(), Keep::default()),
            Some(Err(error)) => Step::failed(not_started(&error)),
            Some(Ok(ended)) => Step::Done(Box::new(self.outcome(ended, site))),
        }
    }

    fn outcome(&self, ended: Ended, site: &Site) -> Outcome {
        let mut verdict = judge_command(&self.command, self.launched.is_some(), &ended, &self.ok_codes);
        let mut result = run_result(ended, self.command.argv_text());
        result.launched = self.launched.clone();
        if verdict.is_ok() {
            verdict = self.fetch(&mut result, site);
        }
        let detail = Detail::Exec(Box::new(result));
        match verdict {
            Ok(()) => Outcome { detail, ..succeeded() },
            Err(failure) => Outcome { detail, ..failure.into() },
        }
    }

    fn fetch(&self, result: &mut RunResult, site: &Site) -> Result<(), Failure> {
        for output in &self.outputs {
            let path = self.command.cwd.join(output);
            let lacks = |reason| Failure { status: Status::VerifyFailed, reason };
            if !path.exists() {
                return Err(lacks(format!("it ended well but left no file `{output}`")));
            }
            let hash = site.store()?.put_file(&path).map_err(|error| match error {
                StoreError::NotAFile { what, .. } => {
                    lacks(format!("it ended well, but `{output}` is {what}, not a file"))
                }
                other => Failure::setup(other),
            })?;
            result.outputs.insert(output.clone(), hash);
        }
        Ok(())
    }
}

/// An outcome that did what was asked; the lane adds the time, and the root the host.
pub fn succeeded() -> Outcome {
    Outcome {
        status: Status::Ok,
        reason: None,
        host: Default::default(),
        detail: Detail::None,
        elapsed_s: 0.0,
        conditions: None,
    }
}
