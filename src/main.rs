//! The `harness` executable.

use std::process::ExitCode;

use harness::{keeper, process::own};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("__keeper") => match own::take_fd(3) {
            Ok(socket) => keeper::main(socket),
            Err(error) => {
                eprintln!("harness keeper: no socket to its worker: {error}");
                ExitCode::FAILURE
            }
        },
        _ => ExitCode::SUCCESS,
    }
}
