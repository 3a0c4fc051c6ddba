//! What became of each row from one measurement to the next: its medians in the order of time, and where they stepped.
//!
//! Every measurement of a journal is a point: the last record of each recipe, and what `harness rerun` repeated. A journal
//! has several of one row if the program changed between runs of its script, as each version of it has a recipe of its
//! own. Records in, words out; steps are found by `stats`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Campaign;
use super::gate::{Figures, Which, measurement, title};
use crate::model::human::{count, visible};
use crate::model::{Better, Measurement, Status};
use crate::stats::steps;

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
    #[serde(skip)]
    shown: String,
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
        for campaign in campaigns {
            let records = campaign.ended.iter().chain(&campaign.repeats).filter_map(measurement);
            for record in records {
                let row = rows.entry(Which::of(record)).or_default();
                // A journal and a copy of it tell the same once.
                if row.iter().all(|(_, other)| other.facts.id != record.facts.id) {
                    row.push((campaign, record));
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
        let when = |record: &Measurement| record.facts.started_unix_s.or(record.facts.ended_unix_s);
        records.sort_by(|(_, a), (_, b)| {
            let times = when(a).unwrap_or(0.0).total_cmp(&when(b).unwrap_or(0.0));
            times.then_with(|| a.facts.id.cmp(&b.facts.id))
        });
        let (name, metric) = records
            .last()
            .map(|(_, record)| (title(record), record.objective.metric.clone()))
            .unwrap_or_default();
        let figures: Vec<Figures> = records.iter().map(|(_, record)| Figures::of(record)).collect();
        let points: Vec<Point> = records
            .iter()
            .zip(&figures)
            .map(|((campaign, record), figures)| Point::of(campaign, record, figures, when(record)))
            .collect();
        let better = records.last().map_or(Better::Less, |(_, record)| record.objective.better);
        let is_time = figures.iter().any(|figures| figures.is_time);
        let steps = stepped(&points, better, is_time, min_effect);
        Self { name, metric, points, steps }
    }

    /// The medians as heights, a character each; a failure is a cross.
    fn spark(&self) -> String {
        const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let medians = || self.points.iter().filter_map(|point| point.median);
        let (least, most) =
            (medians().fold(f64::INFINITY, f64::min), medians().fold(f64::NEG_INFINITY, f64::max));
        let height = |median: f64| {
            let part = if most > least { (median - least) / (most - least) } else { 0.0 };
            HEIGHTS[((part * 7.0).round() as usize).min(7)]
        };
        self.points.iter().map(|point| point.median.map_or('✗', height)).collect()
    }
}

impl Point {
    fn of(campaign: &Campaign, record: &Measurement, figures: &Figures, when: Option<f64>) -> Self {
        Self {
            unix_s: when.unwrap_or(0.0),
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
            shown: figures.shown.clone(),
            line: figures.line.clone(),
        }
    }
}

/// Where the medians step by more than `min_effect`.
fn stepped(points: &[Point], better: Better, is_time: bool, min_effect: f64) -> Vec<Step> {
    let good: Vec<(&Point, f64)> = points
        .iter()
        .filter_map(|point| Some((point, point.median.map(f64::ln).filter(|log| log.is_finite())?)))
        .collect();
    let series: Vec<f64> = good.iter().map(|(_, log)| *log).collect();
    let begins = steps(&series, RESOLUTION * min_effect);
    let ends = begins.iter().skip(1).copied().chain([series.len()]);
    let pieces: Vec<(usize, usize)> = begins.iter().copied().zip(ends).collect();
    let step = |pair: &[(usize, usize)]| {
        let [(from, begin), (_, end)] = *pair else { return None };
        let (was, is) = (middle(&good[from..begin])?, middle(&good[begin..end])?);
        let gain = if better == Better::Less { was.1 - is.1 } else { is.1 - was.1 };
        if gain.abs() <= min_effect.ln_1p() {
            return None;
        }
        let word = match (gain > 0.0, is_time) {
            (true, true) => "faster",
            (false, true) => "slower",
            (true, false) => "better",
            (false, false) => "worse",
        };
        let (first, ratio) = (good[begin].0, gain.abs().exp());
        Some(Step {
            id: first.id.clone(),
            unix_s: first.unix_s,
            journal: first.journal.clone(),
            ratio: gain.exp(),
            words: format!("{ratio:.3}x {word} ({}, before {})", is.0.shown, was.0.shown),
        })
    };
    pieces.windows(2).filter_map(step).collect()
}

/// The measurement in the middle of a piece.
fn middle<'a>(piece: &[(&'a Point, f64)]) -> Option<(&'a Point, f64)> {
    let mut piece = piece.to_vec();
    piece.sort_by(|a, b| a.1.total_cmp(&b.1));
    piece.get(piece.len().checked_sub(1)? / 2).copied()
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let points = count(row.points.len(), "measurement");
            writeln!(f, "{} ({}): {points} {}", row.name, visible(&row.metric), row.spark())?;
            for point in &row.points {
                let again = if point.repeats { " (again)" } else { "" };
                writeln!(f, "  {}  {}{again}: {}", time(point.unix_s), point.journal, point.line)?;
                for step in row.steps.iter().filter(|step| step.id == point.id) {
                    writeln!(f, "    since {}, {}: {}", time(step.unix_s), step.journal, step.words)?;
                }
            }
        }
        Ok(())
    }
}

/// A time in UTC, `2026-11-20T03:10Z`.
fn time(unix_s: f64) -> String {
    let minutes = (unix_s / 60.0).floor() as i64;
    let (year, month, day) = date(minutes.div_euclid(24 * 60));
    let minute = minutes.rem_euclid(24 * 60);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}Z", minute / 60, minute % 60)
}

/// The day of the Gregorian calendar so many days after 1970-01-01 (Hinnant, *chrono-compatible low-level date
/// algorithms*: years begin in March, so that the leap day is the last one).
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::super::gate::tests::{campaign, measured};
    use super::*;

    #[test]
    fn times_are_those_of_date() {
        for (unix_s, text) in [
            (0.0, "1970-01-01T00:00Z"),
            (951_782_399.0, "2000-02-28T23:59Z"),
            (951_782_400.0, "2000-02-29T00:00Z"),
            (1_795_000_000.0, "2026-11-18T11:06Z"),
            (4_107_542_400.0, "2100-03-01T00:00Z"),
        ] {
            assert_eq!(time(unix_s), text);
        }
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
        // A journal and its copy are one.
        let twice = [journals[0].clone(), journals[0].clone()];
        assert!(History::of(&twice, 0.01).to_string().contains(": 1 measurement "));
    }
}
