//! The `harness` executable: the root, or one of the processes it starts of itself.

use std::process::ExitCode;

use harness::cli::{self, panics, roles};
use harness::process;

fn main() -> ExitCode {
    process::begin_signals();
    let arguments: Vec<_> = std::env::args_os().collect();
    match arguments.get(1).and_then(|role| role.to_str()) {
        Some("__worker") => {
            panics::end_the_process("harness worker");
            roles::worker(arguments.get(2).and_then(|how| how.to_str()))
        }
        Some("__keeper") => {
            panics::end_the_process("harness keeper");
            roles::keeper()
        }
        Some("__slot") => {
            panics::end_the_process("harness slot");
            roles::slot()
        }
        Some("__test") => {
            panics::end_the_process("harness test");
            roles::test(&arguments[2..])
        }
        Some("__probe") => {
            panics::end_the_process("harness probe");
            roles::probe(arguments.get(2))
        }
        _ => {
            panics::end_the_process("harness");
            cli::main(arguments)
        }
    }
}
