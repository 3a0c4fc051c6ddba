//! Between the launcher of an MPI and a worker: what the launcher started becomes two processes, of which the child is
//! the worker and uses the MPI, and this one is all that the launcher sees.
//!
//! No MPI tells when a process is killed, and launchers take it for a reason to end the job. So this one calls the root
//! over TCP, its lifeline: when the worker was killed it closes its half, which the root notices at once, and stays until
//! the root has ended. Where the root cannot be called so, or the lifeline is lost, the worker goes on, and the root
//! notices its silence.

use std::io;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::machine;
use crate::model::{Limits, exit};
use crate::process::{self, Child, Exit, Side, StandIn};
use crate::root;
use crate::say::say;
use crate::transport::dial::Invitation;
use crate::transport::mpi::lifeline::{News, WorkersEnd};
use crate::transport::mpi::sys;
use crate::transport::wait::wait;

/// The root may take so long to answer at one of its addresses.
const TO_ANSWER: Duration = Duration::from_secs(5);
/// A worker may take so long to end after the root.
const AFTER_ROOT: Duration = Duration::from_secs(10);
/// So long after the root ends who stood in for a worker that was killed.
const LAST: Duration = Duration::from_secs(1);

/// Returns twice: in the child, which is to be the worker, where to write how the root is called (`HOST PORT KEY`),
/// and when that has ended, and the launcher may know, the exit code for it. `is_spawned`: somebody waits for it inside of
/// MPI_Comm_spawn.
pub(super) fn stand_in(is_spawned: bool) -> Result<OwnedFd, ExitCode> {
    match process::stand_in() {
        Ok(Side::Child(told)) => Ok(told),
        Ok(Side::StandIn(stand_in)) => Err(watch(stand_in, is_spawned)),
        Err(error) => {
            say(format_args!("harness worker: cannot start a process: {error}"));
            Err(ExitCode::FAILURE)
        }
    }
}

/// The worker's end. Where MPI_Finalize would wait for somebody who is lost it is not called, or not waited for: whoever
/// stands in stays.
pub(super) fn leave_mpi(in_order: bool) -> ExitCode {
    if !in_order {
        return ExitCode::from(exit::INTERNAL);
    }
    root::leave(exit::INTERNAL, Limits::default().finalize, sys::finalize);
    ExitCode::SUCCESS
}

fn watch(mut stand_in: StandIn, is_spawned: bool) -> ExitCode {
    let told = stand_in.listen(); // no deadline: the pipe closes with the worker, whose MPI_Init may take long
    let child = &stand_in.child;
    let was_told = told.as_ref().is_ok_and(|text| !text.is_empty());
    let mut lifeline = told.and_then(|text| call_root(text.trim_end(), child));
    if let Ok(lifeline) = &mut lifeline
        && root_ends_first(lifeline, child)
        && !child.ends_within(AFTER_ROOT)
    {
        return ExitCode::SUCCESS; // and the worker goes too
    }
    // No deadline: the worker ends with its link to the root, or has ended; a launcher that gives up kills both.
    match (process::wait(child.pid), lifeline) {
        (Ok((Exit::Code(0), _)), _) => ExitCode::SUCCESS,
        (_, Ok(lifeline)) => outlast_root(lifeline),
        // The root may wait for it inside of MPI_Comm_spawn, where nobody can tell it; and no MPI takes another process for
        // one that has begun. So the job ends, at once and with its reason.
        (Ok((Exit::Signal(signal), _)), Err(_)) if is_spawned && !was_told => {
            let (host, signal) = (machine::hostname(), process::signal_name(signal));
            say(format_args!("harness worker on {host}: killed by {signal} while it started"));
            ExitCode::from(exit::ALLOCATION)
        }
        // It never got as far as to be a worker: a spawn would wait for it for ever.
        (Ok((Exit::Code(code), _)), Err(_)) if [1, i32::from(exit::ALLOCATION)].contains(&code) => {
            ExitCode::from(code as u8)
        }
        // Launchers that put up with an end without MPI_Finalize do so only after a 0.
        _ => ExitCode::SUCCESS,
    }
}

/// Waits for the end of the root or of the worker; is it the root's? Where that is not told any more it is not.
fn root_ends_first(root: &mut WorkersEnd, worker: &Child) -> bool {
    loop {
        if let Some(news) = root.news() {
            return news == News::Ended;
        }
        let mut fds = [PollFd::new(&worker.pidfd, PollFlags::IN), PollFd::new(&*root, PollFlags::IN)];
        // No deadline: that is the whole campaign, and either end, or a loss of the line, is heard here.
        if wait(&mut fds, None).is_err() || !fds[0].revents().is_empty() {
            return false;
        }
    }
}

/// Says that the worker has ended, which is no reason for the job to end: the launcher learns it after the root's end,
/// whose exit code it is to take for that of the job. The system gives the lifeline up where the root's node is gone.
fn outlast_root(mut lifeline: WorkersEnd) -> ExitCode {
    lifeline.say_ended();
    while lifeline.news().is_none() {
        // No deadline: that is the rest of the campaign; where the root's node is gone the keepalive tells.
        if wait(&mut [PollFd::new(&lifeline, PollFlags::IN)], None).is_err() {
            break;
        }
    }
    let _ = wait(&mut [], Some(Instant::now() + LAST));
    ExitCode::SUCCESS
}

/// Calls the root at any of the addresses of its host, while there is a worker.
fn call_root(text: &str, worker: &Child) -> io::Result<WorkersEnd> {
    let (host, invitation) = text.split_once(' ').unwrap_or_default();
    let invitation: Invitation = invitation.parse()?;
    let addresses: Vec<IpAddr> = match host == machine::hostname() {
        true => vec![Ipv4Addr::LOCALHOST.into()],
        false => (host, 0).to_socket_addrs()?.map(|address| address.ip()).collect(),
    };
    let call = |address: IpAddr| WorkersEnd::call(address, &invitation, TO_ANSWER, worker.pidfd.as_fd());
    addresses.into_iter().find_map(|address| call(address).ok()).ok_or(io::ErrorKind::NotConnected.into())
}
