//! The runs of the script in a journal, for who goes on from it: which there were, how each ended, what was in vain, and what
//! each said that it answered.
//!
//! Runs are numbered from 1; a record is of the run it stands under. What `harness rerun` did is no run of the script.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use super::versions::Said;
use crate::model::{Hash, HowEnded, Retry, Session, SessionEnd};

/// What a line says of runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Turn {
    Began(Session),
    Ended(Ended),
    Answered(Vec<Hash>),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ended {
    how: HowEnded,
    is_out_of_time: bool,
    in_vain: Vec<Hash>,
}

impl Ended {
    pub(super) fn of(end: &SessionEnd) -> Self {
        Self { how: end.how, is_out_of_time: end.is_out_of_time, in_vain: end.in_vain.clone() }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
    /// The last run that said that it answered a task, by its key.
    answered: FxHashMap<Hash, usize>,
}

#[derive(Debug)]
struct Run {
    /// Where it begins.
    at: u64,
    session: Session,
    /// And where that stands; none if it was killed.
    end: Option<(u64, Ended)>,
}

impl Runs {
    /// Of what lines say, each with its place.
    pub(super) fn of(turns: Vec<(u64, Turn)>) -> Self {
        let mut all = Self::default();
        let mut repeats = false;
        for (at, turn) in turns {
            match turn {
                Turn::Began(session) => {
                    repeats = session.repeats;
                    if !repeats {
                        all.runs.push(Run { at, session, end: None });
                    }
                }
                Turn::Ended(_) if repeats => {}
                // Older ones do not say so when they begin.
                Turn::Ended(Ended { how: HowEnded::Repeated, .. }) => drop(all.runs.pop()),
                Turn::Ended(ended) => {
                    if let Some(run) = all.runs.last_mut() {
                        run.end = Some((at, ended));
                    }
                }
                Turn::Answered(keys) => {
                    let number = all.runs.len();
                    all.answered.extend(keys.into_iter().map(|key| (key, number)));
                }
            }
        }
        all
    }

    /// The last run.
    pub(super) fn last(&self) -> Option<&Session> {
        self.runs.last().map(|run| &run.session)
    }

    /// The last run that recorded a task, which is there, or said that it answered it.
    pub(super) fn number(&self, key: &Hash, place: u64) -> usize {
        let recorded = self.runs.partition_point(|run| run.at <= place);
        self.answered.get(key).copied().unwrap_or_default().max(recorded)
    }

    /// What versions are judged by.
    pub(super) fn said(&self) -> Vec<Said> {
        let is_whole = |run: &Run| run.end.as_ref().is_some_and(|(_, end)| end.how == HowEnded::Finished);
        self.runs
            .iter()
            .map(|run| Said { script: run.session.script_hash, is_whole: is_whole(run) })
            .collect()
    }

    /// Where tasks ran last for all of a run's time and in vain, by their keys; no two are at one place.
    pub(super) fn in_vain(&self) -> FxHashMap<Hash, u64> {
        let ends = self.runs.iter().filter_map(|run| run.end.as_ref());
        // A line is longer than it has keys.
        ends.flat_map(|(at, end)| end.in_vain.iter().zip(*at..).map(|(key, place)| (*key, place))).collect()
    }

    /// What was in vain in each run since one came further.
    pub(super) fn had_their_turn(&self) -> FxHashSet<Hash> {
        let ends = self.runs.iter().rev().map_while(|run| run.end.as_ref().map(|(_, end)| &end.in_vain));
        ends.take_while(|in_vain| !in_vain.is_empty()).flatten().copied().collect()
    }

    /// From where on is recorded what those runs tried again from which one goes on that tries `retry` again: those before
    /// it with the same script and the same wish, each of which wanted for time.
    pub(super) fn tried_again_from(&self, retry: &Retry, script: Option<Hash>) -> Option<u64> {
        let is_alike = |run: &&Run| {
            let wanted_for_time = run.end.as_ref().is_some_and(|(_, end)| end.is_out_of_time);
            wanted_for_time && run.session.retry == *retry && run.session.script_hash == script
        };
        self.runs.iter().rev().take_while(is_alike).last().map(|run| run.at)
    }
}
