//! Between the launcher of an MPI and a worker: what the launcher started becomes two processes, of which the child is
//! the worker and uses the MPI, and this one is all that the launcher sees.
//!
//! No MPI tells when a process is killed, and launchers take it for a reason to end the job. So this one calls the root
//! over TCP, its lifeline, and says nothing: when the worker was killed it closes its half, which the root notices at
//! once, and stays until the root has ended. Where the root cannot be called so, the root notices the worker's silence.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::machine;
use crate::model::{Limits, exit};
use crate::process::{self, Child, Exit, Side, StandIn};
use crate::root;
use crate::say::say;
use crate::transport::dial::{Invitation, dial};
use crate::transport::mpi::sys;
use crate::transport::wait::wait;

/// A worker may take so long to end after the root.
const AFTER_ROOT: Duration = Duration::from_secs(10);
/// So long after the root ends who stood in for a worker that was killed.
const LAST: Duration = Duration::from_secs(1);

/// Returns twice: in the child, which is to be the worker, where to write how the root is called (`HOST PORT PASSWORD`),
/// and when that has ended, and the launcher may know, the exit code for it.
pub(super) fn stand_in() -> Result<OwnedFd, ExitCode> {
    match process::stand_in() {
        Ok(Side::Child(told)) => Ok(told),
        Ok(Side::StandIn(stand_in)) => Err(watch(stand_in)),
        Err(error) => {
            say(format_args!("harness worker: cannot start a process: {error}"));
            Err(ExitCode::FAILURE)
        }
    }
}

/// The worker's end. Where MPI_Finalize waits for somebody who is lost it is not waited for: whoever stands in stays.
pub(super) fn leave_mpi() -> ExitCode {
    root::leave(exit::INTERNAL, Limits::default().finalize, sys::finalize);
    ExitCode::SUCCESS
}

fn watch(mut stand_in: StandIn) -> ExitCode {
    let lifeline = stand_in.listen().and_then(|text| call_root(&text));
    let child = &stand_in.child;
    if let Ok(lifeline) = &lifeline
        && !outlives(lifeline, child)
        && !child.ends_within(AFTER_ROOT)
    {
        return ExitCode::SUCCESS; // and the worker goes too
    }
    match (process::wait(child.pid), lifeline) {
        (Ok((Exit::Code(0), _)), _) => ExitCode::SUCCESS,
        (_, Ok(lifeline)) => outlast_root(lifeline),
        // It never got as far as to be a worker: a spawn would wait for it for ever.
        (Ok((Exit::Code(code), _)), Err(_)) if [1, i32::from(exit::ALLOCATION)].contains(&code) => {
            ExitCode::from(code as u8)
        }
        // Launchers that put up with an end without MPI_Finalize do so only after a 0.
        _ => ExitCode::SUCCESS,
    }
}

/// Waits for the end of the root or of the worker; is it the worker's?
fn outlives(root: &TcpStream, worker: &Child) -> bool {
    loop {
        let mut fds = [PollFd::new(&worker.pidfd, PollFlags::IN), PollFd::new(root, PollFlags::IN)];
        let waited = wait(&mut fds, None);
        if waited.is_err() || fds.iter().any(|fd| !fd.revents().is_empty()) {
            return !fds[0].revents().is_empty();
        }
    }
}

/// Says that the worker has ended, which is no reason for the job to end: the launcher learns it after the root's end,
/// whose exit code it is to take for that of the job.
fn outlast_root(mut lifeline: TcpStream) -> ExitCode {
    let _ = lifeline.shutdown(Shutdown::Write);
    let _ = io::copy(&mut lifeline, &mut io::sink());
    let _ = wait(&mut [], Some(Instant::now() + LAST));
    ExitCode::SUCCESS
}

/// Calls the root at any of the addresses of its host.
fn call_root(text: &str) -> io::Result<TcpStream> {
    let (host, invitation) = text.split_once(' ').unwrap_or_default();
    let invitation: Invitation = invitation.parse()?;
    let addresses: Vec<IpAddr> = match host == machine::hostname() {
        true => vec![Ipv4Addr::LOCALHOST.into()],
        false => (host, 0).to_socket_addrs()?.map(|address| address.ip()).collect(),
    };
    let call = |address: IpAddr| dial(address, &invitation, Limits::default().start);
    addresses.into_iter().find_map(|address| call(address).ok()).ok_or(io::ErrorKind::NotConnected.into())
}
