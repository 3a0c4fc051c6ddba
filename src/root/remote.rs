//! Workers on other nodes without MPI: srun or ssh starts them, as children of the root.
//!
//! What either says is kept until the worker speaks, for it is the reason if it never does; afterwards standard error
//! is the worker's own. The lines are `allocation::remote`'s.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::PollFlags;
use rustix::io::{Errno, ioctl_fionbio, read};
use rustix::pipe::{PipeFlags, pipe_with};

use super::spawn::{Launcher, Mpi};
use super::workers::Worker;
use crate::allocation::other::OtherJob;
use crate::allocation::remote::{RemoteLine, srun_line, ssh_line, without_mpi};
use crate::allocation::{Allocation, PlannedWorker, Scheduler, Start};
use crate::model::WorkerId;
use crate::process::{self, Child, Environment, Exit, Launch, SpawnError};
use crate::say::post;
use crate::transport::dial::DialLink;
use crate::transport::stream::StreamLink;
use crate::transport::{Link, Peer};
use crate::wire::socket_pair;

/// Lines kept of what is said before the worker speaks.
const KEPT_LINES: usize = 12;
/// So much of it is read at once (B): all that a pipe holds of somebody who has ended.
const PIPE_BYTES: usize = 64 * 1024;
/// A line is cut there (B).
const LINE_BYTES: usize = 16 * 1024;

/// Standard error of what started a worker, and of the worker.
pub(super) struct Said {
    /// None once it has ended.
    pipe: Option<OwnedFd>,
    /// A line that has no end yet.
    begun: Vec<u8>,
    /// What was said before the worker spoke; none once it has.
    kept: Option<Vec<String>>,
    /// `srun` or `ssh`.
    program: String,
    /// What people type to see for themselves.
    by_hand: String,
}

impl Said {
    fn new(pipe: OwnedFd, line: &RemoteLine) -> io::Result<Self> {
        ioctl_fionbio(&pipe, true)?;
        let program = line.argv.first().cloned().unwrap_or_default();
        let by_hand = line.by_hand.clone();
        Ok(Self { pipe: Some(pipe), begun: Vec::new(), kept: Some(Vec::new()), program, by_hand })
    }

    /// What to wait for.
    pub(super) fn poll_fd(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.pipe.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::IN))
    }

    /// The worker is there: what is said from now on is for whoever reads the root's standard error.
    pub(super) fn worker_speaks(&mut self) {
        self.kept = None;
    }

    /// Has who was to start the worker ended before it came?
    pub(super) fn is_in_vain(&self) -> bool {
        self.kept.is_some() && self.pipe.is_none()
    }

    /// Reads what there is, of one who never stops only so much: the others wait, and what is left wakes us again.
    pub(super) fn listen(&mut self) {
        let mut bytes = [0; 4096];
        let mut left = PIPE_BYTES;
        while let Some(pipe) = self.pipe.as_ref().filter(|_| left > 0) {
            match read(pipe, &mut bytes) {
                Ok(count) if count > 0 => {
                    self.hear(&bytes[..count]);
                    left = left.saturating_sub(count);
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => {
                    self.pipe = None;
                    self.hear(if self.begun.is_empty() { b"" } else { b"\n" });
                }
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                self.begun.push(*byte);
            }
            if *byte == b'\n' || self.begun.len() >= LINE_BYTES {
                let line = String::from_utf8_lossy(&self.begun).trim_end().to_string();
                self.begun.clear();
                match &mut self.kept {
                    None => post(line),
                    Some(kept) if kept.len() < KEPT_LINES && !line.is_empty() => kept.push(line),
                    Some(_) => {}
                }
            }
        }
    }

    /// Why the worker did not come, as far as anybody said; `exit` of who was to start it.
    pub(super) fn why_not(&self, exit: Option<Exit>) -> String {
        let ended = exit.map_or("ended".into(), |exit| match exit {
            Exit::Code(code) => format!("ended with exit code {code}"),
            Exit::Signal(_) => format!("was {exit}"),
        });
        format!("{} {ended} before the worker spoke{}", self.program, self.advice())
    }

    /// What was said, and what to try, each on a line of its own.
    pub(super) fn advice(&self) -> String {
        let said: String = self.kept.iter().flatten().map(|line| format!("\n    {line}")).collect();
        format!("{said}\n  To see for yourself: {}", self.by_hand)
    }
}

/// What `auto` is. Where MPI spawns, workers on other nodes are its business.
pub fn automatic(allocation: &Allocation, mpi: &Mpi) -> Start {
    if mpi.can_spawn() {
        return Start::Auto;
    }
    let env = |name: &str| std::env::var(name).ok();
    without_mpi(allocation, &env, &process::is_on_path).unwrap_or_default()
}

impl Launcher {
    /// What a pool means by its `start`.
    pub(super) fn resolved(&self, start: Option<Start>) -> Result<Start, String> {
        let start = start.unwrap_or_default();
        if start == Start::Srun && self.allocation.scheduler != Scheduler::Slurm {
            return Err("start=\"srun\" needs a job of Slurm: start=\"ssh\" goes without".into());
        }
        Ok(if start == Start::Auto { automatic(&self.allocation, &self.mpi) } else { start })
    }

    /// A worker started by srun or ssh; by srun in another job, too.
    pub(super) fn start_remote(
        &self,
        id: WorkerId,
        place: &PlannedWorker,
        job: Option<&OtherJob>,
    ) -> Result<Worker, String> {
        let failed = |what: &dyn std::fmt::Display| {
            format!("cannot start a worker on {} by {}: {what}", place.host, place.start.word())
        };
        let system = |error: io::Error| failed(&process::with_advice(error));
        let program = self.worker_program().ok_or_else(|| failed(&super::spawn::NO_EXECUTABLE))?;
        let env = |name: &str| std::env::var(name).ok();
        let (line, ends) = match place.start {
            Start::Srun => (srun_line(&place.host, &program, job.map(|job| &*job.id)), called()),
            _ => (ssh_line(&place.host, &program, self.limits.start, &env), carried()),
        };
        let Ends { link, stdin, stdout } = ends.map_err(system)?;
        let (ours, stderr) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| system(error.into()))?;
        let said = Said::new(ours, &line).map_err(system)?;
        let stdio = [stdin.as_fd(), stdout.as_ref().unwrap_or(&stderr).as_fd(), stderr.as_fd()];
        let child = start(&line.argv, stdio, job).map_err(|error| failed(&error))?;
        let mut worker = Worker::new(id, place.host.clone(), place.start, Peer::new(link), Some(child));
        worker.said = Some(said);
        Ok(worker)
    }

    /// The file workers are started from, as it is called here.
    pub(super) fn worker_program(&self) -> Option<PathBuf> {
        self.program.clone().or_else(process::this_executable)
    }
}

impl Mpi {
    #[cfg(feature = "mpi")]
    fn can_spawn(&self) -> bool {
        use crate::allocation::ladder::cannot_spawn;
        use crate::transport::mpi::sys;
        matches!(self, Mpi::Ready(_)) && !cannot_spawn(&sys::library_description())
    }

    #[cfg(not(feature = "mpi"))]
    fn can_spawn(&self) -> bool {
        false
    }
}

/// Our end of the link, and what the child gets.
struct Ends {
    link: Box<dyn Link>,
    stdin: OwnedFd,
    /// None: it is to go where standard error goes.
    stdout: Option<OwnedFd>,
}

/// The child carries the bytes.
fn carried() -> io::Result<Ends> {
    let (ours, stdin) = socket_pair()?;
    let stdout = Some(stdin.try_clone()?);
    Ok(Ends { link: Box::new(StreamLink::new(ours)?.after_mark()), stdin, stdout })
}

/// The worker calls us; the child hands on where, and the key.
fn called() -> io::Result<Ends> {
    let (link, invitation) = DialLink::listen()?;
    let (ours, stdin) = socket_pair()?;
    File::from(ours).write_all(format!("{invitation}\n").as_bytes())?;
    Ok(Ends { link: Box::new(link), stdin, stdout: None })
}

fn start(argv: &[String], stdio: [BorrowedFd<'_>; 3], job: Option<&OtherJob>) -> Result<Child, SpawnError> {
    let words = argv.iter().map(|word| CString::new(word.as_str())).collect::<Result<Vec<_>, _>>()?;
    let mut environment = Environment::scrubbed(std::env::vars_os());
    if let Some(job) = job {
        environment.retain(OtherJob::keeps);
        for (name, value) in job.variables() {
            environment.set(name.as_bytes(), value.as_bytes())?;
        }
    }
    // Else the step waits for the cores of the one the root may be in. (`--overlap` is unknown to older versions.)
    environment.set(b"SLURM_OVERLAP", b"1")?;
    process::spawn(&Launch {
        program: None,
        argv: &words,
        environment: &environment,
        cwd: None,
        stdio,
        fds: &[],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> (Said, File) {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let line = RemoteLine { argv: vec!["ssh".into()], by_hand: "ssh node2 harness --version".into() };
        (Said::new(ours, &line).unwrap(), File::from(theirs))
    }

    #[test]
    fn what_is_said_before_the_worker_speaks_is_the_reason_if_it_never_does() {
        let (mut said, mut theirs) = said();
        theirs.write_all(b"ssh: connect to host node2 port 22: ").unwrap();
        said.listen();
        assert!(!said.is_in_vain());
        theirs.write_all(b"Connection refused\r\n\nno newline").unwrap();
        drop(theirs);
        said.listen();
        assert!(said.is_in_vain());
        assert_eq!(
            said.why_not(Some(Exit::Code(255))),
            "ssh ended with exit code 255 before the worker spoke\n    ssh: connect to host node2 port 22: \
             Connection refused\n    no newline\n  To see for yourself: ssh node2 harness --version"
        );
    }

    #[test]
    fn one_who_prints_for_ever_is_left_in_time() {
        let (mut said, _) = said();
        said.pipe = Some(File::open("/dev/zero").unwrap().into());
        said.listen();
        assert!(said.poll_fd().is_some(), "there is more");
        assert_eq!(said.kept.map(|kept| kept.len()), Some(PIPE_BYTES / LINE_BYTES));
    }

    #[test]
    fn afterwards_it_is_the_worker_s() {
        let (mut said, mut theirs) = said();
        theirs.write_all(b"Welcome to node2\n").unwrap();
        said.listen();
        said.worker_speaks();
        theirs.write_all(b"from a slot\n").unwrap();
        drop(theirs);
        said.listen();
        assert!(!said.is_in_vain());
        assert!(said.poll_fd().is_none());
        assert_eq!(said.advice(), "\n  To see for yourself: ssh node2 harness --version");
    }
}
