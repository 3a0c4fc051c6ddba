//! Sets a campaign up: its nodes and when it has to end, the journal, the port, and the threads.
//!
//! Nothing is started on a node yet; what fails here ends the campaign before it began, with a text that says what to do.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::geteuid;

use super::again::Retrying;
use super::deadline::{self, Deadline, DeadlineError, Found, Outside, Timing};
use super::driver::{Driver, Parts};
use super::guard::Guard;
use super::opening::{default_journal, forecast, header, notices, open_journal, restarted, tried_again};
use super::pools::Pools;
use super::port::{Campaign, Port, Setup, port};
use super::progress::{Progress, Verbosity};
use super::provenance::Provenance;
use super::sources::{Reader, Sources};
use super::spawn::{Launcher, Mpi};
use super::status::{About, Counter};
use super::surroundings::Surroundings;
use super::trace::{self, TRACE_SCHEMA, Trace, TraceError};
use super::workers::Worker;
use super::{Options, Root, ScriptEnd, ScriptMain};
use crate::allocation::other::{self, OtherJob};
use crate::allocation::{self, Allocation, AllocationError};
use crate::artefact::Store;
use crate::journal::JournalError;
use crate::machine;
use crate::model::{BatchJob, Hash, PROTOCOL, WorkerId, exit, human};
use crate::process::{self, NoAnswer, Signals, Wake};

/// How long the batch system may take to say when the job ends.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// Names the executable that workers are started from, where it is another file than the root's.
const WORKER_VARIABLE: &str = "HARNESS_WORKER";

/// Why a campaign could not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("cannot read {0}: {1}")]
    Script(String, io::Error),
    #[error(
        "the campaign is in the folder {0:?}, whose name is no UTF-8, and nodes are told of it in text: start it from another one \
         (a folder for temporary files, `export TMPDIR=FOLDER`)"
    )]
    NoText(PathBuf),
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    #[error(transparent)]
    Deadline(#[from] DeadlineError),
    #[error(transparent)]
    Journal(JournalError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Store(#[from] crate::artefact::StoreError),
    #[error(
        "cannot set up the root process: {0}: a limit of this shell or machine is too low; look at `ulimit -u` (processes and \
         threads), `ulimit -v` and `ulimit -d` (memory) and `ulimit -n` (open files)"
    )]
    Exhausted(io::Error),
    #[error("cannot set up the root process: {0}")]
    System(io::Error),
}

impl From<JournalError> for SetupError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Io { source, .. } if source.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) => {
                source.into() // not the journal's fault: no thread can be started
            }
            other => SetupError::Journal(other),
        }
    }
}

impl From<io::Error> for SetupError {
    fn from(error: io::Error) -> Self {
        const LIMITS: [Errno; 4] = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
        match Errno::from_io_error(&error) {
            Some(errno) if LIMITS.contains(&errno) => SetupError::Exhausted(error),
            _ => SetupError::System(error),
        }
    }
}

impl SetupError {
    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            SetupError::Script(..) | SetupError::NoText(_) | SetupError::Deadline(_) => exit::USAGE,
            SetupError::Allocation(_) | SetupError::Exhausted(_) => exit::ALLOCATION,
            SetupError::Journal(_) | SetupError::Trace(_) | SetupError::Store(_) => exit::JOURNAL,
            SetupError::System(_) => exit::INTERNAL,
        }
    }
}

impl Root {
    /// Everything that has to be there before the driver works. `sources` finds modules for slots.
    pub(super) fn set_up(
        options: Options,
        mpi: Mpi,
        workers: &mut BTreeMap<WorkerId, Worker>,
        signals: Signals,
        guard: Arc<Guard>,
        sources: Sources,
        script: ScriptMain,
    ) -> Result<Self, SetupError> {
        let (path, text) = match options.interactive {
            true => (std::env::current_dir()?.join(&options.script), Vec::new()),
            false => read_script(&options.script)?,
        };
        let dir = options.folder.as_deref().or(path.parent()).unwrap_or(Path::new("/")).to_path_buf();
        let shown = dir.to_str().ok_or_else(|| SetupError::NoText(dir.clone()))?.to_owned();
        let allocation = find_allocation(options.host_file.as_deref())?;
        let progress = Progress::new(options.verbosity, options.display.clone());
        let deadline = find_deadline(&options.timing, &progress)?;
        let store = Store::open(Store::default_folder())?;
        let journal = options.journal.clone().unwrap_or_else(|| default_journal(&path));
        let job =
            allocation.job.clone().map(|id| BatchJob { scheduler: allocation.scheduler.to_string(), id });
        let wake = Arc::new(Wake::new()?);
        let modules = Reader::start(sources, wake.clone())?;
        let launcher = launcher(&options, allocation, mpi, guard);
        options.trace.as_deref().map_or(Ok(()), Trace::may_be_at)?;
        let header = header(&path, &text, options.seed);
        let opened = open_journal(&journal, header, job.clone(), &options, &progress)?;
        // Whatever fails from here on ends a run that the journal knows of, and that never was.
        let journal_writer = opened.writer;
        let never_was = |_: &SetupError| journal_writer.was_no_run();
        let index = Arc::new(opened.answers);
        let mut notices = notices(&index, &launcher.allocation);
        let again = restarted(job.as_ref(), launcher.allocation.restarts, opened.before.as_ref());
        let script_hash = Hash::of(&text);
        if opened.before.is_some_and(|before| before.script_hash != Some(script_hash)) {
            notices.script_changed();
        }
        let retrying = Retrying::of(&options.retry, &index, Some(script_hash));
        let left_out = launcher.allocation.left_out(&|name| std::env::var(name).ok());
        let notes = again.into_iter().chain(left_out);
        notes.chain(tried_again(&index, &retrying)).for_each(|note| progress.note(&note));
        let forecast = deadline.as_ref().map(|_| forecast(&index)).unwrap_or_default();
        let (kept, envs) = (index.states().clone(), index.envs().keys().copied().collect());
        let seed = options.seed.unwrap_or(opened.header.seed);
        let trace = begin_trace(&options, (&path, &text), seed, &kept);
        let trace = trace.map_err(SetupError::from).inspect_err(never_was)?;
        let sink = trace.as_ref().map(Trace::sink).unwrap_or_default();
        let counter = counter(&options, &journal, job, wake.clone(), &progress);
        let waker = wake.clone();
        let artefacts = store.clone();
        let (port, driver_end) = port(Setup {
            campaign: campaign(&options, script_hash, &dir, seed, deadline.as_ref()),
            index,
            retrying,
            notices,
            kept,
            artefact_present: Box::new(move |hash| artefacts.contains(hash)),
            wake: Box::new(move || waker.signal()),
        });
        let script_end = start_script(script, port.traced(sink.clone()));
        let script_end = script_end.map_err(SetupError::from).inspect_err(never_was)?;
        let pools = Pools::new(launcher, options.pool, shown, seed, workers.len());
        let surroundings = Surroundings::new(envs, Provenance::of(&dir, &text, seed));
        let parts = Parts {
            pools,
            port: driver_end,
            journal: journal_writer,
            campaign: opened.header.campaign,
            dir,
            store,
            progress,
            signals,
            modules,
            wake,
            deadline,
            forecast,
            surroundings,
            workers: std::mem::take(workers),
            counter,
            interactive: options.interactive,
            trace: sink,
        };
        Ok(Self {
            driver: Driver::new(parts),
            script_end,
            journal,
            display: options.display,
            repeats: options.repeats,
            fleeting: options.fleeting,
            trace,
        })
    }
}

/// Where everything is written down, if anybody wants it. `script`: where it is, and its text.
fn begin_trace(
    options: &Options,
    (path, text): (&Path, &[u8]),
    seed: u64,
    kept: &BTreeMap<String, serde_json::Value>,
) -> Result<Option<Trace>, TraceError> {
    let Some(file) = &options.trace else { return Ok(None) };
    let header = trace::Header {
        schema: TRACE_SCHEMA.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: PROTOCOL,
        script: path.display().to_string(),
        script_hash: Hash::of(text),
        args: options.args.clone(),
        seed,
        most_queued: options.most_queued,
        cores: machine::cores(),
        started_unix_s: machine::unix_seconds(),
        kept: kept.clone(),
    };
    Trace::create(file, &header).map(Some)
}

/// Listens for those who ask how far the campaign is.
fn counter(
    options: &Options,
    journal: &Path,
    job: Option<BatchJob>,
    wake: Arc<Wake>,
    progress: &Progress,
) -> Counter {
    let script = options.script.display().to_string();
    let about = About { script, journal: journal.display().to_string(), job };
    let (counter, listening) = Counter::open(about, journal, wake);
    if let Err(error) = listening {
        progress.detail(&format!("`harness status` will find nobody here: {error}"));
    }
    counter
}

/// What the script may know of its campaign.
fn campaign(
    options: &Options,
    script_hash: Hash,
    dir: &Path,
    seed: u64,
    deadline: Option<&Deadline>,
) -> Campaign {
    Campaign {
        script: options.script.clone(),
        script_hash: Some(script_hash),
        dir: dir.to_path_buf(),
        args: options.args.clone(),
        seed,
        verbosity: options.verbosity as i8 - Verbosity::Normal as i8,
        ends: deadline.map(|deadline| deadline.ends),
        most_queued: options.most_queued,
        cores: machine::cores(),
    }
}

fn launcher(options: &Options, allocation: Allocation, mpi: Mpi, guard: Arc<Guard>) -> Launcher {
    Launcher {
        allocation,
        mpi,
        guard,
        limits: options.limits,
        program: std::env::var_os(WORKER_VARIABLE).map(PathBuf::from),
        script: options.script.display().to_string(),
    }
}

/// Most a list of hosts may have (B).
const HOSTS_BYTES: u64 = 1 << 20;

/// The text of a list of hosts. A device or a pipe may have no end, or never begin.
fn read_hosts(file: &str) -> std::io::Result<String> {
    let there = std::fs::metadata(file)?;
    if !there.is_file() {
        return Err(std::io::Error::other("this is not a regular file"));
    }
    if there.len() > HOSTS_BYTES {
        let most = human::bytes(HOSTS_BYTES);
        return Err(std::io::Error::other(format!("this is no list of hosts: it has more than {most}")));
    }
    std::fs::read_to_string(file)
}

/// The nodes there are: those of `host_file` if one is named, else the batch system's, else this machine.
pub fn find_allocation(host_file: Option<&Path>) -> Result<Allocation, AllocationError> {
    let ask = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        process::ask(&words, ASK_LIMIT).ok()
    };
    let around = allocation::Surroundings {
        env: &|name| std::env::var(name).ok(),
        read: &read_hosts,
        ask: &ask,
        is_here: &machine::is_here,
    };
    let host_file = host_file.map(|file| file.display().to_string());
    Allocation::detect(&around, host_file.as_deref(), &machine::hostname())
}

/// Asks Slurm about a job, which is another than the one the root may be in. The script waits, nobody else.
pub(super) fn find_job(id: &str) -> Result<OtherJob, String> {
    let answer = process::ask(&other::question(id)?, ASK_LIMIT);
    let printed = answer.map_err(|error| match error {
        NoAnswer::Failed { .. } => other::unknown(id),
        error => format!("cannot ask Slurm about job {id}: {error}"),
    })?;
    other::answer(id, geteuid().as_raw(), &printed)
}

/// Looks when the campaign has to be over.
fn find_deadline(timing: &Timing, progress: &Progress) -> Result<Option<Deadline>, DeadlineError> {
    let outside = Outside {
        env: &|name| std::env::var(name).ok(),
        ask: &|argv| process::ask(argv, ASK_LIMIT).map_err(|error| error.to_string()),
        now: (Instant::now(), machine::unix_seconds()),
    };
    let Found { deadline, beware, note } = deadline::find(timing, &outside)?;
    if let Some(beware) = beware {
        progress.note(&beware);
    }
    if let Some(note) = note {
        progress.detail(&note);
    }
    Ok(deadline)
}

/// Where the script really is, and its text.
fn read_script(script: &Path) -> Result<(PathBuf, Vec<u8>), SetupError> {
    let unreadable = |error| SetupError::Script(script.display().to_string(), error);
    let text = std::fs::read(script).map_err(unreadable)?;
    Ok((script.canonicalize().map_err(unreadable)?, text))
}

/// Runs the script on its thread; what comes is how it ended.
pub(super) fn start_script(script: ScriptMain, port: Port) -> io::Result<Receiver<ScriptEnd>> {
    let (ended, script_end) = channel();
    std::thread::Builder::new().name("script".into()).stack_size(16 << 20).spawn(move || {
        // The receiver outlives the script unless the campaign is stopped: then nobody listens.
        let _ = ended.send(script(port));
    })?;
    Ok(script_end)
}
