//! One run of a program: its input, its bounded output, its end.
//!
//! Output is read as it comes, so that no program waits for us, and only so much of it is kept. The run
//! is over when nothing of the program is left ([`super::leader`]): the next run of a measurement has
//! the node to itself.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::fs::{MemfdFlags, memfd_create};

use super::capture::Captured;
use super::inspection::Task;
use super::leader::{Departed, Leader};
use super::met;
use super::place::Place;
use super::site::{Command, Site};
use super::stream::Stream;
use super::talk::{Beginning, Due, Talk};
use crate::machine::OomWatch;
use crate::machine::counters::Count;
use crate::model::{Energy, Found, Stdin, Ulimits, Usage};
use crate::process::{self, Allowance, Exit, Family, Footprint, Launch, SpawnError};

/// Read at the most so much of a stream before others get their turn (B).
const READ_BYTES: usize = 64 * 1024;

/// While short programs follow one another our peak is forgotten this often, and not before each of them: that is 1 % of their time.
const FORGETS: Duration = Duration::from_millis(10);

/// How much of the captured streams is kept (B); the rest is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keep {
    /// Of standard output.
    pub stdout: usize,
    /// Of standard error.
    pub stderr: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self { stdout: 1 << 20, stderr: 1 << 20 }
    }
}

/// Why we ended it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Forced {
    /// It ran so long (s).
    Timeout(f64),
    /// Somebody asked for it.
    Cancelled,
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How the program ended.
    pub exit: Exit,
    /// What it used.
    pub usage: Usage,
    /// What the node consumed meanwhile, if that was asked for.
    pub energy: Energy,
    /// What we had when we started it, B: part of its `maxrss_bytes`, as the kernel counts.
    pub footprint_bytes: u64,
    /// Events that were to be counted.
    pub counts: Vec<(String, Count)>,
    /// What functions found that were to look at a run.
    pub found: Vec<Found>,
    /// When it was started, in seconds since its task began.
    pub t_start_s: f64,
    /// Its standard output, if captured.
    pub stdout: Captured,
    /// Its standard error, if captured.
    pub stderr: Captured,
    /// Set if we ended it.
    pub forced: Option<Forced>,
    /// Processes it had started that had to be killed.
    pub killed: u32,
    /// The kernel says that it killed for memory meanwhile: the counter that rose.
    pub oom: Option<String>,
    /// What each of its processes was allowed.
    pub limits: Ulimits,
}

/// Why it never ran.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A file its output should go to.
    #[error("cannot write its output to `{path}`: {source}")]
    Redirect {
        /// As it was asked for.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Descriptors, memory.
    #[error("cannot prepare its input and output: {0}")]
    System(io::Error),
    /// Its task was to end by then.
    #[error("its task was to end before it began")]
    Forced(Forced),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::System(process::with_advice(error))
    }
}

/// How a run ended, or why it never began.
pub type Finished = Result<Ended, StartError>;

/// What all runs of a lane share.
pub struct Surroundings {
    /// All programs that run, in this lane and others.
    pub family: Arc<Family>,
    /// Processes the kernel killed for memory since the task began.
    oom: OomWatch,
    footprint: Footprint,
    /// When the peak was last forgotten for short programs.
    forgotten: Option<Instant>,
    /// The task is a short program.
    is_short: bool,
    null: OwnedFd,
    buffer: Vec<u8>,
}

impl Surroundings {
    /// Those of a new lane.
    pub fn new(family: Arc<Family>) -> io::Result<Self> {
        Ok(Self {
            family,
            oom: OomWatch::open(),
            footprint: Footprint::open(),
            forgotten: None,
            is_short: false,
            null: process::own::null_device()?,
            buffer: vec![0; READ_BYTES],
        })
    }

    /// The runs that follow are another task's.
    pub fn begin_task(&mut self, is_short: bool) {
        self.oom.note();
        self.is_short = is_short;
        let now = Instant::now();
        if is_short && self.forgotten.is_none_or(|at| now - at >= FORGETS) {
            self.forgotten = Some(now);
            self.footprint.forget_peak();
        }
    }

    /// What this process has, B, just before it starts a program; what it had before is forgotten. Of a short one nobody asks.
    fn footprint(&self) -> u64 {
        if self.is_short { 0 } else { self.footprint.forget_peak() }
    }
}

/// What of a run is ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// The program has ended, or something it left has.
    End,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// What is said with a process of ours.
    Talk,
}

/// A program that runs.
pub struct Run {
    leader: Leader,
    t_start_s: f64,
    footprint_bytes: u64,
    stdout: Stream,
    stderr: Stream,
    limits: Ulimits,
    forced: Option<Forced>,
    /// It is a process of ours, which looks at a run of another program.
    talk: Option<Talk>,
}

impl Run {
    /// Starts it, on cores of its own if it has some. `t_start_s` is what [`Ended`] will say.
    pub fn start(
        command: &Command,
        keep: Keep,
        place: Option<&Place>,
        mark: &str,
        t_start_s: f64,
        around: &mut Surroundings,
    ) -> Result<Self, StartError> {
        let input = match &command.stdin {
            Stdin::Null => None,
            Stdin::Bytes(bytes) => Some(memory_file(bytes)?),
        };
        let (stdout, out) = Stream::open(&command.stdout, keep.stdout, command)?;
        let (stderr, err) = Stream::open(&command.stderr, keep.stderr, command)?;
        let footprint_bytes = around.footprint();
        let launch = Launch {
            program: None,
            argv: &command.argv,
            environment: &command.environment,
            cwd: Some(&command.cwd),
            stdio: [
                input.as_ref().unwrap_or(&around.null).as_fd(),
                stdout.target(&out, &around.null),
                stderr.target(&err, &around.null),
            ],
            fds: &[],
        };
        let limits = command.limits;
        let allowance = Allowance::new(&limits);
        let spawn = || process::spawn_limited(&launch, &allowance);
        let start = || Ok(Leader::start(mark, &around.family, spawn)?);
        let leader = match place {
            Some(place) => place.start(start),
            None => start(),
        }?;
        Ok(Self { leader, t_start_s, footprint_bytes, stdout, stderr, limits, forced: None, talk: None })
    }

    /// Starts a process of ours that looks at a run. What it prints is for people, as what a task prints.
    pub fn inspect(
        task: Task,
        site: &Site,
        place: Option<&Place>,
        mark: &str,
        t_start_s: f64,
        around: &mut Surroundings,
    ) -> Result<Self, StartError> {
        let (talk, Beginning { fds, environment }) = Talk::begin(task, site, mark, Instant::now())?;
        let slot = || process::own::start_self("__slot", fds, &environment);
        let start = || Ok(Leader::start(mark, &around.family, slot)?);
        let leader = match place {
            Some(place) => place.start(start),
            None => start(),
        }?;
        let (stdout, stderr) = (Stream::none(), Stream::none());
        let (footprint_bytes, forced) = (0, None); // nobody asks what it uses
        let limits = Ulimits::default(); // but what a slot has
        Ok(Self { leader, t_start_s, footprint_bytes, stdout, stderr, limits, forced, talk: Some(talk) })
    }

    /// Names every descriptor to wait for, and what for.
    pub fn watch<'a>(&'a self, mut add: impl FnMut(BorrowedFd<'a>, PollFlags, Part)) {
        self.leader.watch(|fd| add(fd, PollFlags::IN, Part::End));
        if self.leader.lives() {
            for (stream, part) in [(&self.stdout, Part::Stdout), (&self.stderr, Part::Stderr)] {
                stream.watch().into_iter().for_each(|fd| add(fd, PollFlags::IN, part));
            }
            self.talk.iter().filter_map(Talk::watch).for_each(|(fd, flags)| add(fd, flags, Part::Talk));
        }
    }

    /// What is said with it, if it looks at a run.
    pub fn talk(&mut self) -> Option<&mut Talk> {
        self.talk.as_mut()
    }

    /// When it wants to be called without a descriptor being ready.
    pub fn timer(&self) -> Option<Instant> {
        let talk = self.talk.as_ref().filter(|_| self.leader.lives()).and_then(Talk::timer);
        self.leader.timer().into_iter().chain(talk).min()
    }

    /// A descriptor became ready at `now`. The outcome, if that was the end of it all.
    pub fn ready(&mut self, part: Part, now: Instant, around: &mut Surroundings) -> Option<Ended> {
        match part {
            Part::Stdout => self.stdout.read(&mut around.buffer),
            Part::Stderr => self.stderr.read(&mut around.buffer),
            Part::End => {
                let departed = self.leader.ready(now, &around.family)?;
                return Some(self.finish(departed, around));
            }
            Part::Talk => {}
        }
        None
    }

    /// Its timer came.
    pub fn tick(&mut self, now: Instant, around: &mut Surroundings) -> Option<Ended> {
        match self.talk.as_mut().filter(|_| self.leader.lives()).map_or(Due::Nothing, |talk| talk.tick(now)) {
            Due::Nothing => {}
            Due::Stop => self.leader.tell_to_stop(),
            Due::Kill => self.leader.kill(now, &around.family),
        }
        let departed = self.leader.tick(now, &around.family)?;
        Some(self.finish(departed, around))
    }

    /// Has it neither ended nor been told to?
    pub fn undisturbed(&self) -> bool {
        self.leader.undisturbed()
    }

    /// Asks it to end, and makes it after a while. The first reason counts; what has ended needs none.
    pub fn stop(&mut self, why: Forced, now: Instant, around: &Surroundings) {
        if self.leader.undisturbed() {
            self.forced = Some(why);
            self.leader.terminate(now, &around.family);
        }
    }

    fn finish(&mut self, departed: Departed, around: &mut Surroundings) -> Ended {
        let Departed { exit, usage, killed } = departed;
        let by_nobody_we_know = met::signal(exit) == libc::SIGKILL && self.forced.is_none();
        let buffer = &mut around.buffer;
        let (stdout, stderr) = (self.stdout.drain(buffer), self.stderr.drain(buffer));
        Ended {
            exit,
            usage,
            energy: Energy::default(),
            footprint_bytes: self.footprint_bytes,
            counts: Vec::new(),
            found: self.talk.take().map_or_else(Vec::new, |talk| talk.finish(exit)),
            t_start_s: self.t_start_s,
            forced: self.forced,
            killed,
            oom: by_nobody_we_know.then(|| around.oom.rose()).flatten(),
            limits: self.limits,
            stdout,
            stderr,
        }
    }
}

/// What a process is to read, from memory: nothing has to be fed to it while it runs.
pub fn memory_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    use std::io::{Seek, SeekFrom};
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_short_programs_the_peak_is_forgotten_now_and_then_and_for_others_each_time() {
        let mut around = Surroundings::new(Arc::default()).unwrap();
        let mut forgets = |is_short| {
            let before = around.forgotten;
            around.begin_task(is_short);
            let forgets = around.forgotten != before;
            // As if no time had passed, however slow the machine is.
            around.forgotten = around.forgotten.map(|_| Instant::now() + Duration::from_secs(3600));
            (forgets, around.footprint() > 0)
        };
        assert_eq!(
            [true, true, false, true].map(&mut forgets),
            [(true, false), (false, false), (false, true), (false, false)]
        );
        around.forgotten = Instant::now().checked_sub(FORGETS);
        let before = around.forgotten;
        around.begin_task(true);
        assert_ne!(around.forgotten, before);
    }
}
