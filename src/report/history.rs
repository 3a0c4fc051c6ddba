//! What became of each row from one measurement to the next: its medians in the order of time, and where they stepped.
//!
//! Every measurement of a journal is a point: the last record of each recipe, and what `harness rerun` repeated. A journal
//! has several of one row if the program changed between runs of its script, as each version of it has a recipe of its
//! own; those that are outdated are what became of it, too. Where the unit or the direction of the objective changes the row begins anew: figures on either side are not
//! compared. Records in, words out; steps are found by `stats`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::Campaign;
use super::date::minute;
use super::gate::{Figures, Quantity, Which, measurement, said, title, when};
use crate::model::human::{count, visible};
use crate::model::{Better, Measurement, Status, median};
use crate::stats::{LONGEST, steps};

/// Version of what `--json` prints.
const SCHEMA: &str = "harness.history/1";
/// Scatter of a quarter of the least effect that matters is taken for none.
const RESOLUTION: f64 = 0.25;

/// All rows of some journals.
#[derive(Debug, Serialize)]
pub struct History {
    schema: &'static str,
    min_effect: f64,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    metric: String,
    points: Vec<Point>,
    steps: Vec<Step>,
    /// Steps are looked for from this measurement on, by its record; none: in all.
    steps_from: Option<String>,
}

/// One measurement.
#[derive(Debug, Serialize)]
struct Point {
    unix_s: f64,
    journal: String,
    id: String,
    host: String,
    status: Status,
    reason: Option<String>,
    /// It repeats another one (`harness rerun`).
    repeats: bool,
    n: usize,
    median: Option<f64>,
    lo: Option<f64>,
    hi: Option<f64>,
    /// What the median is of; none where there is no median.
    #[serde(flatten)]
    quantity: Option<Quantity>,
    /// What is said of it.
    #[serde(skip)]
    line: String,
}

/// A new level.
#[derive(Debug, Serialize)]
struct Step {
    /// The first measurement of it.
    id: String,
    unix_s: f64,
    journal: String,
    /// As in `compare`: above 1 it is better than before.
    ratio: f64,
    #[serde(skip)]
    words: String,
}

impl History {
    /// Of these journals; steps of less than `min_effect` are none.
    pub fn of(campaigns: &[Campaign], min_effect: f64) -> Self {
        let mut rows: BTreeMap<Which, Vec<(&Campaign, &Measurement)>> = BTreeMap::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for campaign in campaigns {
            // What was undone is no part of the way to what there is now.
            let is_undone = |record: &Measurement| campaign.versions.is_undone(&record.facts);
            let records = campaign.ended.iter().chain(&campaign.repeats).filter_map(measurement);
            let records = records.filter(|record| !is_undone(record));
            for record in records {
                // A journal and a copy of it tell the same once.
                if seen.insert(&record.facts.id) {
                    rows.entry(Which::of(record)).or_default().push((campaign, record));
                }
            }
        }
        let rows = rows.into_values().map(|records| Row::of(records, min_effect)).collect();
        Self { schema: SCHEMA, min_effect, rows }
    }

    /// Is there nothing to tell?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Row {
    fn of(mut records: Vec<(&Campaign, &Measurement)>, min_effect: f64) -> Self {
        records
            .sort_by(|(_, a), (_, b)| when(a).total_cmp(&when(b)).then_with(|| a.facts.id.cmp(&b.facts.id)));
        let (name, metric) = records
            .last()
            .map(|(_, record)| (title(record), record.objective.metric.clone()))
            .unwrap_or_default();
        let figures: Vec<Figures> = records.iter().map(|(_, record)| Figures::of(record)).collect();
        let points: Vec<Point> = records
            .iter()
            .zip(&figures)
            .map(|((campaign, record), figures)| Point::of(campaign, record, figures))
            .collect();
        let is_time = figures.iter().any(|figures| figures.is_time);
        let records: Vec<&Measurement> = records.into_iter().map(|(_, record)| record).collect();
        let mut row = Self { name, metric, points, steps: Vec::new(), steps_from: None };
        for stretch in row.stretches() {
            let (found, from) = stepped(&row.points[stretch.clone()], &records[stretch], is_time, min_effect);
            row.steps.extend(found);
            row.steps_from = from.or(row.steps_from);
        }
        row
    }

    /// The points without those of another quantity, one stretch after another; failures are of none, and split nothing.
    fn stretches(&self) -> Vec<Range<usize>> {
        let (mut begins, mut last) = (vec![0], None);
        for (at, point) in self.points.iter().enumerate() {
            let Some(quantity) = &point.quantity else { continue };
            if last.is_some_and(|last| last != quantity) {
                begins.push(at);
            }
            last = Some(quantity);
        }
        let ends = begins.iter().skip(1).copied().chain([self.points.len()]);
        begins.iter().copied().zip(ends).map(|(begin, end)| begin..end).collect()
    }

    /// The medians as heights, a character each; a failure is a cross.
    fn spark(&self) -> String {
        const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let of_stretch = |stretch: Range<usize>| -> String {
            let stretch = &self.points[stretch];
            let medians = || stretch.iter().filter_map(|point| point.median);
            let (least, most) =
                (medians().fold(f64::INFINITY, f64::min), medians().fold(f64::NEG_INFINITY, f64::max));
            let height = |median: f64| {
                let part = if most > least { (median - least) / (most - least) } else { 0.0 };
                HEIGHTS[((part * 7.0).round() as usize).min(7)]
            };
            stretch.iter().map(|point| point.median.map_or('✗', height)).collect()
        };
        let stretches: Vec<String> = self.stretches().into_iter().map(of_stretch).collect();
        stretches.join("|")
    }
}

impl Point {
    fn of(campaign: &Campaign, record: &Measurement, figures: &Figures) -> Self {
        Self {
            unix_s: when(record),
            journal: visible(&campaign.path.display().to_string()),
            id: record.facts.id.clone(),
            host: record.host.clone(),
            status: record.status,
            reason: record.reason.clone(),
            repeats: record.facts.parent.is_some(),
            n: figures.list.len(),
            median: figures.median,
            lo: figures.interval.map(|(lo, _)| lo),
            hi: figures.interval.map(|(_, hi)| hi),
            quantity: figures.median.map(|_| Quantity::of(record)),
            line: figures.line.clone(),
        }
    }
}

/// Where the medians of measurements of one quantity step by more than `min_effect`, and from which record on that was
/// looked for, if not from the first.
fn stepped(
    points: &[Point],
    records: &[&Measurement],
    is_time: bool,
    min_effect: f64,
) -> (Vec<Step>, Option<String>) {
    let has_log = |median: &f64| median.ln().is_finite();
    let good: Vec<(usize, f64)> = points
        .iter()
        .enumerate()
        .filter_map(|(at, point)| Some((at, point.median.filter(has_log)?)))
        .collect();
    let logs: Vec<f64> = good.iter().map(|(_, median)| median.ln()).collect();
    let begins = steps(&logs, RESOLUTION * min_effect);
    let ends = begins.iter().skip(1).copied().chain([logs.len()]);
    let level = |begin: usize, end: usize| {
        let medians: Vec<f64> = good[begin..end].iter().map(|(_, median)| *median).collect();
        median(&medians)
    };
    let levels: Vec<(usize, f64)> =
        begins.iter().zip(ends).filter_map(|(begin, end)| Some((*begin, level(*begin, end)?))).collect();
    let step = |pair: &[(usize, f64)]| {
        let [(_, was), (begin, is)] = *pair else { return None };
        let at = good[begin].0;
        let better = records[at].objective.better;
        let gain = if better == Better::Less { was / is } else { is / was };
        (gain.ln().abs() > min_effect.ln_1p()).then(|| {
            let word = match (gain > 1.0, is_time) {
                (true, true) => "faster",
                (false, true) => "slower",
                (true, false) => "better",
                (false, false) => "worse",
            };
            let (is, was) = (said(records[at], is), said(records[at], was));
            Step {
                id: points[at].id.clone(),
                unix_s: points[at].unix_s,
                journal: points[at].journal.clone(),
                ratio: gain,
                words: format!("{:.3}x {word} ({is}, before {was})", gain.max(1.0 / gain)),
            }
        })
    };
    let from = begins.first().filter(|begin| **begin > 0).map(|begin| points[good[*begin].0].id.clone());
    (levels.windows(2).filter_map(step).collect(), from)
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let points = count(row.points.len(), "measurement");
            writeln!(f, "{} ({}): {points} {}", row.name, visible(&row.metric), row.spark())?;
            if row.steps_from.is_some() {
                writeln!(f, "  steps are looked for in the last {LONGEST} of them")?;
            }
            let mut before = None;
            for point in &row.points {
                if let Some((was, is)) = before.zip(point.quantity.as_ref()).filter(|(was, is)| was != is) {
                    writeln!(f, "    its unit is {is}, and was {was}: no step is told across that")?;
                }
                before = point.quantity.as_ref().or(before);
                let again = if point.repeats { " (again)" } else { "" };
                writeln!(f, "  {}  {}{again}: {}", minute(point.unix_s), point.journal, point.line)?;
                for step in row.steps.iter().filter(|step| step.id == point.id) {
                    writeln!(f, "    since {}, {}: {}", minute(step.unix_s), step.journal, step.words)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::gate::tests::{campaign, ended, measured, rated};
    use super::*;

    fn daily(records: Vec<Measurement>) -> String {
        History::of(&[campaign("c.journal", records)], 0.01).to_string()
    }

    #[test]
    fn a_level_is_the_median_of_all_its_measurements() {
        let medians = [1.0, 1.002, 1.1, 1.102];
        let records = medians.iter().zip(1u8..).map(|(s, day)| measured("gemm", day.into(), &[*s; 9]));
        let text = daily(records.collect());
        assert!(text.contains(": 1.100x slower (1.101 s, before 1.001 s)\n"), "{text}");
    }

    #[test]
    fn another_unit_is_told_and_is_no_step() {
        let rates = [
            (5.0, "GFLOP/s"),
            (5.0, "GFLOP/s"),
            (5e3, "MFLOP/s"),
            (5e3, "MFLOP/s"),
            (4e3, "MFLOP/s"),
            (4e3, "MFLOP/s"),
        ];
        let mut records: Vec<Measurement> = rates
            .iter()
            .zip(1u8..)
            .map(|((rate, unit), day)| rated("gemm", day.into(), *rate, unit))
            .collect();
        records[1] = ended("gemm", 2.0, Status::Timeout);
        records[1].objective = records[0].objective.clone();
        let text = daily(records);
        assert!(text.starts_with("gemm (rate): 6 measurements ▁✗|██▁▁\n"), "{text}");
        let unit = "    its unit is MFLOP/s (more is better), and was GFLOP/s (more is better): no step is told across that\n";
        assert_eq!(text.matches(unit).count(), 1, "{text}");
        assert!(text.contains(": 1.250x worse (4000 MFLOP/s, before 5000 MFLOP/s)\n"), "{text}");
        assert_eq!(text.matches("    since ").count(), 1, "{text}");
    }

    #[test]
    fn of_very_many_it_says_that_the_last_are_looked_at() {
        let records =
            (0..u32::try_from(LONGEST + 3).unwrap()).map(|day| measured("gemm", day.into(), &[1.0; 7]));
        let history = History::of(&[campaign("c.journal", records.collect())], 0.01);
        let note = "\n  steps are looked for in the last 500 of them\n";
        assert!(history.to_string().contains(note), "{history}");
        let json = serde_json::to_value(&history).unwrap();
        assert_eq!(json["rows"][0]["steps_from"], json["rows"][0]["points"][3]["id"]);
    }

    #[test]
    fn a_step_is_told_where_it_is_and_others_are_not() {
        let journals: Vec<Campaign> = [1.0, 1.001, 1.0, 1.1, 1.101, 1.1]
            .iter()
            .enumerate()
            .map(|(at, median)| {
                let day = 1.8e9 + 86_400.0 * at as f64;
                campaign(&format!("{at}.journal"), vec![measured("gemm", day, &[*median; 9])])
            })
            .rev()
            .collect();
        let history = History::of(&journals, 0.01);
        let text = history.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "gemm (wall_s): 6 measurements ▁▁▁███");
        assert!(lines[1].starts_with("  2027-01-15T08:00Z  0.journal: median 1.000 s, 95 % CI ["), "{text}");
        assert_eq!(
            lines[5],
            "    since 2027-01-18T08:00Z, 3.journal: 1.100x slower (1.100 s, before 1.000 s)"
        );
        assert_eq!(lines.len(), 8, "{text}");
        let json = serde_json::to_value(&history).unwrap();
        assert_eq!(json["rows"][0]["steps"][0]["journal"], "3.journal");
        assert_eq!(json["rows"][0]["points"][5]["median"], 1.1);
        assert_eq!(
            (&json["rows"][0]["points"][5]["unit"], &json["rows"][0]["steps_from"]),
            (&Value::Null, &Value::Null)
        );
        // A journal and its copy are one.
        let twice = [journals[0].clone(), journals[0].clone()];
        assert!(History::of(&twice, 0.01).to_string().contains(": 1 measurement "));
    }
}
