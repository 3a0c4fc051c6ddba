//! What may be said of a row, and what all rows come to: the words, and which of them stand for what in a pipeline.

use serde::{Serialize, Serializer};

/// What is said of a row, what matters most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Worse, by more than the least effect that matters.
    Slower,
    /// It ended well, and fails now.
    Failed,
    /// It seems worse, and what was measured is the program of an earlier session.
    SameProgram,
    /// The runs do not tell.
    Unresolved,
    /// It was not measured now.
    Missing,
    /// Not the same quantity, or not on the same host.
    Incomparable,
    /// It seemed slower, and was not when it was measured once more.
    Unconfirmed,
    /// Better, by more than the least effect that matters.
    Faster,
    /// It failed, and ends well now.
    Fixed,
    /// It failed before, too.
    Failing,
    /// It was not measured before.
    New,
    /// Not slower by as much as the tolerance.
    Same,
}

impl Verdict {
    /// The word in all outputs.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Slower => "slower",
            Verdict::Failed => "failed",
            Verdict::SameProgram => "same_program",
            Verdict::Unresolved => "unresolved",
            Verdict::Missing => "missing",
            Verdict::Incomparable => "incomparable",
            Verdict::Unconfirmed => "unconfirmed",
            Verdict::Faster => "faster",
            Verdict::Fixed => "fixed",
            Verdict::Failing => "failing",
            Verdict::New => "new",
            Verdict::Same => "same",
        }
    }

    /// Is the campaign worse for it?
    pub fn is_regression(self) -> bool {
        matches!(self, Verdict::Slower | Verdict::Failed)
    }

    /// May the campaign be worse, for all that is known?
    pub fn is_open(self) -> bool {
        use Verdict::{Incomparable, Missing, SameProgram, Unresolved};
        matches!(self, SameProgram | Unresolved | Missing | Incomparable)
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// What all rows come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Every row was looked at, and none is worse.
    NoRegression,
    /// At least one row is worse.
    Regression,
    /// None is known to be worse, and not of all it is known that they are not.
    Inconclusive,
}

impl Conclusion {
    /// Of all rows.
    pub(super) fn of(verdicts: impl Iterator<Item = Verdict> + Clone) -> Self {
        let nothing_compared = verdicts.clone().all(|verdict| verdict == Verdict::New);
        if verdicts.clone().any(Verdict::is_regression) {
            Conclusion::Regression
        } else if nothing_compared || verdicts.clone().any(Verdict::is_open) {
            Conclusion::Inconclusive
        } else {
            Conclusion::NoRegression
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Conclusion::NoRegression => "no regression",
            Conclusion::Regression => "regression",
            Conclusion::Inconclusive => "inconclusive",
        }
    }
}
