//! What a subcommand was asked for, on standard output: all of it, or an exit code that says that it is not.

use std::process::ExitCode;

use super::own;
use crate::model::exit;
use crate::say::say;

/// Prints it, and ends with `code`. Whoever reads may have seen enough and closed the pipe: that is no error.
pub(super) fn print(who: &str, text: &str, code: u8) -> ExitCode {
    match own::print(text) {
        Ok(()) => ExitCode::from(code),
        Err(error) => {
            say(format_args!("harness: {who}: cannot write to standard output: {error}"));
            ExitCode::from(exit::CANNOT_WRITE)
        }
    }
}

/// The same of a text that ends with a line.
pub(super) fn print_line(who: &str, text: &str, code: u8) -> ExitCode {
    print(who, &format!("{}\n", text.trim_end()), code)
}
