//! The regression gate: is what was measured in one session of a campaign worse than in earlier ones, row by row?
//!
//! A row is what has one name, search point and objective in all of them (`rows`). What may be said of a figure is found in
//! `stats`: a session has to differ from every earlier one, and in as many rows as are looked at together no more than 5 %
//! of what is told may be wrong (`judge`). What is not shown is not called the same: it is unresolved. Records in, words
//! out (`text`, `junit`); nothing is measured here, and no exit code is known.

mod judge;
mod junit;
mod rows;
mod text;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::judge::{compared, judged, of_same_program};
use self::rows::of_campaign;
pub(in crate::report) use self::rows::{Figures, Quantity, Which, measurement, said, title, when};
pub use self::verdict::Conclusion;
use self::verdict::Verdict;
use super::Campaign;
use crate::model::human::count;
use crate::model::{Better, Hash, Measurement, Status};
use crate::stats::{Change, FEWEST_SESSIONS, adjusted};

/// Version of what `--json` prints.
const SCHEMA: &str = "harness.compare/1";

/// When a difference counts.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Terms {
    /// The least relative difference that matters.
    pub min_effect: f64,
    /// A row is called the same if it is not slower by as much as this.
    pub tolerance: f64,
    /// Only what was measured on a host of the earlier sessions is compared.
    pub same_host: bool,
}

/// A session beside earlier ones.
#[derive(Debug, Serialize)]
pub struct Gate {
    schema: &'static str,
    before: Vec<String>,
    new: String,
    #[serde(flatten)]
    terms: Terms,
    notes: Vec<String>,
    conclusion: Conclusion,
    rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    metric: String,
    verdict: Verdict,
    reason: Option<String>,
    #[serde(flatten)]
    told: Option<Told>,
    now: Option<Side>,
    before: Vec<Side>,
    /// The median of the earlier medians, in its unit.
    #[serde(skip)]
    before_shown: String,
    /// Once more, since it seemed slower.
    again: Option<Again>,
    #[serde(skip)]
    found: Option<Found>,
}

/// The change as numbers: above 1 it is better now, as in `compare`.
#[derive(Clone, Copy, Debug, Serialize)]
struct Told {
    ratio: f64,
    lo: f64,
    hi: f64,
    /// Of this row alone.
    p: f64,
    /// Among all rows.
    p_adjusted: f64,
}

/// A measurement in one journal.
#[derive(Clone, Debug, Serialize)]
struct Side {
    id: String,
    status: Status,
    host: String,
    n: usize,
    median: Option<f64>,
    /// What to know before believing it.
    flags: Vec<String>,
    /// The median in its unit.
    #[serde(skip)]
    shown: String,
}

/// How it was when it was measured once more.
#[derive(Debug, Serialize)]
struct Again {
    #[serde(flatten)]
    told: Told,
    side: Side,
    #[serde(skip)]
    change: Change,
}

/// What a row is judged by.
#[derive(Debug)]
struct Found {
    key: Hash,
    /// How long the measurement took, s.
    took_s: f64,
    change: Change,
    /// The earlier sessions.
    earlier: Vec<Vec<f64>>,
    better: Better,
    /// It is a time: worse is slower.
    is_time: bool,
    /// An earlier session measured this very program in the same way.
    same_program: bool,
}

/// What seemed slower, to be measured once more.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// Its record.
    pub id: String,
    /// Its key.
    pub key: Hash,
    /// How long it took, s.
    pub took_s: f64,
}

impl Gate {
    /// Compares `new` with the sessions before it.
    pub fn of(before: &[Campaign], new: &Campaign, terms: Terms) -> Self {
        let earlier: Vec<BTreeMap<Which, &Measurement>> = before.iter().map(of_campaign).collect();
        let now = of_campaign(new);
        let all: BTreeSet<&Which> = earlier.iter().flat_map(BTreeMap::keys).chain(now.keys()).collect();
        let row = |which: &Which| {
            let mut records: Vec<&Measurement> = Vec::new();
            for record in earlier.iter().filter_map(|rows| rows.get(which).copied()) {
                // A journal and a copy of it are one session.
                if records.iter().all(|other| other.facts.id != record.facts.id) {
                    records.push(record);
                }
            }
            // However the journals are listed, the last one is the latest.
            records.sort_by(|a, b| when(a).total_cmp(&when(b)));
            compared(which, &records, now.get(which).copied(), terms)
        };
        let mut gate = Self {
            schema: SCHEMA,
            before: before.iter().map(|campaign| campaign.path.display().to_string()).collect(),
            new: new.path.display().to_string(),
            terms,
            notes: Vec::new(),
            conclusion: Conclusion::NoRegression,
            rows: all.into_iter().map(row).collect(),
        };
        gate.judge();
        gate.note(before, new);
        gate
    }

    /// Is there nothing to compare?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What all of it comes to.
    pub fn conclusion(&self) -> Conclusion {
        self.conclusion
    }

    /// What seems slower.
    pub fn suspects(&self) -> Vec<Suspect> {
        let slower = self.rows.iter().filter(|row| row.verdict == Verdict::Slower);
        let suspect = |row: &Row| {
            let (now, found) = (row.now.as_ref()?, row.found.as_ref()?);
            Some(Suspect { id: now.id.clone(), key: found.key, took_s: found.took_s })
        };
        slower.filter_map(suspect).collect()
    }

    /// Takes the suspects as they were when measured once more, by the record they repeat, or why they were not: what is
    /// not slower then, too, is no regression. What could not be measured once more stays what it is without: to ask for
    /// more makes no regression pass.
    pub fn confirm(&mut self, again: &BTreeMap<String, Result<Measurement, String>>) {
        let terms = self.terms;
        let mut rows: Vec<&mut Row> = self
            .rows
            .iter_mut()
            .filter(|row| row.now.as_ref().is_some_and(|now| again.contains_key(&now.id)))
            .collect();
        for row in &mut rows {
            let repeat = row.now.as_ref().and_then(|now| again.get(&now.id));
            if let Some(Err(why)) = repeat.map(|repeat| row.repeated(repeat)) {
                row.reason = Some(format!("it was not measured once more: {why}"));
            }
        }
        let mut measured: Vec<&mut Again> = rows.iter_mut().filter_map(|row| row.again.as_mut()).collect();
        let chances: Vec<f64> = measured.iter().map(|again| again.change.p).collect();
        for (again, adjusted) in measured.iter_mut().zip(adjusted(&chances)) {
            again.told.p_adjusted = adjusted;
        }
        for row in rows {
            let Some(Again { change, told, side }) = row.again.as_ref() else { continue };
            (row.verdict, row.reason) = match judged(change, side.n, told.p_adjusted, terms).0 {
                Verdict::Slower => (Verdict::Slower, None),
                Verdict::Unresolved => {
                    let why = "it seems slower, and measured once more it is not known to be";
                    (Verdict::Unresolved, Some(why.into()))
                }
                _ => (Verdict::Unconfirmed, Some("measured once more it is not slower".into())),
            };
        }
        self.conclude();
    }

    /// What can be said only once all rows are known.
    fn judge(&mut self) {
        let mut rows: Vec<&mut Row> = self.rows.iter_mut().filter(|row| row.found.is_some()).collect();
        let chances: Vec<f64> =
            rows.iter().filter_map(|row| row.found.as_ref()).map(|found| found.change.p).collect();
        for (row, adjusted) in rows.iter_mut().zip(adjusted(&chances)) {
            let Some(found) = &row.found else { continue };
            let runs = row.now.as_ref().map_or(0, |now| now.n);
            let judged = judged(&found.change, runs, adjusted, self.terms);
            (row.verdict, row.reason) = if found.same_program { of_same_program(judged) } else { judged };
            row.told = Some(Told::of(&found.change, adjusted));
        }
        self.conclude();
    }

    fn conclude(&mut self) {
        // Stable: rows of one verdict stay in the order of their names.
        self.rows.sort_by_key(|row| row.verdict);
        self.conclusion = Conclusion::of(self.rows.iter().map(|row| row.verdict));
    }

    /// What is to be known of all rows, each once.
    fn note(&mut self, before: &[Campaign], new: &Campaign) {
        let told = || self.rows.iter().filter(|row| row.told.is_some());
        let fewest = told().map(|row| row.before.len()).min().unwrap_or(FEWEST_SESSIONS);
        if fewest < FEWEST_SESSIONS {
            let few = told().filter(|row| row.before.len() < FEWEST_SESSIONS).count();
            let of = if few < told().count() {
                format!("{} with only ", count(few, "row"))
            } else {
                String::new()
            };
            self.notes.push(format!(
                "{of}{} before it: what differs from day to day or from node to node counts as a change; from \
                 {FEWEST_SESSIONS} earlier sessions on it does not",
                count(fewest, "session")
            ));
        }
        let processors = |campaign: &Campaign| -> BTreeSet<String> {
            let models = of_campaign(campaign).into_values().filter_map(|record| record.facts.env);
            models.filter_map(|env| campaign.envs.get(&env)?.cpu_model.clone()).collect()
        };
        let last = |campaign: &Campaign| {
            let began = of_campaign(campaign).into_values().filter_map(|record| record.facts.started_unix_s);
            began.max_by(f64::total_cmp)
        };
        if let (Some(now), Some(then)) = (last(new), before.iter().filter_map(last).max_by(f64::total_cmp))
            && now < then
        {
            self.notes.push(
                "the last journal named is judged by the others, and what it measured is older: is that the order that was meant?"
                    .into(),
            );
        }
        let scripts: BTreeSet<String> = before.iter().chain([new]).filter_map(Campaign::script).collect();
        if scripts.len() > 1 {
            let (new, all) = (new.script().unwrap_or_else(|| "not known".into()), listed(&scripts));
            self.notes.push(format!(
                "these are journals of different scripts: {all}; that of the last one is {new}"
            ));
        }
        let here = hosts(self.rows.iter().filter_map(|row| row.now.as_ref()));
        let there = hosts(self.rows.iter().flat_map(|row| &row.before));
        self.notes.extend(other("hosts", &here, &there));
        let there = before.iter().flat_map(processors).collect();
        self.notes.extend(other("processors", &processors(new), &there));
        if self.rows.iter().all(|row| row.verdict == Verdict::New) {
            self.notes.push("no measurement of it is in an earlier journal: nothing was compared".into());
        }
    }
}

fn hosts<'a>(sides: impl Iterator<Item = &'a Side>) -> BTreeSet<String> {
    sides.filter(|side| !side.host.is_empty()).map(|side| side.host.clone()).collect()
}

/// What is not the same now, if it is not.
fn other(what: &str, here: &BTreeSet<String>, there: &BTreeSet<String>) -> Option<String> {
    let known = !here.is_empty() && !there.is_empty();
    (known && !here.is_subset(there)).then(|| {
        let (here, there) = (listed(here), listed(there));
        format!("other {what} than before, which may be all that changed: {here}, before {there}")
    })
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

impl Told {
    fn of(change: &Change, adjusted: f64) -> Self {
        let (ratio, lo, hi) = (change.by.exp(), change.lo.exp(), change.hi.exp());
        Self { ratio, lo, hi, p: change.p, p_adjusted: adjusted }
    }
}

impl Side {
    fn of(record: &Measurement, figures: &Figures) -> Self {
        Self {
            id: record.facts.id.clone(),
            status: record.status,
            host: record.host.clone(),
            n: figures.list.len(),
            median: figures.median,
            flags: record.flags.clone(),
            shown: figures.shown.clone(),
        }
    }
}

#[cfg(test)]
pub(in crate::report) mod tests;
