//! What is to be said of one row: whether its figures can be compared at all, how they differ, and what that comes to once it
//! is known how many rows are told. Records and figures in, a verdict and its reason out.

use super::rows::{Figures, Which, title};
use super::{Again, Found, Row, Side, Terms, Told, Verdict};
use crate::model::human::{count, status_in_short};
use crate::model::{Better, Measurement, Outcome, Status};
use crate::stats::{Change, FEWEST_RUNS, change};

/// Of all rows that are told to be slower or faster so many may be wrong.
const WRONG: f64 = 0.05;

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
    let figures: Vec<Figures> = shown.iter().map(|record| Figures::of(record)).collect();
    row.before = shown.iter().zip(&figures).map(|(record, figures)| Side::of(record, figures)).collect();
    let Some(new) = new else { return row };
    (row.verdict, row.reason) = match unlike(earlier, &good, new, terms) {
        Some((verdict, reason)) => (verdict, Some(reason)),
        None => match found(&figures, new) {
            Ok(found) => {
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
    let Some(last) = earlier.last() else {
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
        return Some(match (good.is_empty(), new.status.lasting()) {
            (true, _) => (Verdict::Failing, format!("{now}; before {}", ended(last))),
            (false, true) => (Verdict::Failed, format!("now {now}")),
            (false, false) => (Verdict::Unresolved, format!("it was not measured: {now}")),
        });
    }
    let Some(before) = good.last() else {
        return Some((Verdict::Fixed, format!("it was {}", ended(last))));
    };
    let unit = |record: &Measurement| {
        let metric = record.metrics.get(&record.objective.metric);
        metric.and_then(|metric| metric.unit.clone()).unwrap_or_else(|| "none".into())
    };
    for before in good {
        if unit(before) != unit(new) || before.objective.better != new.objective.better {
            let word = |better| if better == Better::Less { "less" } else { "more" };
            let of = |record: &Measurement| {
                format!("{} ({} is better)", unit(record), word(record.objective.better))
            };
            return Some((Verdict::Incomparable, format!("its unit is {}, and was {}", of(new), of(before))));
        }
    }
    let moved = terms.same_host && good.iter().all(|record| record.host != new.host);
    moved.then(|| (Verdict::Incomparable, format!("measured on {}, before on {}", new.host, before.host)))
}

/// How the figures of these sessions differ, or why that cannot be said.
fn found(earlier: &[Figures], new: &Measurement) -> Result<Found, String> {
    let now = Figures::of(new);
    let runs = |n: usize| {
        format!(
            "n = {n}: with fewer than {FEWEST_RUNS} runs there is no interval (`runs = {FEWEST_RUNS}`, better more)"
        )
    };
    if now.list.len() < FEWEST_RUNS {
        return Err(runs(now.list.len()));
    }
    let enough: Vec<&Figures> = earlier.iter().filter(|figures| figures.list.len() >= FEWEST_RUNS).collect();
    if enough.is_empty() {
        let most = earlier.iter().map(|figures| figures.list.len()).max().unwrap_or(0);
        return Err(format!("before, {}", runs(most)));
    }
    let better = new.objective.better;
    let gains = |figures: &Figures| {
        figures
            .gains(better)
            .ok_or("a figure is not above 0, so that there is no ratio: compare another objective")
    };
    let earlier = enough.into_iter().map(gains).collect::<Result<Vec<_>, _>>()?;
    let change = change(&sessions(&earlier), &gains(&now)?).ok_or("the runs are too few")?;
    Ok(Found { key: new.facts.key, change, earlier, better, is_time: now.is_time })
}

fn sessions(earlier: &[Vec<f64>]) -> Vec<&[f64]> {
    earlier.iter().map(Vec::as_slice).collect()
}

/// What a change comes to if so much of what is told with it may be wrong.
pub(super) fn judged(change: &Change, adjusted: f64, terms: Terms) -> (Verdict, Option<String>) {
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
        format!("so many runs do not exclude that it is {} % worse", terms.tolerance * 100.0)
    };
    (Verdict::Unresolved, Some(why))
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
