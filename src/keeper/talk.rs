//! What a lane says with a slot process that looks at one run: the run and its functions go in, findings come out.
//!
//! The process is started for that run and ends with it: nothing of it is there while a program is timed, and nothing
//! it did to itself outlives it. Each function has a limit of its own. At the limit Lua is stopped at its next
//! instruction and says where it was; what is not Lua is killed a second later. Knows nothing of what the findings
//! mean.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::inspection::Task;
use super::job::Table;
use super::run::memory_file;
use super::scratch::Scratch;
use super::site::Site;
use super::slots::{GATE_FD, SOCKET_FD};
use crate::model::{Found, FromSlot, Module, ToSlot, human};
use crate::process::{Environment, Exit, Gate};
use crate::wire::{Stream, WireError, socket_pair};

/// What was told to stop, or to end, has so long to do it.
const GRACE: Duration = Duration::from_secs(1);

/// Modules that were asked for, by name.
pub type Modules = Table<String, Module>;

/// See the module.
pub struct Talk {
    /// None once everything was said: then the process ends.
    stream: Option<Stream>,
    gate: Gate,
    /// How many functions are asked.
    asked: usize,
    found: Vec<Found>,
    /// A module it waits for.
    wanted: Option<String>,
    limit: Duration,
    stage: Stage,
    _scratch: Option<Scratch>,
}

/// How far it is, and until when it may be there.
enum Stage {
    /// A function runs, or will.
    Asked(Instant),
    /// It was told to stop.
    Stopping(Instant),
    /// Everything was said.
    Over(Instant),
    /// It was killed.
    Killed,
}

/// What a process needs to be started.
pub struct Beginning {
    /// Its descriptors and their numbers.
    pub fds: Vec<(OwnedFd, RawFd)>,
    /// Its variables.
    pub environment: Environment,
}

/// What is due.
pub enum Due {
    Nothing,
    /// Have the process look at its gate.
    Stop,
    /// End it.
    Kill,
}

impl Talk {
    /// With a process that is about to be started.
    pub fn begin(task: Task, site: &Site, mark: &str, now: Instant) -> io::Result<(Self, Beginning)> {
        let Task { mut inspection, wrote } = task;
        let (ours, slots) = socket_pair()?;
        let (gate, gate_fd) = Gate::create()?;
        // As files, which take nothing of this process's memory: programs start with what that is.
        let files = wrote.iter().map(|bytes| memory_file(bytes)).collect::<io::Result<Vec<_>>>()?;
        drop(wrote);
        let limit = site.limits.inspection;
        inspection.limit_s = limit.as_secs_f64();
        let mut stream = Stream::new(ours)?;
        stream.queue(&ToSlot::Init(Box::new(site.slot_init(&inspection.seen.dir))));
        let asked = inspection.functions.len();
        stream.queue_with_fds(&ToSlot::Inspect(Box::new(inspection)), files);
        let (scratch, environment) =
            site.slot_place(mark).map_err(|failure| io::Error::other(failure.reason))?;
        let talk = Self {
            stream: Some(stream),
            gate,
            asked,
            found: Vec::new(),
            wanted: None,
            limit,
            stage: Stage::Asked(now + limit),
            _scratch: scratch,
        };
        Ok((talk, Beginning { fds: vec![(slots, SOCKET_FD), (gate_fd, GATE_FD)], environment }))
    }

    /// What to wait for.
    pub fn watch(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let stream = self.stream.as_ref()?;
        let write = if stream.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        Some((stream.as_fd(), PollFlags::IN | write))
    }

    /// Says and hears what there is. A module nobody here has, if it needs one.
    pub fn go_on(&mut self, now: Instant, modules: &Modules) -> Option<String> {
        let asks = match self.exchange(now) {
            Ok(asks) => asks,
            // It has ended, and its end is told elsewhere.
            Err(WireError::Closed | WireError::Io(_)) => {
                self.stream = None;
                None
            }
            Err(error @ WireError::Garbage(_)) => {
                self.lost(format!("was ended, for what its process said made no sense ({error})"), now)
            }
            Err(error @ WireError::TooLarge(_)) => self.lost(
                format!("cannot be called: what it needs is too large to be sent to it ({error})"),
                now,
            ),
        };
        if let Some(name) = asks {
            self.wanted = Some(name);
            if !self.give_module(modules) {
                return self.wanted.clone();
            }
        }
        None
    }

    fn lost(&mut self, why: String, now: Instant) -> Option<String> {
        self.found.push(Found::Lost(why));
        self.end(now);
        None
    }

    fn exchange(&mut self, now: Instant) -> Result<Option<String>, WireError> {
        let mut asks = None;
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let (flushed, filled) = (stream.flush(), stream.fill());
        while let Some(stream) = &mut self.stream {
            match stream.take()? {
                Some(FromSlot::Found(found)) => self.take(found, now),
                Some(FromSlot::NeedModule(name)) => asks = Some(name),
                Some(FromSlot::InitFailed(outcome)) => {
                    let why = outcome.reason.unwrap_or_default();
                    self.take(Found::Lost(format!("could not be called: {why}")), now);
                }
                Some(FromSlot::Ready | FromSlot::Done(..)) => {}
                None => break,
            }
        }
        flushed.and(filled).map(|()| asks)
    }

    fn take(&mut self, found: Found, now: Instant) {
        let goes_on = found.goes_on();
        self.found.push(found);
        if goes_on && self.found.len() < self.asked {
            self.stage = Stage::Asked(now + self.limit);
        } else {
            self.end(now);
        }
    }

    fn end(&mut self, now: Instant) {
        self.stream = None;
        self.stage = Stage::Over(now + GRACE);
    }

    /// Hands on the module it waits for, if that has come.
    pub fn give_module(&mut self, modules: &Modules) -> bool {
        let Some((name, stream)) = self.wanted.as_ref().zip(self.stream.as_mut()) else { return true };
        let Some(module) = modules.get(name) else { return false };
        stream.queue(&ToSlot::Module(name.clone(), module));
        self.wanted = None;
        // What it cannot send now goes when the socket takes it; that it is closed is heard when it is read.
        let _ = stream.flush();
        true
    }

    /// When something is due without a message.
    pub fn timer(&self) -> Option<Instant> {
        match self.stage {
            Stage::Asked(until) | Stage::Stopping(until) | Stage::Over(until) => Some(until),
            Stage::Killed => None,
        }
    }

    /// A time may have come.
    pub fn tick(&mut self, now: Instant) -> Due {
        match self.stage {
            Stage::Asked(until) if now >= until => {
                self.gate.stop(Some(self.found.len() as u32));
                self.stage = Stage::Stopping(now + GRACE);
                Due::Stop
            }
            Stage::Stopping(until) if now >= until => {
                self.found.push(Found::Lost(self.never_ended()));
                self.kill()
            }
            Stage::Over(until) if now >= until => self.kill(),
            _ => Due::Nothing,
        }
    }

    fn kill(&mut self) -> Due {
        self.stream = None;
        self.stage = Stage::Killed;
        Due::Kill
    }

    fn never_ended(&self) -> String {
        let limit = human::duration(self.limit.as_secs_f64());
        match &self.wanted {
            Some(name) => {
                format!(
                    "did not end within {limit}: it waited for module `{name}`, which did not come, and was killed"
                )
            }
            None => {
                let foreign = self.foreign();
                format!("did not end within {limit}, in code that is not Lua, and was killed{foreign}")
            }
        }
    }

    fn foreign(&self) -> String {
        let note = self.gate.note();
        note.map_or_else(String::new, |foreign| format!("; it was in {foreign}, called by harness.dl"))
    }

    /// What was found, once the process has ended so.
    pub fn finish(mut self, exit: Exit) -> Vec<Found> {
        // What it said last may not have been read.
        let _ = self.exchange(Instant::now());
        let complete = self.found.len() == self.asked || self.found.iter().any(|found| !found.goes_on());
        let foreign = self.foreign();
        if !complete && !foreign.is_empty() {
            self.found.push(Found::Lost(format!("ended its process: {exit}{foreign}")));
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_module_that_does_not_come_says_so() {
        let why = |wanted: Option<&str>| {
            let now = Instant::now();
            let mut talk = Talk {
                stream: None,
                gate: Gate::create().unwrap().0,
                asked: 1,
                found: Vec::new(),
                wanted: wanted.map(str::to_owned),
                limit: Duration::from_secs(60),
                stage: Stage::Asked(now),
                _scratch: None,
            };
            assert!(matches!(talk.tick(now), Due::Stop));
            assert!(matches!(talk.tick(now + GRACE), Due::Kill));
            let [Found::Lost(why)] = &talk.found[..] else { panic!("{:?}", talk.found) };
            why.clone()
        };
        let waited = "it waited for module `x`, which did not come, and was killed";
        assert_eq!(why(Some("x")), format!("did not end within 60 s: {waited}"));
        assert_eq!(why(None), "did not end within 60 s, in code that is not Lua, and was killed");
    }
}
