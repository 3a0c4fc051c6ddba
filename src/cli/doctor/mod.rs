//! `harness doctor`: what this job is, what `spawn {}` would do in it, what comes of doing so, and what is wrong.
//!
//! It starts as a campaign does, through MPI's launcher where that is needed, and looks at the nodes with a
//! campaign of its own (`doctor.lua`), so that what works here works there.

pub mod probe;
mod report;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use self::report::{Mpi, Place, Planned, Report, Surroundings, Worker};
use super::own::{self, Own};
use super::print;
use super::run::{self, Begun, Joined};
use crate::allocation::queue::find_batch;
use crate::allocation::{self, PoolRequest, Scheduler, Start, Walltime, walltime};
use crate::machine;
use crate::model::{Limits, exit};
use crate::process::{self, Signals};
use crate::root::port::PoolSpec;
use crate::root::progress::Verbosity;
use crate::root::{self, Started};
use crate::say::say;

const CAMPAIGN: &str = include_str!("doctor.lua");
/// How long the batch system may take to say when the job ends.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(super) struct DoctorArgs {
    /// The nodes, in a file such as MPI's launchers read (default: those of the batch system).
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,
    /// Start no workers: only say what is known without.
    #[arg(long)]
    no_spawn: bool,
    /// One object of JSON on stdout.
    #[arg(long)]
    json: bool,
}

/// Does it; the exit code.
pub(super) fn doctor(arguments: &DoctorArgs) -> ExitCode {
    match examine(arguments) {
        Ok(code) => code,
        Err(text) => {
            say(format_args!("harness doctor: {text}"));
            ExitCode::from(exit::ALLOCATION)
        }
    }
}

fn examine(arguments: &DoctorArgs) -> Result<ExitCode, String> {
    let limits = run::limits()?;
    if arguments.no_spawn {
        let surroundings = look(arguments, None, 0);
        return Ok(ExitCode::from(finish(arguments, Report { surroundings, ..Report::default() }, true)));
    }
    let begun = run::begin(None, arguments.hostfile.as_deref(), Verbosity::Verbose, false);
    let Begun { signals, started, .. } = match begun.map_err(|(_, text)| text)? {
        Joined::Root(begun) => begun,
        Joined::Served(code) => return Ok(code),
    };
    let mpi = matches!(started.mpi, root::Mpi::Ready(_));
    let mut surroundings = look(arguments, Some(&started.mpi), started.ranks.len());
    if !arguments.json {
        // Before anything is started: should that hang, this is on the screen.
        // That it cannot be written is said of the rest.
        let _ = print::write(&format!("harness {}\n{surroundings}", env!("CARGO_PKG_VERSION")));
    }
    let mut lost_rank = false;
    let (workers, failure) = try_out(arguments, started, signals, limits, &mut lost_rank);
    if workers.iter().any(|worker| worker.start == "spawn") {
        surroundings.mpi.can_spawn = Some(true);
    }
    let report = Report { surroundings, workers, failure, ..Report::default() };
    let code = finish(arguments, report, false);
    run::leave_mpi(mpi && !lost_rank, code, limits.finalize);
    Ok(ExitCode::from(code))
}

/// Judges, and says what is not on the screen yet.
fn finish(arguments: &DoctorArgs, report: Report, whole: bool) -> u8 {
    let folder = std::env::current_dir().unwrap_or_default();
    let report =
        Report { version: env!("CARGO_PKG_VERSION"), ..report }.judged(&folder.display().to_string());
    let begins = match whole && !arguments.json {
        true => format!("harness {}\n{}", report.version, report.surroundings),
        false => String::new(),
    };
    let code = if report.problems.is_empty() { exit::OK } else { exit::ALLOCATION };
    print::printed("doctor", &(begins + &print::text(&report, arguments.json)), code)
}

/// What is known without starting anything.
fn look(arguments: &DoctorArgs, mpi: Option<&root::Mpi>, ranks: usize) -> Surroundings {
    let env = |name: &str| std::env::var(name).ok();
    let host = machine::hostname();
    let mut found = Surroundings { host: host.clone(), ..Surroundings::default() };
    let (of_mpi, launcher) = mpi_facts(mpi, ranks);
    (found.mpi, found.launcher) = (of_mpi, launcher);
    (found.job, found.left_s) = job(&env);
    let allocation = match root::find_allocation(arguments.hostfile.as_deref()) {
        Ok(allocation) => allocation,
        Err(error) => {
            found.problems.push(error.to_string());
            return found;
        }
    };
    found.scheduler = allocation.scheduler.to_string();
    let place = |node: &allocation::Node| Place { host: node.host.clone(), cores: node.cores };
    found.nodes = allocation.nodes.iter().map(place).collect();
    if allocation.scheduler == Scheduler::None
        && let Some(batch) = find_batch(&process::is_on_path)
    {
        found.notes.push(format!(
            "{} is here, and this is no job of it: `harness batch FILE.lua --nodes N` asks for nodes",
            batch.submit_program()
        ));
    }
    #[cfg(feature = "mpi")]
    found.notes.extend(super::launch::refuses_applications());
    let start = match mpi {
        Some(mpi) => root::automatic(&allocation, mpi),
        None if cfg!(feature = "mpi") => Start::Auto, // harness starts itself through it
        None => root::automatic(&allocation, &root::Mpi::Absent),
    };
    match allocation::plan(&allocation, &PoolRequest { start, ..PoolRequest::default() }) {
        Ok(plan) => {
            let how =
                |worker: &allocation::PlannedWorker| if ranks > 0 { "static" } else { worker.start.word() };
            found.plan =
                plan.workers.iter().map(|w| Planned { host: w.host.clone(), start: how(w) }).collect();
        }
        Err(error) => found.problems.push(error.to_string()),
    }
    found
}

/// Whose job this is, and the seconds left.
fn job(env: &dyn Fn(&str) -> Option<String>) -> (Option<String>, Option<f64>) {
    let now = machine::unix_seconds();
    match walltime(env) {
        Walltime::Ends { unix_s, job } => (Some(job), Some((unix_s - now).max(0.0))),
        Walltime::Ask(question) => {
            let left = process::ask(&question.argv, PATIENCE).ok().and_then(|answer| question.left(&answer));
            (Some(question.job), left)
        }
        Walltime::Unknown => (None, None),
    }
}

#[cfg(feature = "mpi")]
fn mpi_facts(mpi: Option<&root::Mpi>, ranks: usize) -> (Mpi, Option<String>) {
    use crate::allocation::ladder::{Family, cannot_spawn};
    use crate::transport::mpi::sys;
    let library = sys::library_description();
    let launcher = Family::of(&library).and_then(super::launch::launcher_of);
    let initialised = matches!(mpi, Some(root::Mpi::Ready(_)));
    let facts = Mpi {
        library: Some(sys::library_version()),
        built_for: Some(sys::built_for()),
        thread_level: initialised.then(sys::thread_level),
        universe: std::env::var("OMPI_UNIVERSE_SIZE").ok().and_then(|size| size.parse().ok()),
        can_spawn: cannot_spawn(&library).then_some(false),
        ranks,
    };
    (facts, launcher.map(|path| path.display().to_string()))
}

#[cfg(not(feature = "mpi"))]
fn mpi_facts(_mpi: Option<&root::Mpi>, _ranks: usize) -> (Mpi, Option<String>) {
    (Mpi::default(), None)
}

/// Starts workers and looks at their nodes; what was seen, and what went wrong.
fn try_out(
    arguments: &DoctorArgs,
    started: Started,
    signals: Signals,
    limits: Limits,
    lost_rank: &mut bool,
) -> (Vec<Worker>, Option<String>) {
    match prepare() {
        Ok(place) => place.run(arguments.hostfile.clone(), started, signals, limits, lost_rank),
        Err(error) => (Vec::new(), Some(error)),
    }
}

/// The campaign in a folder of its own, and a token in the folder doctor was started in.
struct Site {
    folder: process::OwnFolder,
    token: tempfile::NamedTempFile,
    /// What is in the token's file.
    word: String,
}

fn prepare() -> Result<Site, String> {
    let failed = |what: &str, error: std::io::Error| format!("cannot write to {what}: {error}");
    let here = std::env::current_dir().map_err(|error| format!("which folder is this? {error}"))?;
    let folder = own::folder("doctor")?;
    let mut token = tempfile::Builder::new()
        .prefix(".harness-doctor-")
        .tempfile_in(&here)
        .map_err(|error| failed(&format!("{}, where journals would be", here.display()), error))?;
    let word = token.path().display().to_string();
    token
        .write_all(word.as_bytes())
        .and_then(|()| token.as_file().sync_all())
        .map_err(|error| failed("it", error))?;
    Ok(Site { folder, token, word })
}

impl Site {
    fn run(
        self,
        host_file: Option<PathBuf>,
        started: Started,
        signals: Signals,
        limits: Limits,
        lost_rank: &mut bool,
    ) -> (Vec<Worker>, Option<String>) {
        let path = |name: &str| self.folder.path().join(name);
        let words = |path: &Path| path.display().to_string();
        let Some(program) = process::this_executable() else {
            return (Vec::new(), Some("where is harness? Its file has gone".into()));
        };
        let campaign = Own {
            name: "doctor.lua",
            text: CAMPAIGN,
            folder: None,
            args: vec![words(&path("found")), words(&program), words(self.token.path())],
            pool: PoolSpec::default(),
            host_file,
            journal: None,
            listener: None,
        };
        let ended = campaign.play(self.folder.path(), started, signals, limits);
        *lost_rank = ended.lost_rank;
        let lines = fs::read_to_string(path("found")).unwrap_or_default();
        let (workers, failures) = Worker::all(&lines, &self.word);
        let failure = match ended.message {
            Some(text) => Some(text.replace(&words(&path("doctor.lua")), "FILE.lua")),
            None if !failures.is_empty() => Some(failures.join("; ")),
            None if !lines.ends_with("end\n") => {
                Some(format!("the look at the nodes ended early, with {}", ended.code))
            }
            None => None,
        };
        (workers, failure)
    }
}
