//! Measurements and samples with a column for each parameter and each metric: the rows that `results:csv` of a script
//! writes, from a journal.
//!
//! Columns and their order are the script's (`lua/harness/results.lua`), which a test of the real binary compares; rows
//! stand by name and parameters.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;

use super::cell::{Cell, Head, Rows, Type};
use super::columns::{Column, Measured, measurements};
use super::journal::{Journal, What};
use super::run::{FIGURES, Run, runs_of};
use crate::model::human::{Figures, figures};

/// What the columns of a measurement are, between its parameters and its metrics.
const OWN: [&str; 20] = [
    "status",
    "host",
    "objective",
    "unit",
    "n",
    "min",
    "q1",
    "median",
    "q3",
    "max",
    "mean",
    "sd",
    "mad",
    "ci_lo",
    "ci_hi",
    "ci_level",
    "stop_reason",
    "flags",
    "same_as",
    "reason",
];

/// One measurement and the journal it is of.
struct Row<'a> {
    journal: &'a Journal,
    measured: Measured<'a>,
    /// Its name, then its parameters.
    order: Vec<Option<&'a Value>>,
}

/// All measurements, in order.
pub(super) struct Wide<'a> {
    several: bool,
    params: BTreeSet<&'a str>,
    rows: Vec<Row<'a>>,
}

impl<'a> Wide<'a> {
    pub(super) fn new(journals: &'a [Journal]) -> Self {
        let counted =
            journals.iter().flat_map(|journal| journal.counted().map(move |ended| (journal, ended)));
        let measured = |(journal, ended): (&'a Journal, &'a super::journal::Ended)| match &ended.what {
            What::Measurement(it) => Some((journal, Measured { ended, it })),
            What::Task(_) => None,
        };
        let all: Vec<(&'a Journal, Measured<'a>)> = counted.filter_map(measured).collect();
        let params: BTreeSet<&'a str> =
            all.iter().flat_map(|(_, measured)| measured.params()).map(|(name, _)| name).collect();
        let row = |(journal, measured): (&'a Journal, Measured<'a>)| Row {
            journal,
            order: params.iter().map(|name| measured.param(name)).collect(),
            measured,
        };
        let mut rows: Vec<Row<'a>> = all.into_iter().map(row).collect();
        rows.sort_by(|a, b| {
            let by_name = by_name(a.measured.name(), b.measured.name());
            by_name.then_with(|| {
                a.order
                    .iter()
                    .zip(&b.order)
                    .map(|(a, b)| by_value(*a, *b))
                    .find(|order| order.is_ne())
                    .unwrap_or(Ordering::Equal)
            })
        });
        Self { several: journals.len() > 1, params, rows }
    }

    /// A row for each measurement.
    pub(super) fn measurements(&self) -> Rows {
        let own: Vec<Column<Measured<'a>>> = OWN
            .iter()
            .filter_map(|name| measurements().into_iter().find(|column| column.name == *name))
            .collect();
        let metrics: BTreeSet<&str> =
            self.rows.iter().flat_map(|row| row.measured.it.metrics.keys()).map(String::as_str).collect();
        let kinds: Vec<(&str, Option<Type>)> =
            own.iter().map(|column| (column.name, Some(column.kind))).collect();
        let heads = self.heads(&kinds, &metrics);
        let line = |row: &Row<'a>| {
            let mut cells = self.beginning(row);
            cells.extend(own.iter().map(|column| match column.name {
                // Of what never ran nothing is known.
                "objective" | "unit" if row.measured.it.stop_reason.is_none() => Cell::Null,
                // For people: rows have no ids.
                "same_as" => row.measured.it.same_as.as_ref().map(|same| &same.what).into(),
                _ => (column.of)(&row.measured),
            }));
            cells.extend(metrics.iter().map(|name| Cell::from(row.measured.metric(name))));
            cells
        };
        Rows { heads, rows: self.rows.iter().map(line).collect() }
    }

    /// A row for each run that counts.
    pub(super) fn samples(&self) -> Rows {
        let runs: Vec<(&Row<'a>, Vec<Run<'a>>)> = self
            .rows
            .iter()
            .map(|row| {
                (row, runs_of(row.measured.it, 0).into_iter().filter(|run| run.sample.is_some()).collect())
            })
            .collect();
        let all = || runs.iter().flat_map(|(_, runs)| runs);
        let mut names: BTreeSet<&str> = all().flat_map(|run| &run.metrics).map(|(name, _)| *name).collect();
        names.extend(FIGURES.iter().filter(|name| all().any(|run| run.figure(name).is_some())));
        let heads = self.heads(&[("host", Some(Type::Text)), ("sample", Some(Type::Integer))], &names);
        let mut rows = Vec::new();
        for (row, runs) in &runs {
            for run in runs {
                let mut cells = self.beginning(row);
                cells.extend([Cell::from(row.measured.ended.host()), run.sample.into()]);
                cells.extend(names.iter().map(|name| Cell::from(run.figure(name))));
                rows.push(cells);
            }
        }
        Rows { heads, rows }
    }

    /// For people: the median with its interval, in digits that fit each other.
    pub(super) fn summary(&self) -> Rows {
        let own = [
            ("median", Some(Type::Real)),
            ("95 % CI", Some(Type::Real)),
            ("n", Some(Type::Integer)),
            ("unit", Some(Type::Text)),
            ("flags", Some(Type::Text)),
        ];
        let heads = self.heads(&own, &BTreeSet::new());
        let line = |row: &Row<'a>| {
            let mut cells = self.beginning(row);
            let it = row.measured.it;
            let result = it.outcome().filter(|outcome| outcome.ok());
            match result.as_ref().and_then(|outcome| figures(&outcome.detail)) {
                Some(Figures { median, interval, n, unit }) => {
                    let interval = interval.map(|(low, high)| format!("[{low}, {high}]"));
                    cells.extend([median.into(), interval.into(), n.into(), unit.into()]);
                }
                None => {
                    cells.push(it.status.word().into());
                    cells.extend([Cell::Null, Cell::Null, Cell::Null]);
                }
            }
            cells.push(it.flags.join(" ").into());
            cells
        };
        Rows { heads, rows: self.rows.iter().map(line).collect() }
    }

    fn beginning(&self, row: &Row<'a>) -> Vec<Cell> {
        let journal = self.several.then(|| Cell::from(&row.journal.name));
        let params = row.order.iter().map(|value| value.map_or(Cell::Null, Cell::of_value));
        let name = Cell::from(row.measured.ended.facts().name.as_ref());
        journal.into_iter().chain([name]).chain(params).collect()
    }

    /// A title that is there already gets its origin in front: a parameter called `host` is the column `param.host`.
    fn heads(&self, own: &[(&str, Option<Type>)], metrics: &BTreeSet<&str>) -> Vec<Head> {
        let mut taken: BTreeSet<String> = own.iter().map(|(name, _)| (*name).into()).collect();
        taken.insert("name".into());
        if self.several {
            taken.insert("journal".into());
        }
        let mut title = |origin: &str, name: &str| {
            let title = if taken.contains(name) { format!("{origin}.{name}") } else { name.to_owned() };
            taken.insert(title.clone());
            title
        };
        let mut heads = Vec::new();
        let mut head = |name: String, kind| heads.push(Head { name, kind });
        if self.several {
            head("journal".into(), Some(Type::Text));
        }
        head("name".into(), Some(Type::Text));
        for name in &self.params {
            head(title("param", name), None);
        }
        for (name, kind) in own {
            head((*name).into(), *kind);
        }
        for name in metrics {
            head(title("metric", name), Some(Type::Real));
        }
        heads
    }
}

impl<'a> Measured<'a> {
    fn name(&self) -> Option<&'a str> {
        self.it.facts.name.as_deref()
    }

    fn params(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        let params = self.it.facts.params.as_ref().and_then(Value::as_object);
        params.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }

    fn param(&self, name: &str) -> Option<&'a Value> {
        self.it.facts.params.as_ref()?.as_object()?.get(name)
    }
}

/// What has no name comes last.
fn by_name(a: Option<&str>, b: Option<&str>) -> Ordering {
    a.is_none().cmp(&b.is_none()).then_with(|| a.cmp(&b))
}

/// Numbers before text before everything else, nothing last.
fn by_value(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let rank = |value: Option<&Value>| match value {
        Some(Value::Number(_)) => 1,
        Some(Value::String(_)) => 2,
        Some(Value::Null) | None => 4,
        Some(_) => 3,
    };
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (Some(a), Some(b)) => a.to_string().cmp(&b.to_string()),
        _ => Ordering::Equal,
    })
}
