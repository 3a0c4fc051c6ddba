//! What a subcommand was asked for, on standard output: all of it, or an exit code that says that it is not.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::model::exit;
use crate::say::say;

/// Prints it, and ends with `code`.
pub(super) fn print(who: &str, text: &str, code: u8) -> ExitCode {
    ExitCode::from(printed(who, text, code))
}

/// The same of a text that ends with a line.
pub(super) fn print_line(who: &str, text: &str, code: u8) -> ExitCode {
    print(who, &format!("{}\n", text.trim_end()), code)
}

/// The same for whoever has something left to do before it ends.
pub(super) fn printed(who: &str, text: &str, code: u8) -> u8 {
    told(who, write(text), code)
}

/// The exit code where somebody else has written it.
pub(super) fn told(who: &str, written: io::Result<()>, code: u8) -> u8 {
    match whole(written) {
        Ok(()) => code,
        Err(error) => {
            say(format_args!("harness: {who}: cannot write to standard output: {error}"));
            exit::CANNOT_WRITE
        }
    }
}

/// The writing alone.
pub(super) fn write(text: &str) -> io::Result<()> {
    whole(io::stdout().write_all(text.as_bytes()))
}

/// Whoever reads may have seen enough and closed the pipe: that is no error.
fn whole(written: io::Result<()>) -> io::Result<()> {
    match written.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A report for people, or as one object of JSON.
pub(super) fn text(report: &(impl Display + Serialize), json: bool) -> String {
    match json {
        true => serde_json::to_string_pretty(report).unwrap_or_default() + "\n",
        false => report.to_string(),
    }
}
