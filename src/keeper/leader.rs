//! A process and everything it starts, from its start until nothing of it is left.
//!
//! ```text
//! Running ──terminate──> Terminating ──grace over──> killed, again and again
//!    └──── it ends ────────────┴──> Sweeping (what it left is killed) ──> Departed
//! ```
//! Nothing here waits: who looks after it says that a descriptor is ready or that a time has come.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::model::Usage;
use crate::process::{self, Child, Exit, Family, Pid};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// Between two SIGKILLs: a process that forks while it is being killed may escape the first.
const KILL_AGAIN: Duration = Duration::from_millis(500);
/// What does not end so long after SIGKILL hangs in the kernel; we go on without waiting for it.
const SWEEP_PATIENCE: Duration = Duration::from_secs(5);

/// A process that leads a session, and what descends from it.
#[derive(Debug)]
pub struct Leader {
    child: Child,
    mark: String,
    begun: Instant,
    /// Of what it started.
    killed: FxHashSet<Pid>,
    state: State,
}

#[derive(Debug)]
enum State {
    Running,
    Terminating { kill_at: Instant },
    Sweeping { exit: Exit, usage: Usage, left: Vec<OwnedFd>, give_up: Instant },
}

/// Nothing is left of it.
#[derive(Clone, Copy, Debug)]
pub struct Departed {
    /// How the process itself ended.
    pub exit: Exit,
    /// What it used, wall time from its start to its own end.
    pub usage: Usage,
    /// Processes it had started that had to be killed.
    pub killed: u32,
}

impl Leader {
    /// Starts a process.
    pub fn start<E>(
        mark: &str,
        family: &Family,
        spawn: impl FnOnce() -> Result<Child, E>,
    ) -> Result<Self, E> {
        let mut begun = Instant::now();
        let child = family.start(mark, || {
            begun = Instant::now();
            spawn()
        })?;
        Ok(Self { child, mark: mark.into(), begun, killed: FxHashSet::default(), state: State::Running })
    }

    /// Has the process itself not yet ended?
    pub fn lives(&self) -> bool {
        !matches!(self.state, State::Sweeping { .. })
    }

    /// Has the process itself begun to end, whether or not that was told yet?
    pub fn ends(&self) -> bool {
        !self.lives() || process::ends(self.child.pid)
    }

    /// Has nobody told it to end?
    pub fn undisturbed(&self) -> bool {
        matches!(self.state, State::Running)
    }

    /// Names every descriptor that tells of an end.
    pub fn watch<'a>(&'a self, mut add: impl FnMut(BorrowedFd<'a>)) {
        match &self.state {
            State::Sweeping { left, .. } => left.iter().for_each(|fd| add(fd.as_fd())),
            _ => add(self.child.pidfd.as_fd()),
        }
    }

    /// When it wants to be called without a descriptor being ready.
    pub fn timer(&self) -> Option<Instant> {
        match self.state {
            State::Running => None,
            State::Terminating { kill_at } => Some(kill_at),
            State::Sweeping { give_up, .. } => Some(give_up),
        }
    }

    /// Asks it to end, and makes it after a while.
    pub fn terminate(&mut self, now: Instant, family: &Family) {
        if self.undisturbed() {
            self.killed.extend(family.started_by(self.child.pid, &self.mark));
            let _ = kill_process_group(self.child.pid, Signal::TERM);
            self.state = State::Terminating { kill_at: now + GRACE };
        }
    }

    /// Tells the process itself, if it listens, that what it does is to stop.
    pub fn tell_to_stop(&self) {
        process::tell_to_stop(&self.child.pidfd);
    }

    /// Makes it end.
    pub fn kill(&mut self, now: Instant, family: &Family) {
        if self.lives() {
            self.killed.extend(family.kill(self.child.pid, &self.mark));
            self.state = State::Terminating { kill_at: now + KILL_AGAIN };
        }
    }

    /// Its timer came.
    pub fn tick(&mut self, now: Instant, family: &Family) -> Option<Departed> {
        match self.state {
            State::Terminating { kill_at } if now >= kill_at => self.kill(now, family),
            State::Sweeping { exit, usage, give_up, .. } if now >= give_up => {
                return Some(self.departed(exit, usage, family));
            }
            _ => {}
        }
        None
    }

    /// A descriptor told of an end at `now`.
    pub fn ready(&mut self, now: Instant, family: &Family) -> Option<Departed> {
        let (exit, usage, give_up) = match &self.state {
            State::Sweeping { exit, usage, give_up, .. } => (*exit, *usage, *give_up),
            _ => {
                let (exit, usage) = match process::try_wait(self.child.pid) {
                    Ok(Some(ended)) => ended,
                    Ok(None) => return None,
                    // Nobody else waits for it; if somebody did, its fate is unknown.
                    Err(_) => (Exit::Signal(0), Usage::default()),
                };
                let wall_s = (now - self.begun).as_secs_f64();
                (exit, Usage { wall_s, ..usage }, now + SWEEP_PATIENCE)
            }
        };
        loop {
            let left = family.sweep(self.child.pid, &self.mark, &mut self.killed);
            if left.is_empty() {
                return Some(self.departed(exit, usage, family));
            }
            let watched = left.iter().map(|pid| pidfd_open(*pid, PidfdFlags::empty()));
            let watched: Vec<_> =
                watched.filter(|fd| !matches!(fd, Err(Errno::SRCH | Errno::INVAL))).collect();
            // Those that are gone were waited for by the lane of another task that has ended: nothing would tell of them.
            if !watched.is_empty() {
                let left = watched.into_iter().flatten().collect();
                self.state = State::Sweeping { exit, usage, left, give_up };
                return None;
            }
        }
    }

    fn departed(&self, exit: Exit, usage: Usage, family: &Family) -> Departed {
        family.forget(self.child.pid, &self.mark);
        Departed { exit, usage, killed: self.killed.len() as u32 }
    }
}
