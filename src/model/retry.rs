//! Which recorded ends are tried again (`--retry`), in the words of the command line: statuses, and two groups of them.
//!
//! Without it an end that would be the same again ([`Status::lasting`]) is answered from the journal, and any other is tried
//! again. Pure: words in, statuses out.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Status, nearest};

/// What the program did, but well.
const FAILED: &str = "failed";
/// What the cluster, the surroundings or the user did: tried again in any case.
const LOST: &str = "lost";

/// Recorded ends that answer nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry(BTreeSet<Status>);

/// Not a word we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--retry '{word}'{hint}: say {FAILED}, {LOST}, or statuses: {}", Status::ALL.map(Status::word).join(", "))]
pub struct UnknownRetry {
    word: String,
    hint: String,
}

impl Retry {
    /// Of what was said on the command line.
    pub fn of_words(words: &[String]) -> Result<Self, UnknownRetry> {
        let mut statuses = BTreeSet::new();
        for word in words.iter().map(|word| word.trim()) {
            let meant = |status: &Status| match word {
                FAILED => status.lasting() && *status != Status::Ok,
                LOST => !status.lasting(),
                word => status.word() == word,
            };
            let before = statuses.len();
            let found: Vec<Status> = Status::ALL.into_iter().filter(meant).collect();
            statuses.extend(&found);
            if found.is_empty() && statuses.len() == before {
                return Err(UnknownRetry { word: word.into(), hint: hint(word) });
            }
        }
        Ok(Self(statuses))
    }

    /// The word of the command line that says it.
    pub fn word(&self) -> String {
        let failed = Self::of_words(&[FAILED.into()]);
        if failed.as_ref() == Ok(self) {
            return FAILED.into();
        }
        self.0.iter().map(|status| status.word()).collect::<Vec<_>>().join(",")
    }

    /// Does it name none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Is a task that ended so tried again, although the journal has the answer?
    pub fn covers(&self, status: Status) -> bool {
        self.0.contains(&status)
    }
}

/// The word that was nearly said.
fn hint(word: &str) -> String {
    let known = Status::ALL.map(Status::word).into_iter().chain([FAILED, LOST]);
    nearest(word, known).map(|known| format!(" (did you mean '{known}'?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Retry, String> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        Retry::of_words(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn words_are_statuses_and_groups_of_them() {
        assert_eq!(of(&[]), Ok(Retry::default()));
        let timeout = of(&["timeout"]).unwrap();
        assert!(timeout.covers(Status::Timeout) && !timeout.covers(Status::Signal));
        let failed = of(&["failed", "refused"]).unwrap();
        assert_eq!(of(&["failed"]).unwrap().word(), "failed");
        for status in Status::ALL {
            let expected = status != Status::Ok && status.lasting() || status == Status::Refused;
            assert_eq!(failed.covers(status), expected, "{}", status.word());
            assert_eq!(of(&["lost"]).unwrap().covers(status), !status.lasting(), "{}", status.word());
            assert!(of(&[status.word()]).unwrap().covers(status));
            assert_eq!(of(&failed.word().split(',').collect::<Vec<_>>()), Ok(failed.clone()));
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_those_there_are() {
        let said = of(&["timeout", "timeuot"]).unwrap_err();
        assert!(said.starts_with(
            "--retry 'timeuot' (did you mean 'timeout'?): say failed, lost, or statuses: ok, error, "
        ));
        assert!(of(&[""]).unwrap_err().starts_with("--retry '': say failed"));
    }
}
