//! The root process: what joins the script, the scheduler, the workers and the journal.
//!
//! `run` owns the main thread: it sets everything up (`setup`), lets the driver work, and takes everything down in an
//! order in which nothing reported is lost. The script runs on a thread of its own behind `port`; this room
//! does not know what language it is in.

mod again;
mod beside;
mod clock;
mod deadline;
mod departures;
mod driver;
mod ends;
mod explain;
mod forecast;
mod gangs;
mod gpus;
mod growth;
mod guard;
mod handed_on;
mod hearing;
mod held;
mod homing;
mod intake;
mod ledger;
mod lines;
mod mailboxes;
mod misplaced;
mod moment;
mod nodes;
mod notices;
mod opening;
mod order;
mod pace;
pub mod plan;
mod pools;
pub mod port;
mod programs;
pub mod progress;
mod provenance;
mod ranks;
mod recipe;
mod record;
mod remote;
pub mod replay;
mod settle;
mod setup;
mod sources;
mod spawn;
mod states;
pub mod status;
mod stop;
mod surroundings;
mod tasks;
mod trace;
mod twins;
mod witness;
mod workers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use self::driver::Driver;
use self::ends::not_recorded;
use self::guard::Guard;
use self::port::{MostQueued, Port};
use self::progress::{Display, Tally, Verbosity};
use self::setup::SetupError;
use self::sources::Sources;
use self::stop::Ending;
use self::trace::Trace;
use self::workers::Worker;
use crate::allocation::Start;
use crate::journal::Lost;
use crate::model::human::count;
use crate::model::{FromWorker, HowEnded, Limits, Retry, ToWorker, WorkerId, exit};
use crate::process::{self, Signals};
use crate::transport::wait::wait;
use crate::transport::{Link, Peer};

pub use self::deadline::Timing;
pub use self::opening::default_journal;
pub use self::port::PoolSpec;
pub use self::programs::program_part;
pub use self::remote::automatic;
pub use self::setup::find_allocation;
pub use self::spawn::Mpi;

/// What `harness run` was told.
pub struct Options {
    /// The script.
    pub script: PathBuf,
    /// What relative paths in it are relative to; its own folder if not said.
    pub folder: Option<PathBuf>,
    /// What followed it.
    pub args: Vec<String>,
    /// What pools are where the script does not say.
    pub pool: PoolSpec,
    /// The journal; beside the script if not said.
    pub journal: Option<PathBuf>,
    /// Set an old journal aside and begin anew.
    pub fresh: bool,
    /// Is the journal gone with the process? Then nobody goes on from there.
    pub fleeting: bool,
    /// Where everything that happens is written down, if anybody wants it.
    pub trace: Option<PathBuf>,
    /// Which recorded ends are tried again.
    pub retry: Retry,
    /// Is there no script, and something recorded repeated (`harness rerun`)?
    pub repeats: bool,
    /// Is there no script, and what is typed at a terminal runs, one line after the other? Ctrl-C ends the line then.
    pub interactive: bool,
    /// When it has to be over.
    pub timing: Timing,
    /// The nodes to use, instead of those the batch system names.
    pub host_file: Option<PathBuf>,
    /// Seed of the campaign; the journal's, or a new one.
    pub seed: Option<u64>,
    /// How many tasks the script may have on their way.
    pub most_queued: MostQueued,
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

/// How a campaign ended.
pub struct Ended {
    /// The exit code.
    pub code: u8,
    /// What is to be said last, if anything.
    pub message: Option<String>,
    /// What its tasks came to.
    pub tally: Tally,
    /// Was a rank of mpirun lost? The others cannot leave MPI without it.
    pub lost_rank: bool,
}

impl Ended {
    /// Before anything was done.
    pub fn at_once(code: u8, message: String) -> Self {
        Self { code, message: Some(message), tally: Tally::default(), lost_rank: false }
    }
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
    // What waits there, for a file system say, ends with the second signal.
    let guard = signals.try_clone().and_then(|ours| Guard::start(Some(ours), options.display.clone()));
    let set_up = guard.map(Arc::new).map_err(SetupError::from).and_then(|guard| {
        guard.hear("its start", || {
            Root::set_up(options, mpi, &mut workers, signals, guard.clone(), sources, script)
        })
    });
    match set_up {
        Ok(mut root) => {
            let trace = root.trace.take();
            let ended = root.run();
            // What workers and keepers had here that were killed, for whom no other came.
            process::sweep();
            if let Some(trace) = trace {
                trace.close();
            }
            ended
        }
        Err(error) => {
            // Ranks wait for a word; nobody else will tell them.
            for worker in workers.values_mut() {
                worker.peer.queue(&ToWorker::Exit);
                let _ = worker.peer.flush();
            }
            hear_out(&mut workers);
            Ended::at_once(error.code(), error.to_string())
        }
    }
}

struct Root {
    driver: Driver,
    script_end: Receiver<ScriptEnd>,
    journal: PathBuf,
    display: Option<Arc<dyn Display>>,
    trace: Option<Trace>,
    repeats: bool,
    fleeting: bool,
}

/// How it ended, as far as the script and the driver go.
struct Told {
    how: HowEnded,
    code: u8,
    message: Option<String>,
}

impl Root {
    fn run(mut self) -> Ended {
        let ending = self.driver.run();
        let journal = self.journal.display().to_string();
        self.driver.save_states();
        if ending == Ending::Interrupted {
            self.driver.record_end(self.how(HowEnded::Interrupted), exit::INTERRUPTED, None);
            self.end_at_once(&journal);
        }
        // What a drained script still does is not waited for before all is safe.
        let finished = (ending == Ending::Finished).then(|| self.result());
        match (&ending, &finished) {
            (Ending::Drained(why), _) => {
                self.driver.record_end(self.how(HowEnded::Stopped), exit::RUN_AGAIN, Some(why.clone()));
            }
            (_, Some(Told { how, code, message })) => {
                self.driver.record_end(self.how(*how), *code, message.clone());
            }
            _ => {} // the journal takes nothing any more
        }
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
                let goes_on = if self.fleeting { String::new() } else { self.goes_on(&journal) };
                let message = format!("stopped {why} with {}.{goes_on}{cut_off}", self.driver.unfinished());
                self.ended(exit::RUN_AGAIN, Some(message))
            }
            _ => {
                let Told { code, message, .. } = finished.unwrap_or_else(|| self.result());
                self.ended(code, message)
            }
        }
    }

    /// What is there after a stop, and how to go on.
    fn goes_on(&self, journal: &str) -> String {
        let kept = match self.driver.unrecorded {
            0 => format!("Nothing reported is lost: {journal} has it."),
            without => format!(
                "{journal} has what was reported, but not the ends of {} without a `key`: those run again.",
                count(without, "task")
            ),
        };
        format!(" {kept} {}", self.driver.next_step())
    }

    /// What the journal calls it.
    fn how(&self, how: HowEnded) -> HowEnded {
        if self.repeats { HowEnded::Repeated } else { how }
    }

    /// At a second signal: but where the records are is looked at, as far as the disk answers.
    fn end_at_once(&mut self, journal: &str) -> ! {
        let said = match self.fleeting {
            true => "interrupted".to_owned(),
            false => format!("interrupted; what was reported is in {journal}"),
        };
        let limit = self.driver.limits().unwind;
        let reason = match self.driver.close_journal_within(limit, exit::INTERRUPTED, said.clone()) {
            Some(lost) => format!("interrupted; {}", not_recorded(&lost, &self.journal)),
            None => said,
        };
        guard::end_at_once(i32::from(exit::INTERRUPTED), &reason, self.display.as_deref())
    }

    /// How a script ended that was not stopped.
    fn result(&self) -> Told {
        let failed = |code, message| Told { how: HowEnded::Failed, code, message };
        let finished = |code| Told { how: HowEnded::Finished, code, message: None };
        // The script is over (the driver saw its end of the port go), so this does not wait long.
        match self.script_end.recv() {
            // Where no worker came for tasks of a script that did not ask for any, nothing was done.
            Ok(ScriptEnd::Finished) if self.driver.pools.failed_default().is_some() => {
                failed(exit::ALLOCATION, None)
            }
            Ok(ScriptEnd::Finished) => match self.driver.forsaken {
                0 => finished(exit::OK),
                forsaken => {
                    let message = format!(
                        "{} had no worker left to run on, and none came again (`pool:grow()` or `spawn{{}}` starts \
                         some). Run the same command again to go on.",
                        count(forsaken, "task")
                    );
                    failed(exit::ALLOCATION, Some(message))
                }
            },
            // It asks to be run again, as a stop does.
            Ok(ScriptEnd::Exit(exit::RUN_AGAIN)) => {
                Told { how: HowEnded::Stopped, code: exit::RUN_AGAIN, message: None }
            }
            Ok(ScriptEnd::Exit(code)) => finished(code),
            Ok(ScriptEnd::Failed(text)) => {
                let code = if self.driver.pools.none_came() { exit::ALLOCATION } else { exit::SCRIPT };
                failed(code, Some(text))
            }
            Ok(ScriptEnd::Stopped) => Told { how: HowEnded::Stopped, code: exit::RUN_AGAIN, message: None },
            Err(_) => {
                let text = "the script's thread ended in a panic: a defect of harness, please report it";
                failed(exit::INTERNAL, Some(text.into()))
            }
        }
    }

    fn ended(self, code: u8, message: Option<String>) -> Ended {
        let lost_rank = self.driver.lost_ranks() > 0;
        let tally = self.driver.progress.into_tally(message.as_deref());
        Ended { code, message, tally, lost_rank }
    }
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

/// Runs what may wait for ever before there is a campaign, `what` in a word: after `limit` the process says why, and ends with `code`. A
/// signal that came meanwhile is there for whoever looks next.
#[cfg(feature = "mpi")]
pub fn within<T>(
    signals: &Signals,
    what: &'static str,
    limit: Duration,
    (code, reason): (u8, String),
    action: impl FnOnce() -> T,
) -> T {
    // Where no thread can be started, what comes next says so.
    let Some(guard) = signals.try_clone().and_then(|ours| Guard::start(Some(ours), None)).ok() else {
        return action();
    };
    let done = guard.watch_stoppable(what, limit, i32::from(code), reason, action);
    guard.heard().into_iter().for_each(process::own::signal_self);
    done
}

/// Runs `finalize`: leaving MPI waits for other processes of the job, for ever if one was lost, and some MPIs take long
/// anyhow. After `limit` the process just ends with `code`; what it had to do is done, so there is nothing to say.
pub fn leave(code: u8, limit: Duration, finalize: impl FnOnce()) {
    process::exit_within(limit, i32::from(code));
    finalize();
}
