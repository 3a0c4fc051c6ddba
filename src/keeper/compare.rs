//! `compare`: each variant warms up, then they run in turns, round after round, until the verdicts are out.
//!
//! A variant that fails leaves the rounds, and its status stands where its verdict would; without the base, or without
//! anybody beside it, there is nothing to compare. Then events are counted, if that was asked for, in turns too: never in
//! a run that is a sample. What each wants to have run before and after it all runs in their order. Pure, like `measure`:
//! sees how runs ended and decides what comes next.

use std::collections::VecDeque;
use std::ops::ControlFlow::{self, Break, Continue};

use super::job::{Learned, Step};
use super::launching::Prefixed;
use super::measure::COUNTED_RUNS;
use super::run::{Ended, Finished};
use super::site::{Failure, Site};
use super::subject::{Subject, Turn};
use super::verdict::Failed;
use crate::model::{
    CompareResult, CompareSpec, Compared, Detail, Outcome, Phase, Status, StopReason, Verdict,
};
use crate::stats::{self, Chances, Found};

/// `max_time` does not end the rounds before so many.
const LEAST_ROUNDS: usize = 3;

/// A comparison under way.
pub struct Compare {
    max_rounds: usize,
    max_time: Option<f64>,
    min_effect: f64,
    seed: u64,
    /// The base first.
    sides: Vec<Side>,
    stage: Stage,
    /// Whose turn comes next, in this round, in the warm-up or before it.
    turns: VecDeque<usize>,
    /// Whose run this is.
    running: Option<usize>,
    /// Whole ones.
    rounds: usize,
    /// When the first round began, s.
    since: Option<f64>,
}

/// A program of a comparison.
pub(super) struct Side {
    name: String,
    params: Option<serde_json::Value>,
    subject: Subject,
    /// Why it runs no more.
    failed: Option<Failed>,
}

enum Stage {
    /// What each wants to have run before everything else.
    Setup,
    Runs,
    /// The verdicts are out, and for this reason: events are counted, in runs that are no samples.
    Counts(StopReason),
    /// It is over but for what each wants to have cleaned up.
    Cleanup(End),
}

/// Why nothing more is run, and what fails the whole comparison.
#[derive(Clone)]
struct End {
    fatal: Option<Failure>,
    reason: StopReason,
}

impl Side {
    /// One that has not failed.
    pub(super) fn of(name: &str, subject: Subject) -> Self {
        Self { name: name.into(), params: None, subject, failed: None }
    }
}

impl Compare {
    /// Checks what was asked for and prepares folders, inputs and environments; of MPI applications each has its launcher.
    pub fn new(
        spec: CompareSpec,
        mark: &str,
        site: &Site,
        prefixed: impl IntoIterator<Item = Prefixed>,
    ) -> Result<Self, Failure> {
        let CompareSpec { variants, max_rounds, max_time, min_effect, seed, .. } = spec;
        let mut prefixed = prefixed.into_iter();
        let side = |variant: crate::model::Variant| {
            let subject = Subject::new(variant.spec, mark, site, prefixed.next()).map_err(|failure| {
                Failure { reason: format!("{}: {}", variant.name, failure.reason), ..failure }
            })?;
            Ok(Side { params: variant.params, ..Side::of(&variant.name, subject) })
        };
        let sides = variants.into_iter().map(side).collect::<Result<Vec<_>, Failure>>()?;
        Self::of(sides, max_rounds as usize, max_time, min_effect, seed)
    }

    /// Of these programs, the base first.
    pub(super) fn of(
        sides: Vec<Side>,
        max_rounds: usize,
        max_time: Option<f64>,
        min_effect: f64,
        seed: u64,
    ) -> Result<Self, Failure> {
        if sides.len() < 2 {
            return Err(Failure::refused("a comparison needs a base and at least one variant"));
        }
        let turns = (0..sides.len()).collect();
        Ok(Self {
            max_rounds: max_rounds.max(1),
            max_time,
            min_effect,
            seed,
            sides,
            stage: Stage::Setup,
            turns,
            running: None,
            rounds: 0,
            since: None,
        })
    }

    /// The next run, or the end.
    pub fn next(&mut self, last: Option<Finished>, now_s: f64, learned: &Learned) -> Step {
        if let Stage::Cleanup(end) = &self.stage {
            let end = end.clone();
            if let (Some(at), Some(last)) = (self.running.take(), last) {
                self.sides[at].subject.cleaned_up(last);
            }
            return self.clean_up(end);
        }
        match self.proceed(last, now_s, learned) {
            Continue(step) => step,
            Break(end) => self.clean_up(end),
        }
    }

    /// What is left to be cleaned up, or the end.
    fn clean_up(&mut self, end: End) -> Step {
        let wanted =
            self.sides.iter_mut().enumerate().find_map(|(at, side)| Some((at, side.subject.clean_up()?)));
        let Some((at, step)) = wanted else { return self.done(end) };
        self.running = Some(at);
        self.stage = Stage::Cleanup(end);
        step
    }

    fn proceed(&mut self, last: Option<Finished>, now_s: f64, learned: &Learned) -> ControlFlow<End, Step> {
        if let Some((at, last)) = self.running.take().zip(last) {
            let turn = self.sides[at].subject.after(last, learned);
            if let Some(step) = self.follow(at, turn)? {
                return Continue(step);
            }
        }
        if let Stage::Setup = self.stage {
            while let Some(at) = self.turns.pop_front() {
                let turn = self.sides[at].subject.begin(learned);
                if let Some(step) = self.follow(at, turn)? {
                    return Continue(step);
                }
            }
            self.stage = Stage::Runs;
        }
        self.turn(now_s)
    }

    /// What a side wants to have run now; if nothing, somebody else's turn comes.
    fn follow(&mut self, at: usize, turn: Turn) -> ControlFlow<End, Option<Step>> {
        match turn {
            Turn::Run(step) => {
                self.running = Some(at);
                Continue(Some(step))
            }
            Turn::Over(Ok(())) => Continue(None),
            Turn::Over(Err(why)) => match self.leave(at, why) {
                Some(fatal) => Break(End { fatal: Some(fatal), reason: StopReason::Failed }),
                None => Continue(None),
            },
        }
    }

    /// The next run of a round, of the warm-up before the first, or of those for counters after the last.
    fn turn(&mut self, now_s: f64) -> ControlFlow<End, Step> {
        loop {
            while let Some(at) = self.turns.pop_front() {
                if let Some(step) = self.run(at, now_s) {
                    self.running = Some(at);
                    return Continue(step);
                }
            }
            if let Stage::Counts(reason) = self.stage {
                return Break(End { fatal: None, reason });
            }
            if let Some(at) = self.cold() {
                self.turns.push_back(at);
                continue;
            }
            if self.since.is_some() {
                self.rounds += 1;
            }
            match self.stop_reason(now_s) {
                Some(reason) => {
                    self.stage = Stage::Counts(reason);
                    let runs = COUNTED_RUNS.min(self.rounds);
                    self.turns = (0..runs).flat_map(|run| self.order(run)).collect();
                }
                None => self.turns = self.order(self.rounds).into(),
            }
        }
    }

    /// The first side that has to warm up yet.
    fn cold(&self) -> Option<usize> {
        let is_cold = |side: &Side| side.failed.is_none() && side.subject.phase() == Phase::Warmup;
        self.sides.iter().position(is_cold)
    }

    fn order(&self, round: usize) -> Vec<usize> {
        stats::order(self.sides.len(), round, self.seed)
    }

    /// What runs when a side has its turn, if anything does.
    fn run(&mut self, at: usize, now_s: f64) -> Option<Step> {
        let side = &mut self.sides[at];
        if side.failed.is_some() {
            return None;
        }
        if let Stage::Counts(_) = self.stage {
            return side.subject.count(COUNTED_RUNS);
        }
        if side.subject.phase() == Phase::Sample {
            self.since.get_or_insert(now_s);
        }
        Some(side.subject.run())
    }

    /// A side runs no more. Gives what ends the whole comparison.
    fn leave(&mut self, at: usize, failed: Failed) -> Option<Failure> {
        let side = &mut self.sides[at];
        let told = Failed { failure: failed.failure.clone(), ended: None }.of(&side.name).failure;
        let is_last = failed.is_last();
        side.failed = Some(failed);
        let nobody_left = self.sides[1..].iter().all(|side| side.failed.is_some());
        (at == 0 || is_last || nobody_left).then_some(told)
    }

    fn stop_reason(&self, now_s: f64) -> Option<StopReason> {
        let elapsed = now_s - self.since.unwrap_or(now_s);
        let due = stats::look_due(self.rounds, self.sides.len());
        if due && self.is_settled() {
            Some(StopReason::Settled)
        } else if self.rounds >= self.max_rounds {
            Some(StopReason::MaxRounds)
        } else if self.rounds >= LEAST_ROUNDS && self.max_time.is_some_and(|limit| elapsed >= limit) {
            Some(StopReason::MaxTime)
        } else {
            None
        }
    }

    /// Are the verdicts out on all that still run?
    fn is_settled(&self) -> bool {
        let running = (1..self.sides.len()).filter(|at| self.sides[*at].failed.is_none());
        running.map(|at| self.found(at)).all(|found| match found {
            Found::Ratio(comparison) => comparison.verdict != Verdict::Unresolved,
            Found::NoRatio => true,
            Found::NoRounds => false,
        })
    }

    fn found(&self, at: usize) -> Found {
        let (base, side) = (&self.sides[0].subject, &self.sides[at].subject);
        let chances = Chances::of(self.sides.len(), self.max_rounds);
        stats::compare(&base.objective(), &side.objective(), base.spec().better, chances, self.min_effect)
    }

    fn done(&self, End { fatal, reason: stop_reason }: End) -> Step {
        let variants: Vec<Compared> =
            (0..self.sides.len()).map(|at| self.verdict_on(at, stop_reason)).collect();
        let told = variants[1..].iter().all(|variant| variant.comparison.is_none());
        let first = variants.iter().find(|variant| variant.status != Status::Ok);
        let fatal = fatal.or_else(|| {
            let first = first.filter(|_| told)?;
            Some(Failure { status: first.status, reason: first.reason.clone().unwrap_or_default() })
        });
        let result = CompareResult {
            variants,
            rounds: self.rounds as u32,
            order_seed: self.seed,
            min_effect: self.min_effect,
            stop_reason,
        };
        let outcome = fatal.map_or_else(super::exec::succeeded, Outcome::from);
        Step::Done(Box::new(Outcome { detail: Detail::Compare(Box::new(result)), ..outcome }))
    }

    fn verdict_on(&self, at: usize, stop_reason: StopReason) -> Compared {
        let Side { name, params, subject, failed } = &self.sides[at];
        let without = |status, reason: String, ended: Option<&Ended>| Compared {
            name: name.clone(),
            params: params.clone(),
            status,
            reason: Some(reason),
            result: subject.failed(ended),
            comparison: None,
        };
        if let Some(Failed { failure: Failure { status, reason }, ended }) = failed {
            return without(*status, reason.clone(), ended.as_deref());
        }
        if let Some(base) = &self.sides[0].failed {
            return without(Status::Skipped, format!("base ended {}", base.failure.status.word()), None);
        }
        // The others have not failed, and of some nothing may be known that counts.
        let culprit = self.sides.iter().find_map(|side| Some((&side.name, side.failed.as_ref()?)));
        if let Some((name, failed)) = culprit.filter(|_| subject.objective().is_empty()) {
            let ended = failed.failure.status.word();
            return without(
                Status::Skipped,
                format!("it had no run that counts when {name} ended {ended}"),
                None,
            );
        }
        let found = self.found(at);
        if at > 0 && found == Found::NoRatio {
            let objective = &subject.spec().objective;
            let reason =
                format!("figures of `{objective}` are not above 0, or too far apart: there is no ratio");
            return without(Status::Refused, reason, None);
        }
        let comparison = match found {
            Found::Ratio(comparison) if at > 0 => Some(comparison),
            _ => None,
        };
        let result = subject.summarised(stop_reason);
        let (name, params) = (name.clone(), params.clone());
        Compared { name, params, status: Status::Ok, reason: None, result, comparison }
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
