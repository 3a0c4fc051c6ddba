//! For tests of what decides about runs: programs that never run, and how their runs ended all the same.

use super::capture::Captured;
use super::files::Files;
use super::hooks::{Hook, Hooks};
use super::run::Ended;
use super::site::Command;
use super::subject::Subject;
use crate::model::{Energy, MeasureSpec, Sink, Stdin, Ulimits, Usage};
use crate::process::{Environment, Exit};

/// A program of this name.
pub fn command(name: &str) -> Command {
    Command {
        argv: vec![std::ffi::CString::new(name).unwrap()],
        environment: Environment::default(),
        cwd: "/".into(),
        stdin: Stdin::Null,
        stdout: Sink::Capture,
        stderr: Sink::Capture,
        limits: Ulimits::default(),
    }
}

/// It, to be timed, and around its runs programs that are called like their `hooks`.
pub fn subject(name: &str, spec: MeasureSpec, hooks: &[Hook]) -> Subject {
    let command = command(name);
    let hooks = Hooks::named(&command, hooks);
    Subject::with_command(spec, command, hooks, None, Files::default()).unwrap()
}

/// A run that ended so and wrote this.
pub fn ended(exit: Exit, stdout: &str) -> Ended {
    let captured = |text: &str| Captured { bytes: text.into(), total: text.len() as u64, cut: None };
    Ended {
        exit,
        usage: Usage { wall_s: 1.0, user_s: 0.9, maxrss_bytes: 1 << 20, ..Usage::default() },
        energy: Energy::default(),
        footprint_bytes: 0,
        counts: Vec::new(),
        found: Vec::new(),
        t_start_s: 0.0,
        stdout: captured(stdout),
        stderr: captured(""),
        forced: None,
        killed: 0,
        oom: None,
        limits: Ulimits::default(),
    }
}

/// A run that did what was asked in so many seconds.
pub fn took(wall_s: f64) -> Ended {
    let mut ended = ended(Exit::Code(0), "");
    ended.usage = Usage { wall_s, user_s: wall_s, ..ended.usage };
    ended
}
