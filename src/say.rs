//! A line for people on standard error, from whichever process of ours.
//!
//! Standard error may be a full disk or a closed terminal: that must not end a campaign, so a line that cannot
//! be written is dropped. (`eprintln!` panics instead; the test `layers` keeps it out.) It never touches
//! standard output, which belongs to the campaign's script.

use std::fmt::Display;
use std::io::Write;

/// Writes `text` and a newline to standard error, in one piece: several processes share it.
pub fn say(text: impl Display) {
    // There is nobody left to be told of a failure.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
