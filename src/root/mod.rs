//! The root process: what joins the script, the scheduler, the workers and the journal.
//!
//! `run` owns the main thread: it sets everything up, lets the driver work, and takes everything down in an
//! order in which nothing reported is lost. The script runs on a thread of its own behind `port`; this room
//! does not know what language it is in.

mod clock;
mod deadline;
mod departures;
mod driver;
mod ends;
mod explain;
mod gangs;
mod gpus;
mod growth;
mod guard;
mod handed_on;
mod hearing;
mod ledger;
mod misplaced;
mod notices;
mod opening;
mod order;
mod pools;
pub mod port;
mod programs;
pub mod progress;
mod provenance;
mod ranks;
mod recipe;
mod record;
mod remote;
mod settle;
mod sources;
mod spawn;
mod states;
pub mod status;
mod stop;
mod surroundings;
mod tasks;
mod twins;
mod workers;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use self::deadline::{Deadline, DeadlineError, Outside};
use self::driver::{Driver, Parts};
use self::ends::not_recorded;
use self::guard::Guard;
use self::opening::{header, open_journal, recall};
use self::pools::Pools;
use self::port::{Campaign, Port, Setup};
use self::progress::{Display, Progress, Tally, Verbosity};
use self::provenance::Provenance;
use self::sources::{Reader, Sources};
use self::spawn::Launcher;
use self::status::{About, Counter};
use self::stop::Ending;
use self::surroundings::Surroundings;
use self::workers::Worker;
use crate::allocation::{self, Allocation, AllocationError, Start};
use crate::artefact::Store;
use crate::journal::Lost;
use crate::machine;
use crate::model::human::count;
use crate::model::{BatchJob, FromWorker, Limits, ToWorker, WorkerId, exit};
use crate::process;
use crate::process::{Signals, Wake};
use crate::transport::wait::wait;
use crate::transport::{Link, Peer};

pub use self::deadline::Timing;
pub use self::opening::default_journal;
pub use self::port::PoolSpec;
pub use self::remote::automatic;
pub use self::spawn::Mpi;

/// How long the batch system may take to say when the job ends.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// Names the executable that workers are started from, where it is another file than the root's.
const WORKER_VARIABLE: &str = "HARNESS_WORKER";

/// What `harness run` was told.
pub struct Options {
    /// The script.
    pub script: PathBuf,
    /// What followed it.
    pub args: Vec<String>,
    /// What pools are where the script does not say.
    pub pool: PoolSpec,
    /// The journal; beside the script if not said.
    pub journal: Option<PathBuf>,
    /// Set an old journal aside and begin anew.
    pub fresh: bool,
    /// When it has to be over.
    pub timing: Timing,
    /// The nodes to use, instead of those the batch system names.
    pub host_file: Option<PathBuf>,
    /// Seed of the campaign; the journal's, or a new one.
    pub seed: Option<u64>,
    /// How much is said on stderr.
    pub verbosity: Verbosity,
    /// How long waits may take.
    pub limits: Limits,
    /// Shows how far the campaign is; none: nobody wants to know.
    pub display: Option<Arc<dyn Display>>,
}

/// MPI as this process found it.
pub struct Started {
    /// What it is.
    pub mpi: Mpi,
    /// Links to workers that mpirun started.
    pub ranks: Vec<Box<dyn Link>>,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptEnd {
    /// Without an error.
    Finished,
    /// With an error; the text names file and line.
    Failed(String),
    /// By `os.exit`.
    Exit(u8),
    /// It was unwound because the campaign is being stopped.
    Stopped,
}

/// Runs the script on a thread of its own.
pub type ScriptMain = Box<dyn FnOnce(Port) -> ScriptEnd + Send>;

/// Why a campaign could not begin.
#[derive(Debug, thiserror::Error)]
enum SetupError {
    #[error("cannot read {0}: {1}")]
    Script(String, io::Error),
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    #[error(transparent)]
    Deadline(#[from] DeadlineError),
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
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
    fn code(&self) -> u8 {
        match self {
            SetupError::Script(..) | SetupError::Deadline(_) => exit::USAGE,
            SetupError::Allocation(_) | SetupError::Exhausted(_) => exit::ALLOCATION,
            SetupError::Journal(_) | SetupError::Store(_) => exit::JOURNAL,
            SetupError::System(_) => exit::INTERNAL,
        }
    }
}

/// How a campaign ended.
pub struct Ended {
    /// The exit code.
    pub code: u8,
    /// What is to be said last, if anything.
    pub message: Option<String>,
    /// What its tasks came to.
    pub tally: Tally,
}

/// Runs a campaign to its end. `sources` finds modules for slots, `signals` were opened before any thread
/// was started.
pub fn run(
    options: Options,
    started: Started,
    signals: Signals,
    sources: Sources,
    script: ScriptMain,
) -> Ended {
    let Started { mpi, ranks } = started;
    let mut workers = rank_workers(ranks);
    match Root::set_up(options, mpi, &mut workers, signals, sources, script) {
        Ok(root) => root.run(),
        Err(error) => {
            // Ranks wait for a word; nobody else will tell them.
            for worker in workers.values_mut() {
                worker.peer.queue(&ToWorker::Exit);
                let _ = worker.peer.flush();
            }
            hear_out(&mut workers);
            Ended { code: error.code(), message: Some(error.to_string()), tally: Tally::default() }
        }
    }
}

struct Root {
    driver: Driver,
    script_end: Receiver<ScriptEnd>,
    journal: PathBuf,
    display: Option<Arc<dyn Display>>,
}

impl Root {
    fn set_up(
        options: Options,
        mpi: Mpi,
        workers: &mut BTreeMap<WorkerId, Worker>,
        signals: Signals,
        sources: Sources,
        script: ScriptMain,
    ) -> Result<Self, SetupError> {
        let (path, text) = read_script(&options.script)?;
        let dir = path.parent().unwrap_or(Path::new("/")).to_path_buf();
        let allocation = find_allocation(options.host_file.as_deref())?;
        let progress = Progress::new(options.verbosity, options.display.clone());
        let deadline = find_deadline(&options.timing, &progress)?;
        let store = Store::open(Store::default_folder())?;
        let journal = options.journal.clone().unwrap_or_else(|| default_journal(&path));
        let job =
            allocation.job.clone().map(|id| BatchJob { scheduler: allocation.scheduler.to_string(), id });
        let header = header(&path, &text, options.seed);
        let opened = open_journal(&journal, header, job.clone(), &options, &progress)?;
        let (kept, envs) = (opened.index.states(), opened.index.envs());
        let (index, notices) = recall(opened.index, &allocation);
        let wake = Arc::new(Wake::new()?);
        let counter = counter(&options, &journal, job, wake.clone(), &progress);
        let waker = wake.clone();
        let artefacts = store.clone();
        let seed = options.seed.unwrap_or(opened.header.seed);
        let (port, driver_end) = port::port(Setup {
            campaign: campaign(&options, &dir, seed, &journal, deadline.as_ref()),
            index,
            notices,
            kept,
            artefact_present: Box::new(move |hash| artefacts.contains(hash)),
            wake: Box::new(move || waker.signal()),
        });
        let launcher = launcher(&options, allocation, mpi)?;
        let pools = Pools::new(launcher, options.pool, dir.display().to_string(), seed, workers.len());
        let parts = Parts {
            pools,
            port: driver_end,
            journal: opened.writer,
            campaign: opened.header.campaign,
            store,
            progress,
            signals,
            modules: Reader::start(sources, wake.clone())?,
            wake,
            deadline,
            surroundings: Surroundings::new(envs.into_keys().collect(), Provenance::of(&dir, &text, seed)),
            workers: std::mem::take(workers),
            counter,
        };
        Ok(Self {
            driver: Driver::new(parts),
            script_end: start_script(script, port)?,
            journal,
            display: options.display,
        })
    }

    fn run(mut self) -> Ended {
        let ending = self.driver.run();
        let journal = self.journal.display().to_string();
        if ending == Ending::Interrupted {
            self.end_at_once(&journal);
        }
        self.driver.save_states();
        let limits = self.driver.pools.launcher.limits;
        let failure = self.driver.close_journal(&journal);
        self.driver.dismiss(if ending == Ending::Finished { limits.dismiss } else { limits.stop });
        match (ending, failure) {
            (Ending::JournalFailed(first), last) => {
                let place = last.map_or(first.place, |last| last.place);
                let message = not_recorded(&Lost { place, ..first }, &self.journal);
                self.ended(exit::JOURNAL, Some(message))
            }
            (_, Some(lost)) => {
                let message = not_recorded(&lost, &self.journal);
                self.ended(exit::JOURNAL, Some(message))
            }
            (Ending::Drained(why), None) => {
                let cut_off = match self.script_end.recv_timeout(limits.unwind) {
                    Ok(_) => "",
                    Err(_) => " The script itself was still busy and was cut off.",
                };
                let message = format!(
                    "stopped {why} with {}. Nothing reported is lost: {journal} has it. Run the same command \
                     again to go on.{cut_off}",
                    self.driver.unfinished()
                );
                self.ended(exit::RUN_AGAIN, Some(message))
            }
            _ => self.finished(),
        }
    }

    /// At a second signal: but where the records are is looked at, as far as the disk answers.
    fn end_at_once(&mut self, journal: &str) -> ! {
        let said = format!("interrupted; what was reported is in {journal}");
        let limit = self.driver.limits().unwind;
        let reason = match self.driver.close_journal_within(limit, exit::INTERRUPTED, said.clone()) {
            Some(lost) => format!("interrupted; {}", not_recorded(&lost, &self.journal)),
            None => said,
        };
        guard::end_at_once(i32::from(exit::INTERRUPTED), &reason, self.display.as_deref())
    }

    fn finished(self) -> Ended {
        // The script is over (the driver saw its end of the port go), so this does not wait long.
        match self.script_end.recv() {
            // Where no worker came for tasks of a script that did not ask for any, nothing was done.
            Ok(ScriptEnd::Finished) if self.driver.pools.failed_default().is_some() => {
                self.ended(exit::ALLOCATION, None)
            }
            Ok(ScriptEnd::Finished) => match self.driver.forsaken {
                0 => self.ended(exit::OK, None),
                forsaken => {
                    let message = format!(
                        "{} had no worker left to run on, and none came again (`pool:grow()` or `spawn{{}}` starts \
                         some). Run the same command again to go on.",
                        count(forsaken, "task")
                    );
                    self.ended(exit::ALLOCATION, Some(message))
                }
            },
            Ok(ScriptEnd::Exit(code)) => self.ended(code, None),
            Ok(ScriptEnd::Failed(text)) => {
                let code = if self.driver.pools.none_came() { exit::ALLOCATION } else { exit::SCRIPT };
                self.ended(code, Some(text))
            }
            Ok(ScriptEnd::Stopped) => self.ended(exit::RUN_AGAIN, None),
            Err(_) => {
                let text = "the script's thread ended in a panic: a defect of harness, please report it";
                self.ended(exit::INTERNAL, Some(text.into()))
            }
        }
    }

    fn ended(self, code: u8, message: Option<String>) -> Ended {
        Ended { code, message, tally: self.driver.progress.into_tally() }
    }
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
    dir: &Path,
    seed: u64,
    journal: &Path,
    deadline: Option<&Deadline>,
) -> Campaign {
    Campaign {
        script: options.script.clone(),
        dir: dir.to_path_buf(),
        args: options.args.clone(),
        seed,
        verbosity: options.verbosity as i8 - Verbosity::Normal as i8,
        journal: journal.to_path_buf(),
        ends: deadline.map(|deadline| deadline.ends),
    }
}

fn launcher(options: &Options, allocation: Allocation, mpi: Mpi) -> io::Result<Launcher> {
    Ok(Launcher {
        allocation,
        mpi,
        guard: Guard::start(options.display.clone())?,
        limits: options.limits,
        program: std::env::var_os(WORKER_VARIABLE).map(PathBuf::from),
        script: options.script.display().to_string(),
    })
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
        return Err(std::io::Error::other("this is no list of hosts: it has more than 1 MiB"));
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

/// Looks when the campaign has to be over.
fn find_deadline(timing: &Timing, progress: &Progress) -> Result<Option<Deadline>, DeadlineError> {
    let outside = Outside {
        env: &|name| std::env::var(name).ok(),
        ask: &|argv| process::ask(argv, ASK_LIMIT).map_err(|error| error.to_string()),
        now: (Instant::now(), record::unix_seconds()),
    };
    let (deadline, note) = deadline::find(timing, &outside)?;
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
fn start_script(script: ScriptMain, port: Port) -> io::Result<Receiver<ScriptEnd>> {
    let (ended, script_end) = channel();
    std::thread::Builder::new().name("script".into()).stack_size(16 << 20).spawn(move || {
        // The receiver outlives the script unless the campaign is stopped: then nobody listens.
        let _ = ended.send(script(port));
    })?;
    Ok(script_end)
}

/// Waits until each worker has said goodbye, or a second.
fn hear_out(workers: &mut BTreeMap<WorkerId, Worker>) {
    let until = Instant::now() + Duration::from_secs(1);
    while !workers.is_empty() && Instant::now() < until {
        workers.retain(|_, worker| {
            let (messages, ended) = worker.read();
            ended.is_none() && !messages.contains(&FromWorker::Bye)
        });
        let _ = wait(&mut [], Some(Instant::now() + Duration::from_millis(2)));
    }
}

fn rank_workers(ranks: Vec<Box<dyn Link>>) -> BTreeMap<WorkerId, Worker> {
    ranks
        .into_iter()
        .enumerate()
        .map(|(i, link)| {
            let id = WorkerId(i as u32);
            let mut worker = Worker::new(id, String::new(), Start::Static, Peer::new(link), None);
            worker.rank = Some(i as u32);
            (id, worker)
        })
        .collect()
}

/// Runs `finalize` (leaving MPI waits for other processes of the job); if that takes longer than `limit`, which
/// it may when a worker was lost, the process just ends with `code`.
pub fn leave(code: u8, limit: Duration, finalize: impl FnOnce()) {
    let reason = "leaving MPI takes too long (a worker was lost?); ending without it";
    match Guard::start(None) {
        Ok(guard) => guard.watch(limit, i32::from(code), reason, finalize),
        Err(_) => finalize(),
    }
}
