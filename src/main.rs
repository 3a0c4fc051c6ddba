//! The `harness` executable: the root, or one of the processes it starts of itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match arguments.get(1).and_then(|role| role.to_str()) {
        Some("__worker") => harness::cli::roles::worker(arguments.get(2).is_some_and(|how| how == "mpi")),
        Some("__keeper") => harness::cli::roles::keeper(),
        Some("__slot") => harness::cli::roles::slot(),
        _ => harness::cli::main(arguments),
    }
}
