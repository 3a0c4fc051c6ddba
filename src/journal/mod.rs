//! The append-only file of a campaign: what was reported as recorded is in it, whatever is killed.
//!
//! One process writes (an exclusive lock says who), on a thread of its own, so that neither the driver nor a
//! script waits for a disk. A line is reported as written only after its `write` returned, and is on the disk
//! itself a second later. A torn last line is the normal trace of a kill and is cut off at the next start;
//! damage elsewhere is never repaired silently. Knows records and files; nothing of schedulers and scripts.

mod answers;
mod appending;
mod open;
mod piece;
mod read;
mod rewrite;
mod runs;
mod sidecar;
mod tail;
mod tries;
mod upkeep;
mod versions;
mod writer;

use std::io;
use std::path::PathBuf;

pub use answers::Answers;
pub use open::{Journal, Mode, Opened, Started, holder, is_held, last_session};
pub use read::{Contents, is_journal, read};
pub use rewrite::Damage;
pub use sidecar::PREFACE as INDEX_PREFACE;
pub use tail::Tail;
pub use tries::{envs, tries};
pub use upkeep::{Checked, Compacted, Merged, check, compact, merge};
pub use versions::{Found, Said, Version, outdated};
pub use writer::{JournalWriter, Lost};

use crate::model::{JOURNAL_SCHEMA, MEASUREMENT_SCHEMA};

/// Why a journal cannot be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process writes it.
    #[error(
        "journal {}: {holder} is writing to it; wait until it ends, or name another file with --journal",
        path.display()
    )]
    Held {
        /// The file.
        path: PathBuf,
        /// Who, for people.
        holder: String,
    },
    /// A folder, a device, a pipe.
    #[error("journal {}: this is not a regular file; name another one with --journal", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// A file of somebody else.
    #[error(
        "journal {}: this is no journal of harness (its first line is not a header) and was left as it is; \
         name another file with --journal",
        path.display()
    )]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// Written in another format.
    #[error(
        "journal {}: its format is {found}, this harness (version {}) uses {JOURNAL_SCHEMA} and {MEASUREMENT_SCHEMA}; continue with the \
         harness that wrote it, or begin anew with --fresh (the old journal is kept under another name)",
        path.display(), env!("CARGO_PKG_VERSION")
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: String,
    },
    /// A line that is not the last is no record.
    #[error(
        "journal {}: line {line} is damaged ({reason}); remove or mend that line (`harness journal check {}` names all \
         such lines, and how to go on without them), or begin anew with --fresh (the old journal is kept under another \
         name)",
        path.display(), path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A new journal was to be made where something is.
    #[error("journal {}: there is something of this name already; name a new file", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The system refused.
    #[error("journal {}: cannot {doing}: {source}{}", path.display(), advice(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, for people.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl JournalError {
    /// The same for somebody who repeats or asks, and has no options for another journal.
    pub fn to_reader(&self) -> String {
        let about = |path: &PathBuf, text: String| format!("journal {}: {text}", path.display());
        match self {
            Self::Held { path, holder } => {
                about(path, format!("{holder} is writing to it: wait until it ends"))
            }
            Self::NotRegular { path } => about(path, "this is not a regular file".into()),
            Self::NotAJournal { path } => {
                about(path, "this is no journal of harness (its first line is not a header)".into())
            }
            Self::OtherVersion { path, found } => about(
                path,
                format!(
                    "its format is {found}, this harness uses {JOURNAL_SCHEMA} and {MEASUREMENT_SCHEMA}: take the harness that wrote it"
                ),
            ),
            Self::Damaged { path, line, reason } => about(
                path,
                format!(
                    "line {line} is damaged ({reason}): mend or remove that line in a copy, and name the copy; `harness \
                     journal check {}` names all such lines",
                    path.display()
                ),
            ),
            Self::Exists { .. } => self.to_string(),
            Self::Io { path, doing, source } => about(path, format!("cannot {doing}: {source}")),
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; create its folder, or name a file elsewhere with --journal",
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory => "; name a file in a folder you can write to with --journal",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "; free some space and run the script again (it goes on from what is recorded), \
             or name a file elsewhere with --journal"
        }
        _ => "",
    }
}
