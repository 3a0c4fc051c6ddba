//! A helper process of a task: a line to it, a line back, each with bytes if it says so, for as long as the slot lives.
//!
//! It is a child of the slot, so the keeper ends it with the slot, whatever happens; dropped before, it is
//! killed with its session. Each question has a time limit; the end of what it wrote to its standard error is kept.
//! Knows nothing of what the lines say but how many bytes follow them.

use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Signal, kill_process_group};

use super::adaptors;
use crate::machine::{OomWatch, killed_for_memory};
use crate::model::Status;
use crate::process::{self, Child, Environment, Exit, Launch, signal_name};
use crate::script::session::{self, Answer, NoAnswer, SessionSpec, Stderr, bytes_behind};

/// A longer answer is taken for a mistake (B).
const LONGEST_LINE: usize = 64 << 20;
/// So are more bytes behind it (B).
const MOST_BYTES: usize = 1 << 30;
/// So much of the end of its standard error is kept (B).
const KEPT: usize = 64 * 1024;
/// So much of that is in messages (B).
const TAIL: usize = 2048;
/// What questions and answers pass through (B): the more fits in, the less often the two sides wait for each other.
const PIPE: usize = 1 << 20;
/// So much is read at a time (B).
const READ: usize = 128 * 1024;
/// A pipe holds no more than so many reads.
const TAIL_READS: usize = 32;
/// So much of what nobody asked for is shown (characters).
const SHOWN_CHARS: usize = 200;
/// How long it may take to end once it has closed its standard output.
const END_GRACE: Duration = Duration::from_secs(1);

/// See the module.
pub struct Helper {
    child: Child,
    stdin: OwnedFd,
    stdout: OwnedFd,
    /// Until it is closed.
    stderr: Option<OwnedFd>,
    /// Is what comes from there passed on?
    shown: bool,
    /// Read and not yet asked for.
    unread: Vec<u8>,
    /// What is read first comes here.
    buffer: Box<[u8]>,
    /// The end of its standard error.
    tail: Vec<u8>,
    /// After a signal: is the task to stop?
    to_stop: Rc<dyn Fn() -> bool>,
    /// Has the kernel killed somebody for memory since it was started, or since its last answer?
    oom: OomWatch,
    /// It has ended and has been waited for.
    waited: bool,
    /// Why it takes no more questions.
    over: Option<NoAnswer>,
}

impl Helper {
    /// Starts it; what it may import is put into the `cache`. After a signal `to_stop` says whether the task that waits
    /// is to stop.
    pub fn start(spec: &SessionSpec, cache: &Path, to_stop: Rc<dyn Fn() -> bool>) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let argv: Vec<CString> = spec
            .cmd
            .iter()
            .map(|arg| CString::new(arg.as_str()))
            .collect::<Result<_, _>>()
            .map_err(|error| text(&error))?;
        let mut environment = Environment::scrubbed(std::env::vars_os());
        for (name, value) in &spec.env {
            environment.set(name.as_bytes(), value.as_bytes()).map_err(|error| text(&error))?;
        }
        adaptors::add_python(&mut environment, cache)?;
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| text(&error));
        let ((its_in, stdin), (stdout, its_out), (stderr, its_err)) = (pipe()?, pipe()?, pipe()?);
        for end in [&stdin, &stdout, &stderr] {
            ioctl_fionbio(end, true).map_err(|error| text(&error))?;
        }
        for end in [&stdin, &stdout] {
            let _ = fcntl_setpipe_size(end, PIPE); // the system may have given its user enough already
        }
        let here = std::env::current_dir().map_err(|error| text(&error))?;
        let cwd: Option<PathBuf> = spec.cwd.as_ref().map(|cwd| here.join(cwd));
        let child = process::spawn(&Launch {
            program: None,
            argv: &argv,
            environment: &environment,
            cwd: cwd.as_deref(),
            stdio: [its_in.as_fd(), its_out.as_fd(), its_err.as_fd()],
            fds: &[],
        })
        .map_err(|error| text(&error))?;
        let mut oom = OomWatch::open();
        oom.note();
        Ok(Self {
            child,
            stdin,
            stdout,
            stderr: Some(stderr),
            shown: spec.stderr == Stderr::Shown,
            unread: Vec::new(),
            buffer: vec![0; READ].into_boxed_slice(),
            tail: Vec::new(),
            to_stop,
            oom,
            waited: false,
            over: None,
        })
    }

    /// A line that nobody asked for would be taken for the answer to the next question.
    fn look(&mut self) -> Result<(), NoAnswer> {
        if !self.read_answer() {
            return Err(self.how_it_ended());
        }
        if self.unread.is_empty() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&self.unread);
        let said: String = said.trim().chars().take(SHOWN_CHARS).collect();
        Err(mistake(format_args!(
            "it printed what nobody asked for and was ended (one line for each question, nothing else): {said}"
        )))
    }

    fn exchange(&mut self, line: &[u8], bytes: Option<&[u8]>, limit: Duration) -> Result<Answer, NoAnswer> {
        let until = Instant::now().checked_add(limit);
        let question = [line, b"\n"].concat();
        let behind = bytes.map(|bytes| [bytes, b"\n"]).into_iter().flatten();
        let mut parts = behind.filter(|part| !part.is_empty());
        let mut left = question.as_slice();
        let mut answer = Coming::default();
        loop {
            if answer.is_whole(&self.unread)? {
                if self.shown {
                    self.read_tail(); // what it said meanwhile comes before what follows from the answer
                }
                self.oom.note();
                return Ok(answer.take(&mut self.unread));
            }
            // Mostly there is room for all of it.
            while !left.is_empty() {
                left = match write(&self.stdin, left) {
                    Ok(sent) if sent == left.len() => parts.next().unwrap_or_default(),
                    Ok(sent) => &left[sent..],
                    Err(Errno::INTR) => continue,
                    Err(Errno::AGAIN) => break,
                    Err(_) => &[], // it reads no more: its answer or its end comes
                };
            }
            let before = self.unread.len();
            let ends = PollFd::new(&self.child.pidfd, PollFlags::IN);
            let mut fds = vec![PollFd::new(&self.stdout, PollFlags::IN), ends];
            fds.extend(self.stderr.as_ref().map(|stderr| PollFd::new(stderr, PollFlags::IN)));
            if !left.is_empty() {
                fds.push(PollFd::new(&self.stdin, PollFlags::OUT));
            }
            match ready(&mut fds, until) {
                Ok(0) => {
                    let why = format_args!("no answer within {} s; it was ended", limit.as_secs_f64());
                    return Err(NoAnswer::new(Status::Timeout, why));
                }
                Ok(_) => {}
                Err(Errno::INTR) if (self.to_stop)() => {
                    return Err(NoAnswer::new(Status::Cancelled, "interrupted; it was ended"));
                }
                // The signal was for a call that had just ended.
                Err(Errno::INTR) => continue,
                Err(error) => return Err(mistake(io::Error::from(error))),
            }
            let has_ended = !fds[1].revents().is_empty();
            self.read_tail();
            // What it started may hold its standard output: its own end counts, once all it wrote was read.
            if !self.read_answer() || has_ended && self.unread.len() == before {
                return Err(self.how_it_ended());
            }
        }
    }

    /// Reads what is there; false at the end of it.
    fn read_answer(&mut self) -> bool {
        match read(&self.stdout, &mut *self.buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.unread.extend_from_slice(&self.buffer[..count]);
                true
            }
            Err(error) => matches!(error, Errno::AGAIN | Errno::INTR),
        }
    }

    /// Reads what it has said on standard error; one that floods it is not followed for ever.
    fn read_tail(&mut self) {
        let mut buffer = [0; 4096];
        for _ in 0..TAIL_READS {
            let Some(stderr) = &self.stderr else { return };
            match read(stderr, &mut buffer) {
                Ok(0) => self.stderr = None,
                Ok(count) => {
                    self.tail.extend_from_slice(&buffer[..count]);
                    if self.shown {
                        // As what tasks print: whether anybody reads it is not our business.
                        let _ = io::stderr().write_all(&buffer[..count]);
                    }
                }
                Err(_) => return,
            }
            let surplus = self.tail.len().saturating_sub(KEPT);
            self.tail.drain(..surplus);
        }
    }

    /// It closed its standard output: waits a little for its end and says what it was.
    fn how_it_ended(&mut self) -> NoAnswer {
        let until = Instant::now() + END_GRACE;
        let ended = ready(&mut [PollFd::new(&self.child.pidfd, PollFlags::IN)], Some(until));
        if !matches!(ended, Ok(count) if count > 0) {
            return mistake("it closed its standard output and was ended");
        }
        self.waited = true;
        match process::wait(self.child.pid) {
            Ok((Exit::Signal(libc::SIGKILL), _)) if let Some(counter) = self.oom.rose() => {
                NoAnswer::new(Status::Oom, killed_for_memory("it", "", &counter))
            }
            Ok((Exit::Signal(signal), _)) => {
                let name = signal_name(signal);
                NoAnswer::new(Status::Signal, format_args!("it was killed by signal {signal} ({name})"))
            }
            Ok((exit, _)) => {
                let code = exit.code().unwrap_or_default();
                NoAnswer::new(Status::NonzeroExit, format_args!("it ended with exit code {code}"))
            }
            Err(error) => mistake(error),
        }
    }

    /// Kills it unless it has ended.
    fn kill(&mut self) {
        if !std::mem::replace(&mut self.waited, true) {
            let _ = kill_process_group(self.child.pid, Signal::KILL);
            let _ = process::wait(self.child.pid);
        }
    }

    /// The last whole lines of its standard error, for messages.
    fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail[self.tail.len().saturating_sub(TAIL)..]);
        let whole = match text.split_once('\n') {
            Some((_, rest)) if self.tail.len() >= TAIL && !rest.trim().is_empty() => rest,
            _ => &text,
        };
        let text = whole.trim();
        if text.is_empty() { String::new() } else { format!("; the end of its standard error: {text}") }
    }
}

/// An answer of which a part was read.
#[derive(Default)]
struct Coming {
    /// There is no end of a line before.
    searched: usize,
    /// Where its line ends, and the whole of it.
    ends: Option<(usize, usize)>,
}

impl Coming {
    fn is_whole(&mut self, read: &[u8]) -> Result<bool, NoAnswer> {
        if self.ends.is_none() {
            let Some(at) = read[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = read.len();
                if self.searched > LONGEST_LINE {
                    let mib = LONGEST_LINE >> 20;
                    return Err(mistake(format_args!("its answer has no end after {mib} MiB; it was ended")));
                }
                return Ok(false);
            };
            let line = self.searched + at;
            let behind = bytes_behind(&read[..line]);
            if let Some(bytes) = behind.filter(|bytes| *bytes > MOST_BYTES) {
                return Err(mistake(format_args!(
                    "it announced {bytes} bytes, more than {MOST_BYTES}; it was ended"
                )));
            }
            self.ends = Some((line, line + 1 + behind.map_or(0, |bytes| bytes + 1)));
        }
        let Some((line, whole)) = self.ends.filter(|(_, whole)| *whole <= read.len()) else {
            return Ok(false);
        };
        if read[whole - 1] != b'\n' {
            let bytes = whole - line - 2;
            return Err(mistake(format_args!("no end of a line follows its {bytes} bytes; it was ended")));
        }
        Ok(true)
    }

    /// Takes it from what was read, once it is whole.
    fn take(self, read: &mut Vec<u8>) -> Answer {
        let (line, whole) = self.ends.unwrap_or_default();
        let rest = read.split_off(whole);
        let mut answer = std::mem::replace(read, rest);
        answer.pop();
        let bytes = (whole > line + 1).then(|| answer.split_off(line + 1));
        answer.truncate(line);
        Answer { line: answer, bytes }
    }
}

impl session::Helper for Helper {
    fn ask(&mut self, line: &[u8], bytes: Option<&[u8]>, limit: Duration) -> Result<Answer, NoAnswer> {
        if let Some(over) = &self.over {
            return Err(NoAnswer::new(
                over.status,
                format_args!("{}; without an `init` it is not started again", over.why),
            ));
        }
        let asked = self.look().and_then(|()| self.exchange(line, bytes, limit));
        // What it would answer next is anyone's guess.
        asked.map_err(|no| self.end(no))
    }

    fn end(&mut self, mut why: NoAnswer) -> NoAnswer {
        self.kill();
        self.read_tail();
        why.why += &self.said();
        self.over.insert(why).clone()
    }

    fn stderr(&mut self) -> Vec<u8> {
        self.read_tail();
        self.tail.clone()
    }
}

/// It did not do what a helper has to.
fn mistake(why: impl ToString) -> NoAnswer {
    NoAnswer::new(Status::Error, why)
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until one of them is ready, how many are; 0 when the time is over.
fn ready(fds: &mut [PollFd<'_>], until: Option<Instant>) -> Result<usize, Errno> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left + Duration::from_millis(1)).ok());
    poll(fds, left.as_ref())
}
