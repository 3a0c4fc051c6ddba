//! What is asked for again: which recorded ends are tried once more (`--retry`), and which answers the journal is to say.
//!
//! An answer leaves no line, and its readers infer from what was recorded what is current (`journal/versions.rs`). Where that
//! would be wrong, because something is asked for that a later version had taken the place of, or will, the run says so
//! (`Answered`): a few bytes a task, in no other case. Knows the journal's answers; nothing of outcomes.

use rustc_hash::FxHashSet;

use super::port::Index;
use crate::model::{Hash, Retry};

/// Which recorded ends are tried again.
#[derive(Default)]
pub struct Retrying {
    retry: Retry,
    /// What is recorded from there on was tried again by runs from which this one goes on.
    done_from: Option<u64>,
}

impl Retrying {
    /// In a run of this script.
    pub(super) fn of(retry: &Retry, index: &Index, script: Option<Hash>) -> Self {
        let done_from = if retry.is_empty() { None } else { index.tried_again_from(retry, script) };
        Self { retry: retry.clone(), done_from }
    }

    /// Is the answer of this number?
    pub(super) fn covers(&self, index: &Index, number: usize) -> bool {
        self.is_named(index, number) && !self.is_done(index, number)
    }

    /// Was it to be, and was in a run from which this one goes on?
    pub(super) fn was(&self, index: &Index, number: usize) -> bool {
        self.is_named(index, number) && self.is_done(index, number)
    }

    fn is_named(&self, index: &Index, number: usize) -> bool {
        self.retry.covers(index.status(number))
    }

    fn is_done(&self, index: &Index, number: usize) -> bool {
        self.done_from.is_some_and(|from| index.place(number) >= from)
    }
}

/// Which answers are to be said.
pub(super) struct Answering {
    index: Index,
    script: Option<Hash>,
    /// Of each answer: it was given.
    given: Vec<bool>,
    /// What is asked for in several versions in this run, one of them new or outdated.
    mixed: FxHashSet<u64>,
    /// Keys that are to be said, and were not.
    to_say: Vec<Hash>,
}

impl Answering {
    pub(super) fn of(index: Index, script: Option<Hash>) -> Self {
        let given = vec![false; index.len()];
        Self { index, script, given, mixed: FxHashSet::default(), to_say: Vec::new() }
    }

    /// The journal answered with this one.
    pub(super) fn gave(&mut self, number: usize) {
        let which = self.index.version_of(number);
        if self.index.is_outdated(number) {
            self.say(number);
            which.into_iter().for_each(|which| self.mix(which));
        } else if which.is_some_and(|which| self.mixed.contains(&which)) {
            self.say_if_needed(number);
        }
        self.given[number] = true;
    }

    /// Something is done that is a version of this: what else of it is asked for is meant, too.
    pub(super) fn mix(&mut self, which: u64) {
        if self.mixed.contains(&which) {
            return;
        }
        let known: Vec<usize> = self.index.versions(which).collect();
        if known.is_empty() {
            return;
        }
        self.mixed.insert(which);
        let given = known.into_iter().filter(|number| self.given[*number]).collect::<Vec<_>>();
        given.into_iter().for_each(|number| self.say_if_needed(number));
    }

    /// Keys to be said now.
    pub(super) fn take(&mut self) -> Vec<Hash> {
        std::mem::take(&mut self.to_say)
    }

    fn say_if_needed(&mut self, number: usize) {
        if self.index.may_be_outdated(number, self.script) {
            self.say(number);
        }
    }

    fn say(&mut self, number: usize) {
        self.to_say.push(self.index.key(number));
    }
}
