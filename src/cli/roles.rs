//! What the executable is when harness starts it of itself. Not for people.

use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::machine;
use crate::model::{Limits, exit, human};
use crate::process::FIRST_FD;
use crate::say::say;
use crate::transport::Link;
use crate::transport::dial::dial;
use crate::transport::sealed::SealedLink;
use crate::transport::stream::StreamLink;
use crate::transport::wait::wait;
use crate::{keeper, process, slot, worker};

/// The first line of a worker's standard input is not longer (B).
const LINE_BYTES: usize = 256;

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
    let patience = Limits::default().start;
    let line = first_line(File::from(input), patience)?;
    let invitation =
        line.parse().map_err(|_| io::Error::other("srun handed on nothing of its standard input"))?;
    let address = std::env::var("SLURM_LAUNCH_NODE_IPADDR").unwrap_or_default();
    let told = |error: &dyn std::fmt::Display| io::Error::other(format!("{address}: {error}"));
    let node = address.parse().map_err(|error| told(&error))?;
    let root = dial(node, &invitation, patience, None).map_err(|error| told(&error))?;
    root.answered(patience).map_err(|error| told(&error))
}

/// What comes of it up to the end of a line, or of all there is.
fn first_line(mut input: File, patience: Duration) -> io::Result<String> {
    let until = Instant::now() + patience;
    let (mut line, mut bytes) = (Vec::new(), [0; LINE_BYTES]);
    while !line.contains(&b'\n') && line.len() < LINE_BYTES {
        let mut fds = [PollFd::new(&input, PollFlags::IN)];
        wait(&mut fds, Some(until))?;
        let ready = !fds[0].revents().is_empty();
        if !ready && Instant::now() >= until {
            let limit = human::duration(patience.as_secs_f64());
            return Err(io::Error::other(format!(
                "srun handed on no line of its standard input for {limit}"
            )));
        }
        match if ready { input.read(&mut bytes)? } else { continue } {
            0 => break,
            count => line.extend_from_slice(&bytes[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&line).lines().next().unwrap_or_default().into())
}

#[cfg(feature = "mpi")]
fn mpi_worker() -> ExitCode {
    use super::stand_in::{leave_mpi, stand_in};
    use crate::transport::mpi::start::join_root;
    process::stdout_to_stderr();
    let told = match stand_in(true) {
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_line_that_does_not_come_is_waited_for_no_longer_than_may_be() {
        let (near, mut far) = io::pipe().unwrap();
        let near = || File::from(std::os::fd::OwnedFd::from(near.try_clone().unwrap()));
        let error = first_line(near(), Duration::from_millis(20)).unwrap_err().to_string();
        assert_eq!(error, "srun handed on no line of its standard input for 20 ms");
        far.write_all(b"half").unwrap();
        assert!(first_line(near(), Duration::from_millis(20)).is_err());
        far.write_all(b"a line\nand more").unwrap();
        assert_eq!(first_line(near(), Duration::from_secs(60)).unwrap(), "a line");
        drop(far);
        assert_eq!(first_line(near(), Duration::from_secs(60)).unwrap(), "");
    }
}
