//! How a comparison ended: what each variant did, and what may be said of it and the base.
//!
//! Plain data, as `outcome`; the rules behind the verdicts are `stats`'.

use serde::{Deserialize, Serialize};

use super::{Interval, MeasureResult, Status, StopReason, encoding};

/// A comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareResult {
    /// What was compared, the base first.
    pub variants: Vec<Compared>,
    /// Whole rounds.
    pub rounds: u32,
    /// The orders within the rounds were drawn from it.
    pub order_seed: u64,
    /// The least relative difference that matters.
    pub min_effect: f64,
    /// Why the rounds ended.
    pub stop_reason: StopReason,
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// Its search point, where it has one of its own.
    #[serde(default, with = "encoding::json")]
    pub params: Option<serde_json::Value>,
    /// How its runs ended.
    pub status: Status,
    /// Why; always there unless the status is `ok`.
    pub reason: Option<String>,
    /// Its runs; sample number i is of round i.
    pub result: MeasureResult,
    /// What may be said of it and the base; none of the base itself, of what failed, and without rounds.
    pub comparison: Option<Comparison>,
}

/// What the rounds say of a variant and the base.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// In one word.
    pub verdict: Verdict,
    /// Median over the rounds of base / variant where less is better, else of variant / base: above 1 it is better.
    #[serde(deserialize_with = "encoding::number")]
    pub ratio: f64,
    /// The interval of that median: at least 95 % for all variants and all looks together; none with too few rounds.
    pub ci: Option<Interval>,
    /// Rounds it is based on.
    pub rounds: u32,
}

/// What may be said of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better than the base by more than the least effect that matters.
    Faster,
    /// Worse by more than that.
    Slower,
    /// If there is a difference it does not matter.
    Equivalent,
    /// There is a difference, and it does not matter.
    DifferentButSmall,
    /// The rounds do not tell.
    Unresolved,
}

impl Verdict {
    /// The word the script and the journal use.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::Equivalent => "equivalent",
            Verdict::DifferentButSmall => "different_but_small",
            Verdict::Unresolved => "unresolved",
        }
    }
}
