//! What the executable is when harness starts it of itself. Not for people.

use std::process::ExitCode;

use crate::model::exit;
use crate::process::FIRST_FD;
use crate::say::say;
use crate::{keeper, process, slot, worker};

/// A worker: started by the root's MPI_Comm_spawn, or as its child with a socket.
pub fn worker(spawned: bool) -> ExitCode {
    // All signals are the root's business: it tells workers what to do.
    if let Err(error) = process::block_signals() {
        say(format_args!("harness worker: cannot block signals: {error}"));
        return ExitCode::FAILURE;
    }
    process::stdout_to_stderr();
    if !spawned {
        return with_fd("worker", worker::main);
    }
    match process::stand_in() {
        Ok(None) => mpi_worker(),
        Ok(Some(exit)) => for_the_launcher(exit),
        Err(error) => {
            say(format_args!("harness worker: cannot start a process: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Another exit code than 0 would make mpirun end the whole job, for which the loss of a worker is no reason. Only one
/// that never got as far as to be one is, for its spawn would never return.
fn for_the_launcher(exit: process::Exit) -> ExitCode {
    if exit == process::Exit::Code(1) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[cfg(feature = "mpi")]
fn mpi_worker() -> ExitCode {
    use crate::model::Limits;
    use crate::root;
    use crate::transport::mpi::start::{Role, join};
    use crate::transport::mpi::sys;
    match join(&|name| std::env::var(name).ok(), true) {
        Ok(Role::Worker(link)) => {
            // It has said why it cannot go on.
            let _ = worker::main_over(Box::new(link));
            root::leave(exit::OK, Limits::default().finalize, sys::finalize);
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("harness worker: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(feature = "mpi"))]
fn mpi_worker() -> ExitCode {
    say(format_args!("harness worker: this harness was built without MPI"));
    ExitCode::FAILURE
}

/// Says what the doctor wants to know of this node.
pub use super::doctor::probe::main as probe;

/// A keeper.
pub fn keeper() -> ExitCode {
    with_fd("keeper", keeper::main)
}

/// A slot.
pub fn slot() -> ExitCode {
    match (process::take_fd(FIRST_FD), process::take_fd(FIRST_FD + 1)) {
        (Ok(socket), Ok(gate)) => slot::main(socket, gate),
        (Err(error), _) | (_, Err(error)) => not_for_people("slot", &error),
    }
}

fn with_fd(role: &str, main: impl FnOnce(std::os::fd::OwnedFd) -> ExitCode) -> ExitCode {
    match process::take_fd(FIRST_FD) {
        Ok(socket) => main(socket),
        Err(error) => not_for_people(role, &error),
    }
}

fn not_for_people(role: &str, error: &std::io::Error) -> ExitCode {
    say(format_args!("harness __{role} is started by harness itself, with descriptors it needs: {error}"));
    ExitCode::from(exit::USAGE)
}
