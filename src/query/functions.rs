//! What SQL can compute of samples beside its own `avg`, `min` and `max`: the statistics of `stats`, as aggregates.

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result};

use crate::model::Summary;
use crate::stats;

/// So many numbers are looked at together.
const MOST_VALUES: usize = 10_000_000;

/// An aggregate of one column of numbers.
struct OfSummary {
    name: &'static str,
    of: fn(&Summary) -> Option<f64>,
}

impl Aggregate<Vec<f64>, Option<f64>> for OfSummary {
    fn init(&self, _: &mut Context<'_>) -> Result<Vec<f64>> {
        Ok(Vec::new())
    }

    fn step(&self, context: &mut Context<'_>, values: &mut Vec<f64>) -> Result<()> {
        values.extend(number(context, self.name)?);
        if values.len() > MOST_VALUES {
            let text = format!(
                "{}() of more than {MOST_VALUES} numbers: does a recursive `with` have an end?",
                self.name
            );
            return Err(Error::UserFunctionError(text.into()));
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, values: Option<Vec<f64>>) -> Result<Option<f64>> {
        let values = values.unwrap_or_default();
        Ok(if values.is_empty() { None } else { (self.of)(&stats::summary(&values)) })
    }
}

/// The geometric mean, for ratios.
struct Geomean;

impl Aggregate<(f64, u64), Option<f64>> for Geomean {
    fn init(&self, _: &mut Context<'_>) -> Result<(f64, u64)> {
        Ok((0.0, 0))
    }

    fn step(&self, context: &mut Context<'_>, (logarithms, n): &mut (f64, u64)) -> Result<()> {
        if let Some(value) = number(context, "geomean")? {
            *logarithms += value.ln();
            *n += 1;
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, all: Option<(f64, u64)>) -> Result<Option<f64>> {
        let (logarithms, n) = all.unwrap_or_default();
        let mean = (logarithms / n as f64).exp();
        Ok((n > 0 && mean.is_finite()).then_some(mean))
    }
}

/// The argument; none if it is not available.
fn number(context: &Context<'_>, name: &str) -> Result<Option<f64>> {
    match context.get_raw(0) {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(value) => Ok(Some(value as f64)),
        ValueRef::Real(value) => Ok(Some(value)),
        ValueRef::Text(_) | ValueRef::Blob(_) => {
            Err(Error::UserFunctionError(format!("{name}() is of numbers, and there is a text").into()))
        }
    }
}

/// Name and meaning of each of them, for people.
pub(super) const ABOUT: &str = "median(x) ci_lo(x) ci_hi(x) sd(x) mad(x) geomean(x)";

pub(super) fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let all = [
        OfSummary { name: "median", of: |summary| Some(summary.median) },
        OfSummary { name: "ci_lo", of: |summary| summary.ci.map(|ci| ci.lo) },
        OfSummary { name: "ci_hi", of: |summary| summary.ci.map(|ci| ci.hi) },
        OfSummary { name: "sd", of: |summary| (summary.n > 1).then_some(summary.sd) },
        OfSummary { name: "mad", of: |summary| Some(summary.mad) },
    ];
    for aggregate in all {
        connection.create_aggregate_function(aggregate.name, 1, flags, aggregate)?;
    }
    connection.create_aggregate_function("geomean", 1, flags, Geomean)
}
