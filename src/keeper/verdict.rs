//! What the end of a run means: the one place that turns exit codes and signals into a status.

use std::path::Path;

use super::capture::end_of;
use super::met::{met, signal};
use super::run::{Ended, Forced, StartError};
use super::scratch;
use super::site::{Command, Failure};
use crate::launch::{is_launcher, refusal, says_something};
use crate::machine;
use crate::model::{RunResult, Status};
use crate::process::{Exit, SpawnError};

/// Of a SIGKILL that neither harness sent nor a counter of the kernel explains.
const MAYBE_OOM: &str =
    "harness did not send that; memory may be why, though the kernel counted no kill for it here";

/// A run that did not do what was asked, and how it ended, if it began.
#[derive(Debug)]
pub struct Failed {
    /// For people.
    pub failure: Failure,
    /// None if it never ran.
    pub ended: Option<Box<Ended>>,
}

impl Failed {
    /// It never ran.
    pub fn to_start(error: &StartError) -> Self {
        Self { failure: not_started(error), ended: None }
    }

    /// Is the whole task to end, whatever the run was for?
    pub fn is_last(&self) -> bool {
        matches!(self.failure.status, Status::Timeout | Status::Cancelled)
    }

    /// The same, with the run it was.
    pub fn of(mut self, run: &str) -> Self {
        self.failure.reason = format!("{run}: {}", self.failure.reason);
        self
    }
}

/// Did the run do what was asked? `ok_codes` empty means 0.
pub fn judge(ended: &Ended, ok_codes: &[i32]) -> Result<(), Failure> {
    let (status, what) = match (&ended.forced, ended.exit) {
        (Some(Forced::Timeout(limit)), _) => {
            let reason = format!("ran into its timeout of {limit} s; {} killed", company(ended.killed));
            return Err(Failure { status: Status::Timeout, reason });
        }
        (Some(Forced::Cancelled), _) => {
            let reason = format!("cancelled while it ran; {} killed", company(ended.killed));
            return Err(Failure { status: Status::Cancelled, reason });
        }
        (None, Exit::Code(code)) if accepted(code, ok_codes) => return Ok(()),
        (None, exit) if let Some(counter) = &ended.oom => (Status::Oom, killed_for_memory(exit, counter)),
        (None, Exit::Code(0)) => {
            let accepted: Vec<String> = ok_codes.iter().map(i32::to_string).collect();
            (Status::NonzeroExit, format!("{}, and not {}", ended.exit, accepted.join(" or ")))
        }
        (None, Exit::Code(_)) => (Status::NonzeroExit, ended.exit.to_string()),
        (None, Exit::Signal(_)) => (Status::Signal, ended.exit.to_string()),
    };
    let what = match met(ended) {
        Some(limit) => format!("{what}: {limit}"),
        None if signal(ended.exit) == libc::SIGKILL && ended.oom.is_none() => format!("{what}: {MAYBE_OOM}"),
        None => what,
    };
    Err(Failure { status, reason: with_stderr(what, &ended.stderr.bytes) })
}

/// A shell tells the end of what it had started as its own.
fn killed_for_memory(exit: Exit, counter: &str) -> String {
    let (whom, told) = match exit {
        Exit::Signal(_) => ("it", String::new()),
        Exit::Code(_) => ("what it had started", format!("{exit}, and ")),
    };
    machine::killed_for_memory(whom, &told, counter)
}

/// The same of what may have a launcher before it, one of ours (`launched`) or its author's: where that started nothing,
/// the end is not the program's.
pub fn judge_command(
    command: &Command,
    launched: bool,
    ended: &Ended,
    ok_codes: &[i32],
) -> Result<(), Failure> {
    let failure = match judge(ended, ok_codes) {
        Err(failure) if failure.status == Status::NonzeroExit && ended.exit != Exit::Code(0) => failure,
        other => return other,
    };
    let begins = || command.argv.first().is_some_and(|program| is_launcher(&program.to_string_lossy()));
    if !launched && !begins() {
        return Err(failure);
    }
    Err(match refusal(&String::from_utf8_lossy(&ended.stderr.bytes)) {
        Some(why) => Failure { status: Status::SpawnFailed, reason: format!("not started: {why}") },
        None => failure,
    })
}

/// A program that never ran.
pub fn not_started(error: &StartError) -> Failure {
    let status = match error {
        StartError::Spawn(SpawnError::NoFolder(folder)) => {
            if scratch::is_ours(Path::new(folder)) {
                return Failure::setup(format!(
                    "its scratch folder `{folder}` was removed while the task ran: what it runs, and functions that look at its \
                     runs, must leave the folder itself (`run.dir`) where it is"
                ));
            }
            let hint = "use cwd=\"scratch\", or a folder that all nodes share";
            return Failure::setup(format!("working folder `{folder}` is not there on this node: {hint}"));
        }
        StartError::Spawn(_) => Status::SpawnFailed,
        StartError::Forced(Forced::Timeout(limit)) => {
            let reason = format!("ran into its timeout of {limit} s; nothing of it ran just then");
            return Failure { status: Status::Timeout, reason };
        }
        StartError::Forced(Forced::Cancelled) => {
            let reason = "cancelled; nothing of it ran just then".into();
            return Failure { status: Status::Cancelled, reason };
        }
        StartError::Redirect { .. } | StartError::System(_) => Status::SetupFailed,
    };
    Failure { status, reason: error.to_string() }
}

/// What the journal keeps of a run; its outputs are added by who knows them.
pub fn run_result(ended: Ended, argv: Vec<String>) -> RunResult {
    RunResult {
        exit_code: ended.exit.code(),
        signal: ended.exit.signal(),
        stdout: ended.stdout.bytes,
        stderr: ended.stderr.bytes,
        stdout_bytes: ended.stdout.total,
        stderr_bytes: ended.stderr.total,
        usage: ended.usage,
        outputs: Default::default(),
        argv,
        leftovers: if ended.forced.is_none() { ended.killed } else { 0 },
        launched: None,
    }
}

fn accepted(code: i32, ok_codes: &[i32]) -> bool {
    if ok_codes.is_empty() { code == 0 } else { ok_codes.contains(&code) }
}

fn company(others: u32) -> String {
    match others {
        0 => "it was".into(),
        1 => "it and a process it started were".into(),
        n => format!("it and {n} processes it started were"),
    }
}

fn with_stderr(what: String, stderr: &[u8]) -> String {
    let telling: Vec<u8> = stderr
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| says_something(&String::from_utf8_lossy(line)))
        .flatten()
        .copied()
        .collect();
    match end_of(&telling) {
        quoted if quoted.is_empty() => what,
        quoted => format!("{what}; the end of its standard error:\n{quoted}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::fake;

    fn said(ended: &Ended) -> (Status, String) {
        let failure = judge(ended, &[]).unwrap_err();
        (failure.status, failure.reason)
    }

    #[test]
    fn codes_and_signals_are_named_and_standard_error_is_quoted() {
        let mut ended = fake::ended(Exit::Code(3), "");
        assert_eq!(said(&ended), (Status::NonzeroExit, "exit code 3".into()));
        ended.stderr.bytes = b"one\n\ntwo\n".to_vec();
        assert_eq!(said(&ended).1, "exit code 3; the end of its standard error:\none\ntwo");
        ended.stderr.bytes = b"--------\none\n--------\n".to_vec();
        assert_eq!(said(&ended).1, "exit code 3; the end of its standard error:\none");
        assert_eq!(judge(&ended, &[0, 3]), Ok(()));
        assert!(judge(&fake::ended(Exit::Code(0), ""), &[3]).is_err());
        let segfault = said(&fake::ended(Exit::Signal(11), ""));
        assert_eq!(segfault, (Status::Signal, "killed by signal 11 (SIGSEGV)".into()));
    }

    #[test]
    fn a_launcher_that_starts_nothing_says_nothing_of_the_program() {
        let mut ended = fake::ended(Exit::Code(1), "");
        ended.stderr.bytes =
            b"----\nmpirun has detected an attempt to run as root.\n\nRunning as root is\n".to_vec();
        // Only a launcher can refuse so; and of others' words, which it passes on, none is its own.
        assert_eq!(said(&ended).0, Status::NonzeroExit);
        let of = |program: &str, launched, ended: &Ended| {
            let failure = judge_command(&fake::command(program), launched, ended, &[]).unwrap_err();
            (failure.status, failure.reason)
        };
        assert_eq!(of("gcc", false, &ended).0, Status::NonzeroExit);
        assert_eq!(of("own-launcher", true, &ended).0, Status::SpawnFailed);
        let mut compiler = fake::ended(Exit::Code(1), "");
        compiler.stderr.bytes = "cc1: error: unrecognized argument in option ‘-mabi=foo’\n".into();
        for program in ["gcc", "mpirun"] {
            assert_eq!(of(program, false, &compiler).0, Status::NonzeroExit);
        }
        let (status, reason) = of("/opt/mpi/bin/mpirun", false, &ended);
        assert!(
            reason.starts_with("not started: mpirun has detected an attempt to run as root; env = "),
            "{reason}"
        );
        assert!(status == Status::SpawnFailed && !status.lasting());
    }

    #[test]
    fn a_kill_is_out_of_memory_only_with_the_kernels_evidence() {
        let maybe =
            "harness did not send that; memory may be why, though the kernel counted no kill for it here";
        let counter = "the count of such kills in /proc/vmstat rose";
        for (exit, status, what, whom) in [
            (Exit::Signal(9), Status::Signal, "killed by signal 9 (SIGKILL)", "it: out of memory ("),
            (
                Exit::Code(137),
                Status::NonzeroExit,
                "exit code 137",
                "what it had started: out of memory (exit code 137, and ",
            ),
        ] {
            let mut ended = fake::ended(exit, "");
            assert_eq!(said(&ended), (status, format!("{what}: {maybe}")));
            ended.oom = Some("/proc/vmstat".into());
            assert_eq!(said(&ended), (Status::Oom, format!("the kernel killed {whom}{counter})")));
        }
        assert_eq!(judge(&fake::ended(Exit::Code(137), ""), &[137]), Ok(()));
    }

    #[test]
    fn a_forced_end_counts_whom_it_killed() {
        let mut ended = fake::ended(Exit::Signal(15), "");
        ended.forced = Some(Forced::Timeout(2.0));
        assert_eq!(said(&ended).1, "ran into its timeout of 2 s; it was killed");
        ended.killed = 3;
        let reason = "ran into its timeout of 2 s; it and 3 processes it started were killed";
        assert_eq!(said(&ended), (Status::Timeout, reason.into()));
    }
}
