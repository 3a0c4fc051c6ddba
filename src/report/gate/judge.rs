//! What is to be said of one row: whether its figures can be compared at all, how they differ, and what that comes to once it
//! is known how many rows are told. Records and figures in, a verdict and its reason out.

use super::rows::{Figures, Quantity, Which, said, title};
use super::{Again, Found, Row, Side, Terms, Told, Verdict};
use crate::model::human::{count, status_in_short};
use crate::model::{Measurement, Outcome, Status, median};
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
    let good: Vec<&Measurement> =
        earlier.iter().copied().filter(|record| record.status == Status::Ok).collect();
    let shown = if good.is_empty() { earlier } else { &good[..] };
    let mut sides: Vec<(&Measurement, Figures)> =
        shown.iter().map(|record| (*record, Figures::of(record))).collect();
    let (verdict, reason, found) = match new {
        None => (Verdict::Missing, Some("it is not in this journal, and was measured before".into()), None),
        Some(new) => match unlike(earlier, &good, new, terms) {
            Some((verdict, reason)) => (verdict, Some(reason), None),
            None => match found(&sides, new) {
                Ok(found) => {
                    // What was too short to be compared counts nowhere.
                    sides.retain(|(_, figures)| is_enough(figures));
                    (Verdict::Same, None, Some(found))
                }
                Err(why) => (Verdict::Unresolved, Some(why), None),
            },
        },
    };
    let medians: Vec<f64> = sides.iter().filter_map(|(_, figures)| figures.median).collect();
    let before_shown = sides.last().zip(median(&medians)).map(|((record, _), median)| said(record, median));
    Row {
        name: any.map(title).unwrap_or_default(),
        metric: which.metric.clone(),
        verdict,
        reason,
        told: None,
        now: new.map(|record| Side::of(record, &Figures::of(record))),
        before: sides.iter().map(|(record, figures)| Side::of(record, figures)).collect(),
        before_shown: before_shown.unwrap_or_default(),
        again: None,
        found,
    }
}

/// What is to be said where no figures are compared.
fn unlike(
    earlier: &[&Measurement],
    good: &[&Measurement],
    new: &Measurement,
    terms: Terms,
) -> Option<(Verdict, String)> {
    let Some(last) = earlier.iter().rev().find(|record| tells(record)) else {
        let was = earlier.last().map(|record| format!(" (it was {})", ended(record))).unwrap_or_default();
        let is = if new.status == Status::Ok { String::new() } else { format!("; it ended {}", ended(new)) };
        return Some((Verdict::New, format!("it was not measured before{was}{is}")));
    };
    if earlier.iter().any(|record| record.facts.id == new.facts.id) {
        let why = "it is the record of an earlier journal, answered from there: measure it anew, with --fresh or in a new \
                   journal";
        return Some((Verdict::Unresolved, why.into()));
    }
    if new.status != Status::Ok {
        let now = ended(new);
        return Some(match (last.status == Status::Ok, tells(new)) {
            (_, false) => (Verdict::Unresolved, format!("it was not measured: {now}")),
            (false, true) => (Verdict::Failing, format!("{now}; before {}", ended(last))),
            (true, true) => (Verdict::Failed, format!("now {now}")),
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

/// How it ended, in short.
fn ended(record: &Measurement) -> String {
    let reason = record.reason.clone().unwrap_or_default();
    status_in_short(&Outcome::failed(record.status, reason))
}

/// Does its end tell anything of the program? Not if it is owed to the cluster or the user, nor if a search gave it up for
/// the sake of a better one. Of what was skipped the end of what it waited for counts.
fn tells(record: &Measurement) -> bool {
    let cause = record.status.cause(record.reason.as_deref().unwrap_or_default());
    cause.lasting() && cause != Status::Pruned
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
    let key = new.facts.content_key;
    let same_program = key.is_some() && earlier.iter().any(|(before, _)| before.facts.content_key == key);
    Ok(Found {
        key: new.facts.key,
        took_s: new.elapsed_s,
        change,
        earlier: of_earlier,
        better,
        is_time: now.is_time,
        same_program,
    })
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
    let seems_worse = change.hi < -least;
    if change.lo >= -most && !seems_worse {
        return (Verdict::Same, None);
    }
    let why = if seems_worse {
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

/// The same of a program that an earlier session has measured in the same way: it cannot have become slower.
pub(super) fn of_same_program((verdict, reason): (Verdict, Option<String>)) -> (Verdict, Option<String>) {
    let verdict = match verdict {
        Verdict::Slower => Verdict::SameProgram,
        Verdict::Faster => Verdict::Faster,
        other => return (other, reason),
    };
    let why = "its code and data are those of an earlier session, and it was measured in the same way: what differs is the \
               machine or its state, or what the program reads and loads";
    (verdict, Some(why.into()))
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
            return Err(format!("it ended {}", ended(record)));
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
