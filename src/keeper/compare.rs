//! `compare`: each variant warms up, then they run in turns, round after round, until the verdicts are out.
//!
//! A variant that fails leaves the rounds, and its status stands where its verdict would; without the base, or without
//! anybody beside it, there is nothing to compare. Pure, like `measure`: sees how runs ended and decides what comes next.

use std::collections::VecDeque;

use super::floor::{Floor, FloorRuns, Next};
use super::job::{Learned, Step};
use super::run::{Ended, Finished, Forced, StartError};
use super::site::{Failure, Site};
use super::subject::Subject;
use super::verdict::not_started;
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
    /// Whose run comes next, in this round or in the warm-up.
    turns: VecDeque<usize>,
    /// Whose run this is.
    running: Option<usize>,
    /// Whole ones.
    rounds: usize,
    /// When the first round began, s.
    since: Option<f64>,
}

struct Side {
    name: String,
    subject: Subject,
    /// Why it runs no more, and how the run ended that said so.
    failed: Option<(Failure, Option<Box<Ended>>)>,
}

enum Stage {
    Floor(FloorRuns),
    Runs(Option<Floor>),
}

impl Compare {
    /// Checks what was asked for and prepares folders, inputs and environments.
    pub fn new(spec: CompareSpec, mark: &str, site: &Site) -> Result<Self, Failure> {
        let CompareSpec { variants, max_rounds, max_time, min_effect, seed, .. } = spec;
        let side = |variant: crate::model::Variant| {
            let subject = Subject::new(variant.spec, mark, site, None).map_err(|failure| Failure {
                reason: format!("{}: {}", variant.name, failure.reason),
                ..failure
            })?;
            Ok(Side { name: variant.name, subject, failed: None })
        };
        let sides = variants.into_iter().map(side).collect::<Result<Vec<_>, Failure>>()?;
        Self::of(sides, max_rounds as usize, max_time, min_effect, seed)
    }

    fn of(
        sides: Vec<Side>,
        max_rounds: usize,
        max_time: Option<f64>,
        min_effect: f64,
        seed: u64,
    ) -> Result<Self, Failure> {
        let (Some(base), true) = (sides.first(), sides.len() > 1) else {
            return Err(Failure::refused("a comparison needs a base and at least one variant"));
        };
        let stage = Stage::Floor(FloorRuns::of(&base.subject));
        let warmups = |(at, side): (usize, &Side)| vec![at; side.subject.spec().warmup as usize];
        let turns = sides.iter().enumerate().flat_map(warmups).collect();
        // Whole blocks, so that everybody had every place as often.
        let whole = max_rounds - max_rounds % sides.len();
        let max_rounds = if whole > 0 { whole } else { max_rounds.max(1) };
        Ok(Self {
            max_rounds,
            max_time,
            min_effect,
            seed,
            sides,
            stage,
            turns,
            running: None,
            rounds: 0,
            since: None,
        })
    }

    /// The next run, or the end.
    pub fn next(&mut self, mut last: Option<Finished>, now_s: f64, learned: &Learned) -> Step {
        if let Stage::Floor(runs) = &mut self.stage {
            match runs.next(last.take(), learned) {
                Next::Run(step) => return step,
                Next::Forced(failure, _) => return self.end(Some(failure), StopReason::Failed),
                Next::Known(floor) => self.stage = Stage::Runs(floor),
            }
        }
        if let (Some(at), Some(last)) = (self.running.take(), last)
            && let Some(fatal) = self.take(at, last)
        {
            return self.end(Some(fatal), StopReason::Failed);
        }
        loop {
            while let Some(at) = self.turns.pop_front() {
                let side = &self.sides[at];
                if side.failed.is_none() {
                    if side.subject.phase() == Phase::Sample {
                        self.since.get_or_insert(now_s);
                    }
                    self.running = Some(at);
                    return side.subject.run();
                }
            }
            if self.since.is_some() {
                self.rounds += 1;
            }
            if let Some(reason) = self.stop_reason(now_s) {
                return self.end(None, reason);
            }
            self.turns = stats::order(self.sides.len(), self.rounds, self.seed).into();
        }
    }

    /// Takes how a run of a side ended. Gives what ends the whole comparison.
    fn take(&mut self, at: usize, last: Finished) -> Option<Failure> {
        let side = &mut self.sides[at];
        let (failure, ended) = match last {
            Ok(ended) => (side.subject.take(&ended).err()?, Some(Box::new(ended))),
            Err(error) => {
                let forced = matches!(error, StartError::Forced(_));
                let failure = not_started(&error);
                if forced {
                    return Some(failure);
                }
                (failure, None)
            }
        };
        let failure = side.subject.in_run(failure);
        let told = Failure { reason: format!("{}: {}", side.name, failure.reason), ..failure.clone() };
        let is_over = ended
            .as_ref()
            .is_some_and(|ended| matches!(ended.forced, Some(Forced::Timeout(_) | Forced::Cancelled)));
        side.failed = Some((failure, ended));
        let nobody_left = self.sides[1..].iter().all(|side| side.failed.is_some());
        (at == 0 || is_over || nobody_left).then_some(told)
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

    fn end(&mut self, fatal: Option<Failure>, stop_reason: StopReason) -> Step {
        let floor = match self.stage {
            Stage::Floor(_) => None,
            Stage::Runs(floor) => floor,
        };
        let variants: Vec<Compared> =
            (0..self.sides.len()).map(|at| self.verdict_on(at, floor, stop_reason)).collect();
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

    fn verdict_on(&self, at: usize, floor: Option<Floor>, stop_reason: StopReason) -> Compared {
        let Side { name, subject, failed } = &self.sides[at];
        let without = |status, reason: String, ended: Option<&Ended>| Compared {
            name: name.clone(),
            status,
            reason: Some(reason),
            result: subject.failed(ended, floor),
            comparison: None,
        };
        if let Some((Failure { status, reason }, ended)) = failed {
            return without(*status, reason.clone(), ended.as_deref());
        }
        if let Some((base, _)) = &self.sides[0].failed {
            return without(Status::Skipped, format!("base ended {}", base.status.word()), None);
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
        let result = subject.summarised(stop_reason, floor);
        Compared { name: name.clone(), status: Status::Ok, reason: None, result, comparison }
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
