//! `harness run`: joins the root, the script and the last table.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::RunArgs;
use super::own::Listener;
use super::progress::display;
use crate::artefact::Store;
use crate::machine;
use crate::model::human::{bounded, count, typed};
use crate::model::{Limits, Row, Status, exit, limits};
use crate::process::{self, Signals};
use crate::report::summary;
use crate::root::port::{PoolSpec, Port, Start};
use crate::root::progress::{Line, Verbosity};
use crate::root::{self, Ended as RootEnded, Mpi, Options, ScriptEnd, Started, Timing};
use crate::say::{flush, post, say};
use crate::script::modules::Modules;
use crate::script::{Content, Ended, ScriptError, ScriptState};

/// So long nothing may be read on standard error before the last words are given up.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What `--version` prints.
pub(super) fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("harness {version}\n{}", mpi_line())
}

#[cfg(feature = "mpi")]
fn mpi_line() -> String {
    let runs_on = crate::transport::mpi::sys::library_version();
    format!("MPI: built for {}, running on {runs_on}", crate::transport::mpi::sys::built_for())
}

#[cfg(not(feature = "mpi"))]
fn mpi_line() -> String {
    "MPI: built without; srun or ssh start workers on other nodes".into()
}

/// Runs a campaign; the exit code.
pub(super) fn run(arguments: RunArgs) -> ExitCode {
    process::end_without_memory(exit::ALLOCATION);
    match start(arguments) {
        Ok(code) => code,
        Err((code, text)) => {
            say(format_args!("harness: {text}"));
            ExitCode::from(code)
        }
    }
}

fn start(arguments: RunArgs) -> Result<ExitCode, (u8, String)> {
    let (script, args, are_meant) = script_and_args(&arguments.script).map_err(|text| (exit::USAGE, text))?;
    let common = arguments.common;
    let retry = common.retry().map_err(|text| (exit::USAGE, text))?;
    let most_queued = common.most_queued();
    let verbosity = match (common.quiet, common.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let Begun { limits, signals, started } =
        match begin(common.start, arguments.hostfile.as_deref(), verbosity, false)? {
            Joined::Root(begun) => begun,
            Joined::Served(code) => return Ok(code),
        };
    // Once, by the root alone.
    let misplaced = if are_meant { None } else { super::usage::misplaced(&args, &script) };
    misplaced.iter().for_each(|text| say(format_args!("harness: {text}")));
    let mpi = matches!(started.mpi, Mpi::Ready(_));
    let options = Options {
        script: script.clone(),
        folder: None,
        args,
        pool: PoolSpec {
            workers: common.workers,
            slots: common.slots,
            start: common.start,
            ..PoolSpec::default()
        },
        journal: common.journal,
        fresh: arguments.fresh,
        fleeting: false,
        trace: common.trace,
        host_file: arguments.hostfile,
        retry,
        repeats: false,
        interactive: false,
        timing: Timing { deadline: arguments.deadline, margin: arguments.margin },
        seed: common.seed,
        most_queued,
        verbosity,
        limits,
        display: display(verbosity),
    };
    let finalize = limits.finalize;
    let (code, lost_rank) = campaign(options, started, signals, &script);
    leave_mpi(mpi && !lost_rank, code, finalize);
    Ok(ExitCode::from(code))
}

/// How long waits may take.
pub(super) fn limits() -> Result<Limits, String> {
    std::env::var(limits::VARIABLE).map_or(Ok(Limits::default()), |text| text.parse())
}

/// The script, if there is one to run, what it is given, and whether a `--` says that all of it is its own.
fn script_and_args(words: &[OsString]) -> Result<(PathBuf, Vec<String>, bool), String> {
    let (script, args) =
        words.split_first().ok_or("which script? `harness FILE.lua`, or `harness --help`")?;
    // All that follows the script is the script's, options too. Hence an option harness does not know
    // arrives here as if it were the script.
    if let Some(option) = script.to_str().filter(|word| word.len() > 1 && word.starts_with('-')) {
        return Err(super::usage::unknown_option(option));
    }
    let script = Path::new(script);
    let (args, are_meant) = super::usage::script_args(args);
    Ok((readable(script)?, args, are_meant))
}

/// Can this be a script?
pub(super) fn readable(script: &Path) -> Result<PathBuf, String> {
    let shown = script.display();
    let found = std::fs::metadata(script);
    let is_folder = found.as_ref().is_ok_and(Metadata::is_dir);
    let is_no_file = found.is_ok_and(|found| !found.is_file()) && !is_folder;
    if script == Path::new("-") || is_no_file {
        let what = if is_no_file { format!("{shown}, which is no file") } else { "stdin".into() };
        return Err(format!(
            "a campaign cannot come from {what}: its journal lies beside its file, and a second run goes on from there; \
             write it to a file, `harness FILE.lua`"
        ));
    }
    if is_folder {
        return Err(format!(
            "{shown} is a folder: name the script in it, `harness {}`",
            script.join("FILE.lua").display()
        ));
    }
    match File::open(script) {
        Ok(file) => match no_script(script, file) {
            Some(instead) => Err(format!("{shown} is no script: {instead}")),
            None => Ok(script.to_path_buf()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let here = std::env::current_dir()
                .map_or(String::new(), |dir| format!(" (looked in {})", dir.display()));
            let here = if script.is_absolute() { "" } else { &here };
            Err(format!("there is no script {shown}{here}{}", super::usage::meant(&shown.to_string())))
        }
        Err(error) => Err(format!("cannot read the script {shown}: {error}")),
    }
}

/// What to type instead, where it can be seen that this is something else.
fn no_script(path: &Path, mut file: File) -> Option<String> {
    let shown = path.display();
    if path.extension().is_some_and(|extension| extension == "py") {
        return Some(format!(
            "scripts are in Lua; `{}` runs it, and a HarnessExecutor in it starts harness \
             (export PYTHONPATH=\"$(harness python-path)\")",
            typed(&["python3".into(), shown.to_string()])
        ));
    }
    let mut begin = [0; ELF.len()];
    file.read_exact(&mut begin).ok()?;
    if begin == *ELF {
        return Some(
            "it is a program, which a script runs: `exec { cmd = { … } }`, `measure { cmd = { … } }`".into(),
        );
    }
    // No Lua begins so, and a journal does.
    let is_journal = begin.starts_with(b"{\"");
    is_journal.then(|| format!("if it is a journal, `harness show {shown}` tells of it"))
}

/// How a program begins.
const ELF: &[u8; 4] = b"\x7fELF";

/// Runs the campaign and prints what is to be said last. The exit code, and whether a rank was lost.
fn campaign(options: Options, started: Started, signals: Signals, script: &Path) -> (u8, bool) {
    let quiet = options.verbosity == Verbosity::Quiet;
    let display = options.display.clone();
    let folder = script.canonicalize().ok().and_then(|path| path.parent().map(Path::to_path_buf));
    let folder = folder.as_deref().unwrap_or(Path::new("."));
    let ended = play(options, started, signals, folder, None, ScriptState::run);
    if let Some(display) = display {
        display.close();
    }
    if quiet && let Some(line) = failures(&ended.tally.ended) {
        post(format_args!("harness: {line}"));
    } else if !quiet && !ended.tally.ended.is_empty() {
        let tally = ended.tally;
        let rows: Vec<Row<'_>> = tally.lines.iter().map(Line::row).collect();
        post(summary(&tally.ended, tally.replays, &rows, &tally.failures).trim_end());
    }
    if let Some(message) = ended.message {
        post(format_args!("harness: {message}"));
    }
    flush(LAST_WORDS);
    (ended.code, ended.lost_rank)
}

/// Runs a script in a root: `script_runs`, in a state whose modules are in `folder`. A `listener` has lines for it.
pub(super) fn play(
    options: Options,
    started: Started,
    signals: Signals,
    folder: &Path,
    listener: Option<Listener>,
    script_runs: impl FnOnce(&ScriptState) -> Result<Ended, ScriptError> + Send + 'static,
) -> RootEnded {
    let quiet = options.verbosity == Verbosity::Quiet;
    let modules = Arc::new(Modules::of_campaign(folder, !quiet));
    let for_slots = modules.clone();
    let sources = Box::new(move |name: &str| for_slots.find(name));
    let script_main = Box::new(move |mut port: Port| match listener.map(|listen| listen(port.listen())) {
        Some(Err(error)) => ScriptEnd::Failed(format!("cannot listen: {error}")),
        _ => run_script(port, modules, script_runs),
    });
    let ended = root::run(options, started, signals, sources, script_main);
    flush(LAST_WORDS);
    ended
}

/// With `-q`: one line if something failed.
fn failures(ended: &BTreeMap<Status, usize>) -> Option<String> {
    let failed: BTreeMap<_, _> = ended.iter().filter(|(status, _)| **status != Status::Ok).collect();
    let tasks = count(failed.values().map(|number| **number).sum(), "task");
    (!failed.is_empty()).then(|| format!("{tasks} of {} did not end well", ended.values().sum::<usize>()))
}

/// What there is for this process (B). The script's values may take three quarters of it; what tasks on their way were called
/// with a quarter, though both are rarely that large at once, for the root needs some for what it knows of tasks.
pub(super) fn memory() -> u64 {
    let taken = machine::taken_bytes();
    let allowed = [(Resource::Data, taken.data), (Resource::As, taken.addresses)]
        .map(|(resource, taken)| getrlimit(resource).current.map(|most| most.saturating_sub(taken).max(1)));
    let there = allowed.into_iter().flatten().chain([machine::memory_bytes()]).filter(|bytes| *bytes > 0);
    there.min().unwrap_or(i64::MAX as u64)
}

/// The script's thread.
pub(super) fn run_script(
    port: Port,
    modules: Arc<Modules>,
    runs: impl FnOnce(&ScriptState) -> Result<Ended, ScriptError>,
) -> ScriptEnd {
    let add_input = |content: Content<'_>| {
        let store = Store::open(Store::default_folder()).map_err(|error| error.to_string())?;
        let put = match content {
            Content::File(path) => store.put_file(path),
            Content::Bytes(bytes) => store.put_bytes(bytes, false),
        };
        put.map_err(|error| error.to_string())
    };
    let limited = |mut state: ScriptState| state.limit_memory(memory() / 4 * 3).map(|()| state);
    match ScriptState::new(port, Box::new(add_input), modules)
        .and_then(limited)
        .and_then(|state| runs(&state))
    {
        Ok(Ended::Finished) => ScriptEnd::Finished,
        Ok(Ended::Exit(code)) => ScriptEnd::Exit(code),
        Ok(Ended::Drained) => ScriptEnd::Stopped,
        Err(error) => ScriptEnd::Failed(bounded(error.to_string())),
    }
}

/// A root, before it does anything.
pub(super) struct Begun {
    pub(super) limits: Limits,
    pub(super) signals: Signals,
    pub(super) started: Started,
}

pub(super) enum Joined<T> {
    /// This process is the root.
    Root(T),
    /// It was a worker, and is done.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    Served(ExitCode),
}

/// What whoever plays a campaign begins with: as a root that has become one through the launcher of its own MPI, where one
/// is needed; or why not, with the exit code. `is_asked`: requests come on standard input.
#[cfg_attr(not(feature = "mpi"), allow(unused_variables))]
pub(super) fn begin(
    start: Option<Start>,
    host_file: Option<&Path>,
    verbosity: Verbosity,
    is_asked: bool,
) -> Result<Joined<Begun>, (u8, String)> {
    limits().map_err(|text| (exit::USAGE, text))?;
    #[cfg(feature = "mpi")]
    super::launch::through_mpi(start, host_file, verbosity, is_asked)
        .map_err(|text| (exit::ALLOCATION, text))?;
    join()
}

/// The same as it was started.
pub(super) fn join() -> Result<Joined<Begun>, (u8, String)> {
    let limits = limits().map_err(|text| (exit::USAGE, text))?;
    // Before MPI and before any thread: all of them inherit the mask.
    let signals =
        Signals::open().map_err(|error| (exit::INTERNAL, format!("cannot receive signals: {error}")))?;
    Ok(match join_mpi(&limits, &signals).map_err(|text| (exit::ALLOCATION, text))? {
        Joined::Root(started) => Joined::Root(Begun { limits, signals, started }),
        Joined::Served(code) => Joined::Served(code),
    })
}

#[cfg(feature = "mpi")]
fn join_mpi(limits: &Limits, signals: &Signals) -> Result<Joined<Started>, String> {
    use super::stand_in::{leave_mpi, stand_in};
    use crate::transport::Link;
    use crate::transport::mpi::start::{Role, is_further_rank, join};
    let env = |name: &str| std::env::var(name).ok();
    let told = if is_further_rank(&env) {
        process::take_affinity_of_parent(); // the worker's parent is this one then
        match stand_in(false) {
            Ok(told) => Some(told),
            Err(code) => return Ok(Joined::Served(code)),
        }
    } else {
        super::launch::take_input()?;
        None
    };
    let joined = watched(limits, signals, &env, || join(&env, &machine::hostname(), told));
    Ok(match joined.map_err(|error| error.to_string())? {
        Role::Alone => Joined::Root(Started { mpi: Mpi::Idle, ranks: Vec::new() }),
        Role::Root { library, ranks } => {
            // mpirun binds what it starts (Open MPI: a lone process to one core). What it was given itself
            // is what the batch system meant.
            process::take_affinity_of_parent();
            let ranks = ranks.into_iter().map(|link| Box::new(link) as Box<dyn Link>).collect();
            Joined::Root(Started { mpi: Mpi::Ready(library), ranks })
        }
        Role::Worker(link) => {
            process::take_affinity_of_parent();
            process::stdout_to_stderr();
            Joined::Served(leave_mpi(crate::worker::main_static(link)))
        }
    })
}

/// Only below an MPI's launcher there is an MPI_Init, which may wait for ever.
#[cfg(feature = "mpi")]
fn watched<T>(
    limits: &Limits,
    signals: &Signals,
    env: &dyn Fn(&str) -> Option<String>,
    join: impl FnOnce() -> T,
) -> T {
    if !crate::transport::mpi::start::is_launched(env) {
        return join();
    }
    let reason = format!(
        "MPI_Init did not return within {}: some process of this job was not started, or the others do not reach it; what the \
         launcher has said above may tell which. `harness --start local FILE.lua` needs no MPI, `--start ssh` none for other nodes; where \
         it only takes longer, HARNESS_LIMITS=init=600",
        crate::model::human::duration(limits.init.as_secs_f64())
    );
    root::within(signals, "MPI_Init", limits.init, (exit::ALLOCATION, reason), join)
}

#[cfg(not(feature = "mpi"))]
fn join_mpi(_: &Limits, _: &Signals) -> Result<Joined<Started>, String> {
    // Without MPI the ranks of a job cannot know each other: all but the first would be further roots.
    for (rank, launcher) in [
        ("OMPI_COMM_WORLD_RANK", "mpirun"),
        ("PMI_RANK", "mpirun"),
        ("PMIX_RANK", "mpirun"),
        ("SLURM_PROCID", "srun"),
    ] {
        if let Some(number) = std::env::var(rank).ok().filter(|number| number != "0") {
            return Err(format!(
                "this is process {number} of those that {launcher} started, and each would be a root of its own \
                 ({rank}={number}). This harness was built without MPI: start it once, as plain `harness …` in the \
                 batch script"
            ));
        }
    }
    Ok(Joined::Root(Started { mpi: Mpi::Absent, ranks: Vec::new() }))
}

/// Leaves MPI in order. Finalize may wait for ever: then the process just ends, and mpirun reports its exit code.
#[cfg(feature = "mpi")]
pub(super) fn leave_mpi(mpi: bool, code: u8, limit: Duration) {
    if mpi {
        root::leave(code, limit, crate::transport::mpi::sys::finalize);
    }
}

#[cfg(not(feature = "mpi"))]
pub(super) fn leave_mpi(_mpi: bool, _code: u8, _limit: Duration) {}
