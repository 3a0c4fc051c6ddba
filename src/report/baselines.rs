//! What the trials of a search are compared with: the baseline that the search was given, as it was measured at its end.
//!
//! The first trial is no base: a search begins anywhere, so that a speed-up over it says nothing. Trials of a search that has no
//! baseline, or has not come to its end, have no speed-up.

use crate::model::{Compared, Detail, Kind, Outcome, Status, TaskFacts};

/// The name of the search at whose end this comparison was made, and the baseline in it; none of any other task.
pub(super) fn baseline<'a>(facts: &'a TaskFacts, outcome: &'a Outcome) -> Option<(&'a str, &'a Compared)> {
    let search = facts.search.as_ref().filter(|_| facts.kind == Kind::Compare)?;
    let Detail::Compare(result) = &outcome.detail else { return None };
    let base = result.variants.first().filter(|base| base.status == Status::Ok)?;
    Some((&search.name, base))
}

/// The search whose trial this is.
pub(super) fn trial_of(facts: &TaskFacts) -> Option<&str> {
    Some(&facts.search.as_ref().filter(|search| search.trial.is_some())?.name)
}
