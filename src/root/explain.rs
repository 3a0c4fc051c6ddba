//! Why a task is not running, in words for its author: what the core knows, with the names the author gave.
//!
//! Decides nothing, and is asked by people only.

use super::driver::Driver;
use super::order::command_line;
use super::port::{ENDED, Submission};
use crate::core::{Explanation, Names};
use crate::model::human::{duration, subject};
use crate::model::{CommandSpec, TaskId};

/// Most of a command that is shown in place of a name.
const COMMAND_CHARS: usize = 40;

impl Driver {
    /// A sentence about one task.
    pub(super) fn explain(&self, task: TaskId) -> String {
        let Some(live) = self.tasks.look(task) else { return ENDED.into() };
        let why = self.core.explain(task);
        let about = self.called(task);
        match (&why, live.rare.started) {
            (Explanation::Running { ahead, begun, .. }, Some(started)) => {
                let since = duration(started.ago_s());
                let waits = if *ahead && !begun { ", and waits there for others to end" } else { "" };
                format!("{about}: {} {since} ago{waits}", self.in_words(&why))
            }
            _ => format!("{about}: {}", self.in_words(&why)),
        }
    }

    /// What the core explains, in words.
    pub(super) fn in_words(&self, why: &Explanation) -> String {
        why.in_words(&Names { of: &|task| self.called(task), now: self.clock.now() })
    }

    /// What people know a task by.
    pub(super) fn called(&self, task: TaskId) -> String {
        match self.tasks.look(task) {
            Some(live) => format!("{} (task {task})", called(&live.submission)),
            None => format!("task {task}"),
        }
    }
}

/// Its name and search point, else what it runs.
pub(super) fn called(submission: &Submission) -> String {
    let Submission { options, job, .. } = submission;
    let name = subject(options.name.as_deref(), options.params.as_ref());
    if !name.is_empty() {
        return name;
    }
    match job.commands().first() {
        None => job.kind().word().into(),
        Some(command) => format!("{} `{}`", job.kind().word(), line(command)),
    }
}

/// The same, and of which kind it is.
pub(super) fn called_in_full(submission: &Submission) -> String {
    let (name, kind) = (called(submission), submission.job.kind().word());
    let has_name = submission.options.name.is_some() || submission.options.params.is_some();
    if has_name { format!("{kind} {name}") } else { name }
}

/// The beginning of a command.
fn line(command: &CommandSpec) -> String {
    let text = command_line(command);
    let first = text.lines().next().unwrap_or_default();
    if first.chars().count() <= COMMAND_CHARS && first.len() == text.len() {
        return text;
    }
    first.chars().take(COMMAND_CHARS).chain(['…']).collect()
}
