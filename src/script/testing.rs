//! What a file of tests says of them while they run (`lua/harness/testing.lua`). Knows nothing of who listens.

use serde::{Deserialize, Serialize};

/// Of a test: what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It begins.
    Began,
    /// It ended without an error.
    Passed,
    /// It raised an error, or what runs before or after it did.
    Failed,
    /// It said itself that it cannot be done here.
    Skipped,
    /// It was not asked for.
    Left,
}

impl Step {
    /// By the word that the library says.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        let all = [Step::Began, Step::Passed, Step::Failed, Step::Skipped, Step::Left];
        all.into_iter().find(|step| step.word() == word)
    }

    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Step::Began => "began",
            Step::Passed => "passed",
            Step::Failed => "failed",
            Step::Skipped => "skipped",
            Step::Left => "left",
        }
    }
}

/// Hears what becomes of a test: the step, its name, and where it is written (of the first and the last) or why.
pub type Tell = Box<dyn Fn(Step, &str, &str)>;
