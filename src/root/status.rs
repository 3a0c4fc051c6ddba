//! `harness status`: a campaign that runs says how far it is, to its own user on its own host.
//!
//! It listens on a socket whose name follows from the journal's path. The name is no file: it is gone with the process,
//! so nothing stale is ever found. Threads of their own talk to who asks; the driver only ever composes a text, so no
//! slow reader holds it up. While a measurement has the root's node nothing of ours runs there: the driver is not even
//! woken, and the answer comes in the gap after it, unless whoever asks insists.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use super::driver::Driver;
use super::port::DriverEnd;
use super::progress::{Count, Present};
use super::tasks::Live;
use super::workers::{Stage, Worker};
use crate::core::Core;
use crate::machine;
use crate::model::{
    BatchJob, CampaignStatus, FailureStatus, Hash, Kind, KindStatus, Outcome, RunningStatus, STATUS_SCHEMA,
    TaskId, WaitingStatus, WorkerId, WorkerStatus,
};
use crate::process::Wake;
use crate::transport::wait::wait;

/// Who asks sends this.
pub const ASK: &str = "status\n";
/// The same, beside a measurement too.
pub const ASK_NOW: &str = "status now\n";
/// The answer comes when a measurement has ended.
pub const WAIT: &str = "wait";
/// Longest question (B).
const QUESTION_BYTES: u64 = 64;
/// How long a question, or room for an answer, is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer that no measurement forbids is there after this; the driver may take ten times as long.
const SOON: Duration = Duration::from_secs(1);
/// So many who ask are served at the same time; others are sent away.
const MOST_SERVED: usize = 32;
/// So many ways to fail are told.
const MOST_FAILURES: usize = 200;
/// How long nobody is let in where that has failed.
const RESPITE: Duration = Duration::from_millis(100);

/// What the driver has of it.
pub(super) struct Counter {
    questions: Receiver<Question>,
    waiting: Vec<Question>,
    /// A measurement has the root's node.
    quiet: Arc<AtomicBool>,
    about: About,
    pub(super) began: Instant,
}

/// What is known before anything happens.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// The script as named on the command line.
    pub(super) script: String,
    /// Its journal.
    pub(super) journal: String,
    /// The batch job.
    pub(super) job: Option<BatchJob>,
}

struct Question {
    now: bool,
    answer: SyncSender<String>,
}

/// The socket of the campaign with this journal, which has to be there.
pub fn address(journal: &Path) -> io::Result<SocketAddr> {
    let path = journal.canonicalize()?;
    let name = format!("harness-{}-{}", geteuid().as_raw(), Hash::of(path.as_os_str().as_encoded_bytes()));
    SocketAddr::from_abstract_name(name)
}

/// Is whoever is at the other end of the same user? Anybody may connect, and anybody may take a name.
pub fn is_own(stream: &UnixStream) -> bool {
    socket_peercred(stream.as_fd()).is_ok_and(|peer| peer.uid == geteuid() || peer.uid.is_root())
}

impl Counter {
    /// Listens from now on. Without the socket nobody can ask, which is told as an error and harms nothing else.
    pub(super) fn open(about: About, journal: &Path, wake: Arc<Wake>) -> (Self, io::Result<()>) {
        let (sender, questions) = channel();
        let quiet = Arc::new(AtomicBool::new(false));
        let calm = quiet.clone();
        let listen = move |listener: UnixListener| {
            let served = Arc::new(());
            for stream in listener.incoming() {
                let Ok(stream) = stream else {
                    // No descriptor is free, most likely.
                    let _ = wait(&mut [], Some(Instant::now() + RESPITE));
                    continue;
                };
                if Arc::strong_count(&served) > MOST_SERVED {
                    continue;
                }
                let served = served.clone();
                let (sender, calm, wake) = (sender.clone(), calm.clone(), wake.clone());
                let ask = move |now| {
                    let (answer, answered) = sync_channel(1);
                    sender.send(Question { now, answer }).ok()?;
                    // Looked at after the question is there: else the gap might pass between the two.
                    let waits = move || !now && calm.load(Ordering::SeqCst);
                    if !waits() {
                        wake.signal();
                    }
                    Some((waits, answered))
                };
                let serve = move || {
                    serve(&stream, ask);
                    drop(served);
                };
                // Without a thread for it the stream is closed: who asks learns that there is no answer.
                let _ = thread::Builder::new().name("status".into()).spawn(serve);
            }
        };
        let listening = address(journal).and_then(|address| UnixListener::bind_addr(&address));
        let started = listening.and_then(|listener| {
            thread::Builder::new().name("status".into()).spawn(move || listen(listener)).map(drop)
        });
        (Self { questions, waiting: Vec::new(), quiet, about, began: Instant::now() }, started)
    }

    /// Does a measurement have the root's node?
    pub(super) fn quiet(&self, quiet: bool) {
        self.quiet.store(quiet, Ordering::SeqCst);
    }
}

/// One who asks. What goes wrong here is his affair alone.
fn serve<W: Fn() -> bool>(
    stream: &UnixStream,
    ask: impl FnOnce(bool) -> Option<(W, Receiver<String>)>,
) -> Option<()> {
    if !is_own(stream) {
        return None;
    }
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let mut question = String::new();
    BufReader::new(stream.take(QUESTION_BYTES)).read_line(&mut question).ok()?;
    if ![ASK, ASK_NOW].contains(&question.as_str()) {
        return None;
    }
    let (waits, answered) = ask(question == ASK_NOW)?;
    let mut writer = stream;
    // A measurement may begin while the answer is waited for.
    let soon = (0..10).find_map(|_| if waits() { None } else { answered.recv_timeout(SOON).ok() });
    let answer = match soon {
        Some(answer) => answer,
        None if waits() => {
            writer.write_all(format!("{WAIT}\n").as_bytes()).ok()?;
            answered.recv().ok()? // with the end of the campaign at the latest
        }
        None => return None,
    };
    writer.write_all(answer.as_bytes()).and_then(|()| writer.write_all(b"\n")).ok()
}

/// What is so at this moment.
pub(super) fn present(
    core: &Core,
    workers: &BTreeMap<WorkerId, Worker>,
    port: &DriverEnd,
    recording: &FxHashMap<TaskId, (Live, Arc<Outcome>)>,
) -> Present {
    let ready = |worker: &&Worker| worker.takes_tasks();
    // What ran until now is done once it is recorded, and waits for nothing else.
    let ran = |kind: Kind| {
        let is_one =
            |(task, _): &&(Live, _)| task.submission.job.kind() == kind && task.rare.worker.is_some();
        recording.values().filter(is_one).count() as u64
    };
    Present {
        running: core.running_by_kind().map(|(kind, number)| (kind, number + ran(kind))),
        workers: workers.values().filter(ready).count(),
        full: port.full(),
        to_come: port.to_come(),
        searches: port.searches(),
    }
}

impl Driver {
    /// Answers who has asked, where that disturbs nothing.
    pub(super) fn answer_questions(&mut self) {
        self.counter.waiting.extend(self.counter.questions.try_iter());
        if self.counter.waiting.is_empty() {
            return;
        }
        let may = self.progress.may_stir();
        let (due, later) =
            std::mem::take(&mut self.counter.waiting).into_iter().partition(|question| may || question.now);
        self.counter.waiting = later;
        let due: Vec<Question> = due;
        if due.is_empty() {
            return;
        }
        let text = serde_json::to_string(&self.status()).unwrap_or_default();
        for question in due {
            // He may have gone away.
            let _ = question.answer.try_send(text.clone());
        }
    }

    fn status(&self) -> CampaignStatus {
        let About { script, journal, job } = self.counter.about.clone();
        let now = Instant::now();
        let standing =
            self.progress.standing(now, present(&self.core, &self.workers, &self.port, &self.recording));
        let of_kind = |Count { submitted, running, done, failed }: Count| KindStatus {
            submitted,
            running,
            done,
            failed,
        };
        let (ended, replayed) = self.progress.ends();
        CampaignStatus {
            schema: STATUS_SCHEMA.into(),
            state: if self.draining.is_some() { "stopping" } else { "running" }.into(),
            script,
            journal,
            host: machine::hostname(),
            pid: std::process::id(),
            job,
            stopping: self.draining.as_ref().map(|(_, why)| why.clone()),
            running_s: self.counter.began.elapsed().as_secs_f64(),
            left_s: standing.left.map(|left| left.as_secs_f64()),
            full: standing.full,
            kinds: standing.kinds.into_iter().map(|(kind, count)| (kind, of_kind(count))).collect(),
            ended: ended.clone(),
            replayed,
            per_minute: self.progress.per_minute(now),
            failures: FailureStatus::of_lines(self.progress.failures().take(MOST_FAILURES).collect()),
            workers: self.workers.values().map(|worker| self.worker_status(worker)).collect(),
            waiting: self.waiting_status(),
        }
    }

    fn worker_status(&self, worker: &Worker) -> WorkerStatus {
        let running = |task: TaskId| {
            let since_s = self.tasks.look(task)?.rare.started.map_or(0.0, |started| started.ago_s());
            Some(RunningStatus { task: task.0, name: self.called(task), since_s })
        };
        let tasks = self.core.tasks_of(worker.id);
        let (begun, ahead): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|(_, begun)| *begun);
        WorkerStatus {
            id: worker.id.0,
            host: worker.host().into(),
            pool: worker.pool.map(|pool| pool.0),
            stage: match worker.stage {
                Stage::Starting | Stage::Introduced(_) | Stage::Welcomed(_) => "starting",
                Stage::Parked(_) => "parked",
                Stage::Ready(_) if worker.quarantine.is_some() => "quarantined",
                Stage::Ready(_) => "ready",
                Stage::Retiring { .. } => "retiring",
                Stage::Gone(_) => "gone",
            }
            .into(),
            slots: worker.slots.into(),
            gpus: worker.gpus.ids.len() as u32,
            measured: worker.quiet,
            why: worker.quarantine.clone(),
            tasks: begun.into_iter().filter_map(|(task, _)| running(task)).collect(),
            ahead: ahead.len(),
        }
    }

    fn waiting_status(&self) -> Vec<WaitingStatus> {
        let groups = self.core.waiting().into_iter();
        let group = groups.map(|group| WaitingStatus {
            reason: group.why.word().into(),
            count: group.count,
            why: self.in_words(&group.why),
            first: group.first.iter().map(|task| self.called(*task)).collect(),
        });
        let count = self.port.to_come() as usize;
        let unsent = (count > 0).then(|| WaitingStatus {
            reason: "map".into(),
            count,
            why: "a `map` sends as many of its list as keep the slots at work, and the rest when some have ended"
                .into(),
            first: Vec::new(),
        });
        group.chain(unsent).collect()
    }
}
