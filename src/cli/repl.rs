//! `harness repl`: a campaign that is typed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::own;
use super::run::{self, Begun, Joined};
use super::usage::{start, whole};
use crate::allocation::Scheduler;
use crate::model::{Retry, exit};
use crate::root::port::{MostQueued, PoolSpec, Start};
use crate::root::progress::{Display, Standing, Verbosity};
use crate::root::{Mpi, Options, Timing, find_allocation};
use crate::say::say;
use crate::script::repl::Typed;

#[derive(Args)]
pub(super) struct ReplArgs {
    /// Workers, where `spawn` is not called, or does not say.
    #[arg(long, value_name = "N", value_parser = whole::<1, { u32::MAX }>)]
    workers: Option<u32>,
    /// Slots of each worker (default: its cores).
    #[arg(long, value_name = "N", value_parser = whole::<1, 4096>)]
    slots: Option<u32>,
    /// How workers come; in a job of several nodes by srun or ssh, unless mpirun has started this.
    #[arg(long, value_name = "auto|local|spawn|static|srun|ssh", value_parser = start)]
    start: Option<Start>,
    /// The nodes to use, a host to a line as for mpirun (default: those of the batch job).
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,
    /// Keep what is measured here, and answer from it what it has (default: nothing is kept).
    #[arg(long, value_name = "PATH")]
    journal: Option<PathBuf>,
}

/// Does it; the exit code.
pub(super) fn repl(arguments: ReplArgs) -> ExitCode {
    match converse(arguments) {
        Ok(code) => code,
        Err((code, text)) => {
            say(format_args!("harness repl: {text}"));
            ExitCode::from(code)
        }
    }
}

fn converse(arguments: ReplArgs) -> Result<ExitCode, (u8, String)> {
    // mpirun would stand between the terminal and the line editor: without it srun or ssh start workers.
    let Begun { limits, signals, mut started } = match run::join()? {
        Joined::Root(begun) => begun,
        Joined::Served(code) => return Ok(code),
    };
    if matches!(started.mpi, Mpi::Idle) {
        started.mpi = Mpi::Absent;
    }
    let folder = own::folder("repl").map_err(|text| (exit::JOURNAL, text))?;
    let terminal = tcgetattr(io::stdin()).ok().map(|modes| Arc::new(Terminal(modes)));
    if terminal.is_some() {
        say(
            "harness: Lua 5.4, and all a campaign has; Tab completes, Ctrl-C ends a line, Ctrl-D the session",
        );
    }
    let typed = if terminal.is_some() { Typed::Terminal { history: history() } } else { Typed::Lines };
    let mpi = matches!(started.mpi, Mpi::Ready(_));
    // What is wrong with the allocation is said where the root reads it.
    let outside_of_jobs = find_allocation(arguments.hostfile.as_deref())
        .is_ok_and(|allocation| allocation.scheduler == Scheduler::None);
    let is_kept = arguments.journal.is_some();
    let options = Options {
        script: PathBuf::from("repl"),
        folder: None,
        args: Vec::new(),
        pool: PoolSpec {
            workers: arguments.workers,
            slots: arguments.slots,
            start: arguments.start.or(outside_of_jobs.then_some(Start::Local)),
            ..PoolSpec::default()
        },
        host_file: arguments.hostfile,
        display: terminal.clone().map(|terminal| terminal as Arc<dyn Display>),
        journal: Some(arguments.journal.unwrap_or_else(|| folder.path().join("journal"))),
        fresh: false,
        fleeting: false,
        retry: Retry::default(),
        repeats: false,
        trace: None,
        interactive: true,
        timing: Timing::default(),
        seed: None,
        most_queued: MostQueued::default(),
        verbosity: Verbosity::Normal,
        limits,
    };
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let ended = run::play(options, started, signals, &here, None, move |state| state.converse(typed));
    terminal.iter().for_each(|terminal| terminal.close());
    match ended.message {
        Some(_) if ended.code == exit::RUN_AGAIN && !is_kept => {
            say(
                "harness: the session was stopped; nothing of it is kept (--journal FILE keeps what is measured)",
            );
        }
        Some(message) if ended.code == exit::JOURNAL && !is_kept => {
            say(format_args!("harness: {}", own::elsewhere(&message)));
        }
        Some(message) => say(format_args!("harness: {message}")),
        None => {}
    }
    drop(folder);
    run::leave_mpi(mpi && !ended.lost_rank, ended.code, limits.finalize);
    Ok(ExitCode::from(ended.code))
}

/// The terminal as it was found: who is stopped while a line is edited does not end the editor.
struct Terminal(Termios);

impl Display for Terminal {
    fn every(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn show(&self, _: &Standing) {}

    fn close(&self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Where lines are remembered: as the XDG base directories say.
fn history() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")))?;
    let folder = state.join("harness");
    make_private(&folder).ok()?;
    Some(folder.join("repl_history"))
}

/// What somebody typed is nobody else's business.
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
