//! Figures and failures as measurements and comparisons of the page have them alike.

use serde::Serialize;

use crate::model::human::status_in_short;
use crate::model::{Outcome, Status, Summary};

/// A summary, without what nobody shows.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Figures {
    n: u32,
    min: f64,
    q1: f64,
    median: f64,
    q3: f64,
    max: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lo: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hi: Option<f64>,
}

impl Figures {
    pub(super) fn of(stats: &Summary) -> Self {
        let Summary { n, min, q1, median, q3, max, ci, .. } = *stats;
        Self { n, min, q1, median, q3, max, lo: ci.map(|ci| ci.lo), hi: ci.map(|ci| ci.hi) }
    }
}

/// Status and reason in a line; none of what went well.
pub(super) fn failure(status: Status, reason: Option<&str>) -> Option<String> {
    (status != Status::Ok).then(|| status_in_short(&Outcome::failed(status, reason.unwrap_or_default())))
}
