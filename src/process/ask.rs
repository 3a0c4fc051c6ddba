//! The answer of a short command of the system, such as one of the batch system's.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::process::{Signal, kill_process_group};

use super::own::null_device;
use super::{Environment, Exit, Launch, SpawnError, spawn, wait};

/// No answer is longer (B).
const LONGEST: u64 = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// It could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It took too long, and was killed.
    #[error("`{program}` did not answer within {seconds} s")]
    Late {
        /// The command.
        program: String,
        /// What it was given, s.
        seconds: u64,
    },
    /// It failed.
    #[error("`{program}`: {exit}")]
    Failed {
        /// The command.
        program: String,
        /// How it ended.
        exit: Exit,
    },
    /// The system refused something.
    #[error("cannot ask `{program}`: {source}")]
    System {
        /// The command.
        program: String,
        /// What it said.
        source: io::Error,
    },
}

/// What `argv` prints on standard output, in our environment; its messages are nobody's. Kills it after `patience`.
pub fn ask(argv: &[String], patience: Duration) -> Result<String, NoAnswer> {
    let program = argv.first().cloned().unwrap_or_default();
    let system = |source: io::Error| NoAnswer::System { program: program.clone(), source };
    let words: Vec<CString> = argv
        .iter()
        .map(|word| CString::new(word.as_str()))
        .collect::<Result<_, _>>()
        .map_err(SpawnError::from)?;
    let null = null_device().map_err(system)?;
    let mut answer: File = tempfile::tempfile().map_err(system)?;
    let child = spawn(&Launch {
        program: None,
        argv: &words,
        environment: &Environment::scrubbed(std::env::vars_os()),
        cwd: None,
        stdio: [null.as_fd(), answer.as_fd(), null.as_fd()],
        fds: &[],
    })?;
    if !child.ends_within(patience) {
        // It leads a session: what a wrapper has started goes with it.
        let _ = kill_process_group(child.pid, Signal::KILL);
        child.wait_or_kill(Duration::ZERO); // where the kernel cannot end it, it is left
        return Err(NoAnswer::Late { program, seconds: patience.as_secs() });
    }
    let (exit, _) = wait(child.pid).map_err(system)?;
    match exit {
        Exit::Code(0) => {
            let mut bytes = Vec::new();
            answer.rewind().and_then(|()| answer.take(LONGEST).read_to_end(&mut bytes)).map_err(system)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        exit => Err(NoAnswer::Failed { program, exit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(line: &str, patience: Duration) -> Result<String, String> {
        let argv = ["sh", "-c", line].map(String::from);
        ask(&argv, patience).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_comes_or_the_reason_why_not() {
        let long = Duration::from_secs(60);
        assert_eq!(sh("echo 29:51; echo no >&2", long).unwrap(), "29:51\n");
        assert_eq!(sh("exit 3", long).unwrap_err(), "`sh`: exit code 3");
        assert_eq!(sh("exec sleep 1000", Duration::ZERO).unwrap_err(), "`sh` did not answer within 0 s");
        let missing = ask(&["no-such-batch-system".into()], long).unwrap_err().to_string();
        assert!(missing.contains("`no-such-batch-system` not found"), "{missing}");
    }
}
