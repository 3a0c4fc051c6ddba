//! What the exit code says (documented in README and `harness --help`).

/// The script ended without an error.
pub const OK: u8 = 0;
/// The script raised an error, or a flow nobody awaited did.
pub const SCRIPT: u8 = 1;
/// Wrong use of the command line, or the script cannot be read.
pub const USAGE: u8 = 2;
/// Workers could not be started, or not where they belong, or none was left for some tasks; or a limit of the machine
/// does not let the root begin.
pub const ALLOCATION: u8 = 3;
/// The journal cannot be used.
pub const JOURNAL: u8 = 4;
/// What was measured again does not agree with its record (`harness rerun`).
pub const DISAGREES: u8 = 5;
/// It was measured again, with too few runs to tell whether it agrees (`harness rerun`).
pub const TOO_FEW: u8 = 6;
/// A defect of harness itself.
pub const INTERNAL: u8 = 70;
/// The answer cannot be written (EX_CANTCREAT): to stdout, or to a file that was asked for.
pub const CANNOT_WRITE: u8 = 73;
/// Stopped in an orderly way before the end: run the same command again to go on.
pub const RUN_AGAIN: u8 = 75;
/// Ended at once by a second Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// `harness compare` is asked by pipelines, which want to know three things: all is well, it is worse, it is not clear.
/// So 0, 1 and 2 are answers there, as of `cmp` and `diff`, and whatever prevents an answer is 64 or more, as in the BSDs'
/// `sysexits.h`: no error of ours is ever taken for one. So it is with `harness test`, where 0 and 1 are answers.
pub mod compare {
    /// No row is worse.
    pub const NO_REGRESSION: u8 = 0;
    /// At least one row is.
    pub const REGRESSION: u8 = 1;
    /// None is known to be, and not of all it is known that they are not.
    pub const INCONCLUSIVE: u8 = 2;
    /// Wrong use of the command line (EX_USAGE).
    pub const USAGE: u8 = 64;
    /// A journal is damaged, or no journal (EX_DATAERR).
    pub const DATA: u8 = 65;
    /// A journal, or a file of tests, is not there or cannot be read (EX_NOINPUT).
    pub const NO_INPUT: u8 = 66;
    /// What is written, and stopping, as of other subcommands.
    pub use super::{CANNOT_WRITE, RUN_AGAIN};
}
