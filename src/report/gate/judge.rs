//! What is to be said of one row: whether its figures can be compared at all, how they differ, and what that comes to once it
//! is known how many rows are told. Records and figures in, a verdict and its reason out.

use super::rows::{Figures, Quantity, Which, title};
use super::{Again, Found, Row, Side, Terms, Told, Verdict};
use crate::model::human::{count, status_in_short};
use crate::model::{Measurement, Outcome, Status};
use crate::stats::{Change, FEWEST_RUNS, change};

/// Of all rows that are told to be slower or faster so many may be wrong.
const WRONG: f64 = 0.05;
/// Nobody is told to measure more often.
const MOST_RUNS: f64 = 10_000.0;

/// The row, but for what the others have a say in.
pub(super) fn compared(
    which: &Which,
    earlier: &[&Measurement],
    new: Option<&Measurement>,
    terms: Terms,
) -> Row {
    let any = new.or(earlier.last().copied());
    let mut row = Row {
        name: any.map(title).unwrap_or_default(),
        metric: which.metric.clone(),
        verdict: Verdict::Missing,
        reason: Some("it is not in this journal, and was measured before".into()),
        told: None,
        now: new.map(|record| Side::of(record, &Figures::of(record))),
        before: Vec::new(),
        again: None,
        found: None,
    };
    let good: Vec<&Measurement> =
        earlier.iter().copied().filter(|record| record.status == Status::Ok).collect();
    let shown = if good.is_empty() { earlier } else { &good[..] };
    let mut sides: Vec<(&Measurement, Figures)> =
        shown.iter().map(|record| (*record, Figures::of(record))).collect();
    let side = |(record, figures): &(&Measurement, Figures)| Side::of(record, figures);
    row.before = sides.iter().map(side).collect();
    let Some(new) = new else { return row };
    (row.verdict, row.reason) = match unlike(earlier, &good, new, terms) {
        Some((verdict, reason)) => (verdict, Some(reason)),
        None => match found(&sides, new) {
            Ok(found) => {
                // What was too short to be compared counts nowhere.
                sides.retain(|(_, figures)| is_enough(figures));
                row.before = sides.iter().map(side).collect();
                row.found = Some(found);
                (Verdict::Same, None)
            }
            Err(why) => (Verdict::Unresolved, Some(why)),
        },
    };
    row
}

/// What is to be said where no figures are compared.
fn unlike(
    earlier: &[&Measurement],
    good: &[&Measurement],
    new: &Measurement,
    terms: Terms,
) -> Option<(Verdict, String)> {
    let ended = |record: &Measurement| {
        let reason = record.reason.clone().unwrap_or_default();
        status_in_short(&Outcome::failed(record.status, reason))
    };
    // What the cluster or the user did tells nothing of the program.
    let tells = earlier.iter().rev().find(|record| cause(record).lasting());
    let Some(last) = tells.or(earlier.last()) else {
        let how = if new.status == Status::Ok { String::new() } else { format!("; it ended {}", ended(new)) };
        return Some((Verdict::New, format!("it was not measured before{how}")));
    };
    if earlier.iter().any(|record| record.facts.id == new.facts.id) {
        let why = "it is the record of an earlier journal, answered from there: measure it anew, with --fresh or in a new \
                   journal";
        return Some((Verdict::Unresolved, why.into()));
    }
    if new.status != Status::Ok {
        let now = ended(new);
        return Some(match (last.status == Status::Ok, cause(new).lasting()) {
            (false, _) => (Verdict::Failing, format!("{now}; before {}", ended(last))),
            (true, true) => (Verdict::Failed, format!("now {now}")),
            (true, false) => (Verdict::Unresolved, format!("it was not measured: {now}")),
        });
    }
    if good.is_empty() {
        return Some((Verdict::Fixed, format!("it was {}", ended(last))));
    }
    for before in good {
        let (was, is) = (Quantity::of(before), Quantity::of(new));
        if was != is {
            return Some((Verdict::Incomparable, format!("its unit is {is}, and was {was}")));
        }
    }
    let before = good.last()?;
    let moved = terms.same_host && good.iter().all(|record| record.host != new.host);
    moved.then(|| (Verdict::Incomparable, format!("measured on {}, before on {}", new.host, before.host)))
}

/// How that ended which decided how this ended: of what was skipped for want of a program that of its build.
fn cause(record: &Measurement) -> Status {
    record.status.cause(record.reason.as_deref().unwrap_or_default())
}

fn is_enough(figures: &Figures) -> bool {
    figures.list.len() >= FEWEST_RUNS
}

/// How the figures of these sessions differ, or why that cannot be said.
fn found(earlier: &[(&Measurement, Figures)], new: &Measurement) -> Result<Found, String> {
    let now = Figures::of(new);
    let runs = |n: usize| {
        format!(
            "n = {n}: with fewer than {FEWEST_RUNS} runs there is no interval (`runs = {FEWEST_RUNS}`, better more)"
        )
    };
    if !is_enough(&now) {
        return Err(runs(now.list.len()));
    }
    let enough: Vec<&Figures> =
        earlier.iter().map(|(_, figures)| figures).filter(|figures| is_enough(figures)).collect();
    let Some(last) = enough.last() else {
        let most = earlier.iter().map(|(_, figures)| figures.list.len()).max().unwrap_or(0);
        return Err(format!("before, {}", runs(most)));
    };
    let better = new.objective.better;
    let no_ratio = || {
        format!(
            "a figure of `{}` is not above 0, so that there is no ratio ({} now, {} in the last session before): take an \
             objective that is above 0 in each run, such as `wall_s`",
            new.objective.metric, now.shown, last.shown
        )
    };
    let gains = |figures: &Figures| figures.gains(better).ok_or_else(no_ratio);
    let of_earlier = enough.iter().map(|figures| gains(figures)).collect::<Result<Vec<_>, _>>()?;
    let change = change(&sessions(&of_earlier), &gains(&now)?).ok_or("the runs are too few")?;
    Ok(Found { key: new.facts.key, change, earlier: of_earlier, better, is_time: now.is_time })
}

fn sessions(earlier: &[Vec<f64>]) -> Vec<&[f64]> {
    earlier.iter().map(Vec::as_slice).collect()
}

/// What a change comes to, of so many runs, if so much of what is told with it may be wrong.
pub(super) fn judged(change: &Change, runs: usize, adjusted: f64, terms: Terms) -> (Verdict, Option<String>) {
    let (least, most) = (terms.min_effect.ln_1p(), terms.tolerance.ln_1p());
    let is_told = adjusted <= WRONG;
    if is_told && change.hi < -least {
        return (Verdict::Slower, None);
    }
    if is_told && change.lo > least {
        return (Verdict::Faster, None);
    }
    if change.lo >= -most {
        return (Verdict::Same, None);
    }
    let why = if change.hi < -least {
        format!(
            "it lies beyond each session before it, which is no proof yet (p = {:.2}, among all rows {:.2}): more sessions \
             before it, or more runs",
            change.p, adjusted
        )
    } else {
        let would = more_runs(change, runs, most);
        format!("so many runs do not exclude that it is {} % worse: {would}", terms.tolerance * 100.0)
    };
    (Verdict::Unresolved, Some(why))
}

/// How many runs would exclude that it is worse by `most`: intervals get narrower as the root of the runs gets larger.
fn more_runs(change: &Change, runs: usize, most: f64) -> String {
    let needed = runs as f64 * ((change.by - change.lo) / (change.by + most)).powi(2);
    if change.by <= -most {
        "they make it look so, and more would show whether it is".into()
    } else if needed <= MOST_RUNS {
        format!("about {} in each session would, if it scatters as now", needed.ceil())
    } else {
        "it scatters too much for any number of runs".into()
    }
}

impl Row {
    /// Takes what it was when measured once more.
    pub(super) fn repeated(&mut self, repeat: &Result<Measurement, String>) -> Result<(), String> {
        let record = repeat.as_ref().map_err(String::clone)?;
        if record.status != Status::Ok {
            let reason = record.reason.clone().unwrap_or_default();
            return Err(format!("it ended {}", status_in_short(&Outcome::failed(record.status, reason))));
        }
        let (Some(found), figures) = (&self.found, Figures::of(record)) else { return Ok(()) };
        let gains = figures.gains(found.better).ok_or("a figure is not above 0")?;
        let change = change(&sessions(&found.earlier), &gains)
            .ok_or_else(|| format!("it has {} only", count(gains.len(), "run")))?;
        self.again =
            Some(Again { told: Told::of(&change, change.p), side: Side::of(record, &figures), change });
        Ok(())
    }
}
