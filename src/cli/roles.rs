//! What the executable is when harness starts it of itself. Not for people.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::process::ExitCode;

use crate::machine;
use crate::model::{Limits, exit};
use crate::process::FIRST_FD;
use crate::say::say;
use crate::transport::Link;
use crate::transport::dial::dial;
use crate::transport::sealed::SealedLink;
use crate::transport::stream::StreamLink;
use crate::{keeper, process, slot, worker};

/// The first line of a worker's standard input is not longer (B).
const LINE_BYTES: u64 = 256;

/// A worker: started by the root's MPI_Comm_spawn (`mpi`), by ssh (`stdio`), by srun (`dial`), or as its child with a
/// socket.
pub fn worker(how: Option<&str>) -> ExitCode {
    // All signals are the root's business: it tells workers what to do.
    if let Err(error) = process::block_signals() {
        say(format_args!("harness worker: cannot block signals: {error}"));
        return ExitCode::FAILURE;
    }
    match how {
        Some("mpi") => mpi_worker(),
        Some("stdio") => {
            let link = process::take_stdio().and_then(|(input, output)| StreamLink::over(input, output));
            over(link.map(StreamLink::with_mark))
        }
        Some("dial") => over(call_root()),
        _ => {
            process::stdout_to_stderr();
            with_fd("worker", worker::main)
        }
    }
}

fn over(link: io::Result<impl Link + 'static>) -> ExitCode {
    match link {
        Ok(link) => worker::main_over(Box::new(link)),
        Err(error) => {
            say(format_args!("harness worker on {}: cannot reach the root: {error}", machine::hostname()));
            ExitCode::FAILURE
        }
    }
}

/// The root listens on the node where it ran srun, and has said on which port and with which key.
fn call_root() -> io::Result<SealedLink> {
    let (input, _) = process::take_stdio()?;
    let mut line = String::new();
    BufReader::new(File::from(input).take(LINE_BYTES)).read_line(&mut line)?;
    let invitation =
        line.parse().map_err(|_| io::Error::other("srun handed on nothing of its standard input"))?;
    let address = std::env::var("SLURM_LAUNCH_NODE_IPADDR").unwrap_or_default();
    let told = |error: &dyn std::fmt::Display| io::Error::other(format!("{address}: {error}"));
    let node = address.parse().map_err(|error| told(&error))?;
    let patience = Limits::default().start;
    let root = dial(node, &invitation, patience, None).map_err(|error| told(&error))?;
    root.answered(patience).map_err(|error| told(&error))
}

#[cfg(feature = "mpi")]
fn mpi_worker() -> ExitCode {
    use super::stand_in::{leave_mpi, stand_in};
    use crate::transport::mpi::start::join_root;
    process::stdout_to_stderr();
    let told = match stand_in() {
        Ok(told) => told,
        Err(code) => return code,
    };
    match join_root(told) {
        Ok(link) => leave_mpi(worker::main_spawned(Box::new(link))),
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

/// Runs one file of tests.
pub use super::test::child::main as test;

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
