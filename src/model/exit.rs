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
/// A defect of harness itself.
pub const INTERNAL: u8 = 70;
/// Stopped in an orderly way before the end: run the same command again to go on.
pub const RUN_AGAIN: u8 = 75;
/// Ended at once by a second Ctrl-C.
pub const INTERRUPTED: u8 = 130;
