//! Why values could not be shipped, in words that name the value, the way to it, and what to do instead.

use crate::model::Hash;

/// Why values could not be shipped.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ShipError {
    /// Something among them exists only in this process; names it and the path to it.
    #[error("{0}")]
    CannotShip(String),
    /// More than one message may hold.
    #[error(
        "{mib} MiB are too much to ship (the limit is {limit} MiB): write them to a file and pass its name"
    )]
    TooLarge {
        /// Its size, MiB.
        mib: usize,
        /// The limit, MiB.
        limit: usize,
    },
    /// The message was damaged.
    #[error("the message is damaged at byte {at}: {what}")]
    Corrupt {
        /// Offset in the message.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// Bytecode has to be learned before the message that needs it.
    #[error("bytecode {0} did not come before the message that needs it")]
    UnknownCode(Hash),
    /// What came is not the bytecode it is said to be.
    #[error("bytecode {hash} is not usable: {why}")]
    BadCode {
        /// Its name.
        hash: Hash,
        /// What is wrong.
        why: &'static str,
    },
    /// The result of a task could not be put in.
    #[error("{0}")]
    Dependency(String),
    /// The function of a `__ship` hook failed on this side.
    #[error("cannot make a shipped value anew (the function its `__ship` gave): {0}")]
    Rebuild(String),
    /// A shared value is not to be had.
    #[error(
        "the shared value {hash} is not in this node's store ({why}): was the folder $HARNESS_CACHE emptied?"
    )]
    Share {
        /// Its name.
        hash: Hash,
        /// What is wrong.
        why: String,
    },
    /// A value refers to a module that is not there.
    #[error("a shipped value refers to module '{name}': {why}")]
    Module {
        /// Name for `require`.
        name: String,
        /// Why it is not there.
        why: String,
    },
    /// A value refers to a part of the library that slots have not.
    #[error("a shipped value refers to {0}, which is for the script: a task cannot use it")]
    ScriptOnly(String),
    /// Lua itself failed, for example for lack of memory.
    #[error("Lua: {0}")]
    Lua(String),
}
